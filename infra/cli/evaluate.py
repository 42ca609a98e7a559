"""`cryptoscalp evaluate`: a published bundle on tapes it never saw, against baselines that adapt as it does."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def evaluate(
    bundle: Annotated[Path, typer.Option(help="folder of one version: model_repository/NAME/VERSION")],
    tape: Annotated[list[Path], typer.Option(help="a tape file or a folder of tapes; may be given again")],
    label: Annotated[str, typer.Option(help="nl50 (quotes ahead), 1s or 500ms; default: the bundle's own")] = "",
    block_s: Annotated[float, typer.Option(min=0.1, help="blocks of time that intervals are drawn from")] = 15.0,
    gap_s: Annotated[float, typer.Option(min=1.0, help="silence that separates two recording sessions")] = 3600.0,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Judge a bundle: log loss with intervals, calibration, accuracy and rank correlation, and ratios to baselines.

    Every model and every baseline is recalibrated on labels that have matured, symbol by symbol, as the trader does it.
    """
    from infra.cli.progress import Progress
    from pipelines.evaluation import evaluate_bundle

    told = evaluate_bundle(bundle, tape, label or None, gap_s, block_s, Progress().say)
    print(json.dumps(told) if as_json else in_words(told))


def in_words(told: dict[str, Any]) -> str:
    """The verdict first, then the table."""
    lines = [
        f"{told['bundle']}: {told['verdict']}",
        f"{told['n']:,} decisions, {told['blocks']} blocks, {told['label']}",
    ]
    lines.append(
        f"{'model':18} {'log loss':>9} {'95 % interval':>19} {'ece':>6} {'cover':>6} {'acc>.7':>6} {'rank ic':>7}"
    )
    lines += [_line(name, told[name]) for name, value in told.items() if isinstance(value, dict) and "ece" in value]
    lines.append("ratio of the ensemble's log loss to")
    lines += [
        f"  {name:18} {ratio:.4f}  [{low:.4f}, {high:.4f}]" for name, (ratio, low, high) in told["ratios"].items()
    ]
    return "\n".join(lines)


def _line(name: str, figures: dict[str, Any]) -> str:
    low, high = figures["logloss_ci"]
    shown = [f"{figures[key]:.3f}" if figures[key] is not None else "-" for key in ("accuracy_p70", "rank_ic")]
    numbers = (
        f"{figures['logloss']:9.5f} [{low:8.5f}, {high:8.5f}] {figures['ece']:6.3f} {figures['coverage_p70']:6.1%}"
    )
    return f"{name:18} {numbers} {shown[0]:>6} {shown[1]:>7}"
