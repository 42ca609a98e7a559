"""`cryptoscalp train`: tapes in, a judged and published model out."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from pipelines.run import PipelineResult
    from pipelines.settings import PipelineSettings

TOLD = (
    "published",
    "promoted",
    "name",
    "version",
    "path",
    "sha256",
    "schema_id",
    "int8",
    "reasons",
)
FIGURES = (
    "rows",
    "logloss",
    "baseline_logloss",
    "recent_prior_logloss",
    "brier",
    "ece",
    "accuracy_p70",
    "coverage_p70",
)


def train(
    tape: Annotated[list[Path], typer.Option(help="a tape file or a folder of tapes; may be given again")],
    sessions: Annotated[Literal["all", "latest"], typer.Option(help="recording sessions to learn from")] = "all",
    home: Annotated[Path, typer.Option(help="where tables, models and reports of this run go")] = Path("var/train"),
    repository: Annotated[Path, typer.Option(help="model repository to publish to")] = Path("model_repository"),
    name: Annotated[str, typer.Option(help="model name to publish under")] = "scalper",
    until_ns: Annotated[int | None, typer.Option(help="first receive time, ns UTC, that must stay unseen")] = None,
    seed: Annotated[int, typer.Option(help="seed of everything that draws at random")] = 7,
    max_samples: Annotated[int, typer.Option(min=1, help="samples kept in the training set, evenly thinned")] = 40_000,
    allow_shadow: Annotated[bool, typer.Option(help="publish a refused model where no other can serve")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Run the whole pipeline on tapes and publish the model that comes out, if the promotion gate lets it pass."""
    from infra.cli.progress import Progress
    from infra.dagster_instance import write_dagster_home
    from pipelines.run import run_pipeline
    from pipelines.settings import settings_from_env

    chosen = {
        "home": str(home),
        "tape": os.pathsep.join(map(str, tape)),
        "sessions": sessions,
        "model_repository": str(repository),
        "model_name": name,
        "split_ns": until_ns,
        "seed": seed,
        "max_samples": max_samples,
        "allow_shadow": allow_shadow,
    }
    settings = settings_from_env().model_copy(update=_with_stores(chosen))
    progress = Progress()
    result = run_pipeline(settings, write_dagster_home(home, settings.pg_dsn), progress.asset)
    told = summarize(settings, result) | {"wall_s": round(progress.wall_s, 1)}
    print(json.dumps(told) if as_json else in_words(told))


def _with_stores(chosen: dict[str, Any]) -> dict[str, Any]:
    """Servers that the environment names; embedded ones stand in where it names none."""
    named = {"pg_dsn": os.environ.get("CRYPTOSCALP_PG_DSN"), "redis_url": os.environ.get("CRYPTOSCALP_REDIS_URL")}
    return chosen | {setting: url for setting, url in named.items() if url}


def summarize(settings: "PipelineSettings", result: "PipelineResult") -> dict[str, Any]:
    """What a person or a script wants to know of a run: the verdict, the figures, where everything lies."""
    bundle, model = result.assets["published_bundle"], result.assets["onnx_models"]
    return {
        **{key: bundle.get(key) for key in TOLD},
        **{key: model[key] for key in FIGURES},
        "members": model["member_logloss"],
        "weights": model["weights"],
        "drift_share": result.assets["drift_report"]["share_drifted"],
        "drift_report": result.assets["drift_report"]["report"],
        "checks_passed": sum(check.passed for check in result.checks),
        "checks_failed": sorted(f"{check.asset}: {check.name}" for check in result.checks if not check.passed),
        "home": str(settings.home_path),
        "run_id": result.run_id,
        "seconds": {step: round(seconds, 2) for step, seconds in result.seconds.items()},
    }


def in_words(told: dict[str, Any]) -> str:
    """The summary for a terminal."""
    verdict = f"published {told['name']} version {told['version']}" if told["published"] else "published nothing"
    lines = [f"{verdict} ({'promoted' if told['promoted'] else 'refused'})", *(f"  {why}" for why in told["reasons"])]
    lines.append(f"log loss {told['logloss']:.5f}, class shares {told['baseline_logloss']:.5f}, rows {told['rows']:,}")
    lines += [f"  {name:10} {told['members'][name]:.5f}  weight {share:.2f}" for name, share in told["weights"].items()]
    lines.append(f"drifted columns {told['drift_share']:.0%}: {told['drift_report']}")
    return "\n".join(lines)
