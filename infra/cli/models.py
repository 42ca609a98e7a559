"""``cryptoscalp models``: what is published, what its gate said, and which version serves."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pipelines.registry import Listed
    from trader.bundle import Manifest
    from trader.serving import Serving

app = typer.Typer(help="Look at the published models, and choose which version serves.", no_args_is_help=True)

Repository = Annotated[Path, typer.Option(help="Model repository.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Why = Annotated[str, typer.Option(help="Why; kept beside the choice.")]
Named = Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A model; the serving version if none is said.")]
HERE = Path("model_repository")
_RESTART = "a trader and Triton that start from now on take it; restart those that run"


@app.callback()
def _group() -> None:
    """Look at the published models, and choose which version serves."""


@app.command("list")
def list_(repository: Repository = HERE, json: Json = False) -> None:
    """List every published version; the serving ones are marked."""
    from pipelines.registry import list_models

    rows = [_row(listed) for listed in list_models(repository)]
    if json:
        _print_json({"models": rows})
        return
    table = Table("model", "version", "serving", "gate", "log loss", "published", title=f"{len(rows)} versions")
    for row in rows:
        loss = "" if row["logloss"] is None else f"{row['logloss']:.5f}"
        shown = (row["name"], row["version"], "yes" if row["serving"] else "", row["gate"], loss, row["created"])
        table.add_row(*map(str, shown))
    Console().print(table)


@app.command()
def show(model: Named, repository: Repository = HERE, json: Json = False) -> None:
    """Say what a version learned from, how good it is, what its gate said, and its hashes."""
    from trader.bundle import read_manifest, version_dir
    from trader.serving import serving_version

    name, version = _parsed(model)
    serves = serving_version(repository, name) if version is None else version
    manifest = read_manifest(version_dir(repository, name, serves))
    if json:
        _print_json({key: value for key, value in msgspec.to_builtins(manifest).items() if key != "known_answer"})
        return
    typer.echo("\n".join(_words(manifest)))


@app.command()
def promote(model: Named, repository: Repository = HERE, reason: Why = "promoted by hand", json: Json = False) -> None:
    """Make a version the serving one, if its own gate promoted it."""
    from pipelines.registry import promote as choose

    name, version = _parsed(model)
    if version is None:
        raise typer.BadParameter(f"no version in {model!r}: give NAME@VERSION", param_hint="MODEL")
    _chosen(name, choose(repository, name, version, reason), json)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="A model.")],
    repository: Repository = HERE,
    reason: Why = "rolled back by hand",
    json: Json = False,
) -> None:
    """Go back to the promoted version that served before."""
    from pipelines.registry import rollback as go_back

    _chosen(name, go_back(repository, name, reason), json)


def _parsed(model: str) -> tuple[str, int | None]:
    name, at, version = model.partition("@")
    if not name or (at and not version.isdecimal()):
        raise typer.BadParameter(f"{model!r} is no NAME@VERSION", param_hint="MODEL")
    return name, int(version) if at else None


def _chosen(name: str, serving: "Serving", json: bool) -> None:
    if json:
        _print_json({"name": name, **msgspec.to_builtins(serving)})
        return
    before = ", ".join(map(str, reversed(serving.previous))) or "none"
    typer.echo(f"{name}@{serving.version} serves ({serving.reason}); before it: {before}\n{_RESTART}")


def _row(listed: "Listed") -> dict[str, Any]:
    known = {"name": listed.name, "version": listed.version, "serving": listed.serving}
    manifest = listed.manifest
    if manifest is None:
        return {**known, "gate": f"broken: {listed.problem}", "logloss": None, "created": ""}
    gate = "promoted" if manifest.gate.promoted else "refused"
    return {**known, "gate": gate, "logloss": manifest.metrics.logloss, "created": _utc(manifest.created_ns)}


def _words(manifest: "Manifest") -> list[str]:
    data, metrics = manifest.data, manifest.metrics
    verdict = "promoted" if manifest.gate.promoted else "refused"
    confident = "no score above 0.7" if metrics.accuracy_p70 is None else f"{metrics.accuracy_p70:.1%} right"
    return [
        f"{manifest.name}@{manifest.version}, published {_utc(manifest.created_ns)}, code {manifest.code_version}",
        f"label {manifest.label.kind}{manifest.label.k}, {manifest.label.latency_ms:g} ms after the decision",
        f"data: {data.rows:,} samples of {', '.join(data.symbols)}",
        f"  {_utc(data.first_ts_ns)} to {_utc(data.last_ts_ns)}, fitted until {_utc(data.fitted_until_ns)}",
        f"  tape {data.tape}",
        f"metrics on {metrics.rows:,} unseen samples:",
        f"  log loss {metrics.logloss:.5f} (class shares {metrics.baseline_logloss:.5f}), Brier {metrics.brier:.5f}",
        f"  calibration error {metrics.ece:.4f}; above 0.7: {metrics.coverage_p70:.1%} of scores, {confident}",
        *(f"  {name}: {loss:.5f}, weight {metrics.weights.get(name, 0):.2f}" for name, loss in metrics.members.items()),
        f"gate: {verdict}",
        *(f"  {reason}" for reason in manifest.gate.reasons),
        "parity: " + ", ".join(f"{name} {difference:.1e}" for name, difference in manifest.parity.items()),
        f"state: {manifest.state} {manifest.state_reason}".rstrip(),
        f"schema {manifest.schema_id}, data sha256 {data.sha256}",
        *(f"{name} sha256 {digest}" for name, digest in manifest.sha256.items()),
    ]


def _utc(stamp_ns: int) -> str:
    return datetime.fromtimestamp(stamp_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _print_json(value: Any) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
