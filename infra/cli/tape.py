"""``cryptoscalp tape``: look into recordings."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from market.tape import convert as rewrite
from market.tape_stats import Report, tape_stats

app = typer.Typer(help="Look into tapes (recorded market data).", no_args_is_help=True)
_MOST_REASONS = 10


@app.callback()
def _group() -> None:
    """Look into tapes (recorded market data)."""


@app.command()
def stats(
    path: Annotated[Path, typer.Argument(help="A tape file, or a folder of tapes (one chained stream per symbol).")],
    json: Annotated[bool, typer.Option("--json", help="Print the numbers as one JSON object.")] = False,
) -> None:
    """Count what a tape holds and check that it can be believed."""
    with Console(stderr=True).status(f"reading {path}"):
        report = tape_stats(path)
    _warn(report)
    facts = msgspec.to_builtins(report.stats)
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(facts)).decode())
    else:
        Console().print(_table(path, facts))


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A recording (zstd, zip, JSON lines) or a folder of them.")],
    folder: Annotated[Path, typer.Argument(help="Where the tapes go: one per symbol and UTC day.")],
) -> None:
    """Rewrite recordings of other formats as tapes; the frames stay untouched."""
    with Console(stderr=True).status(f"converting {source}"):
        tapes = rewrite(source, folder)
    for tape in tapes:
        typer.echo(str(tape))


def _warn(report: Report) -> None:
    for note in report.notes + [f"quarantined: {reason}" for reason in report.reasons[:_MOST_REASONS]]:
        typer.echo(note, err=True)


def _table(path: Path, facts: dict[str, Any]) -> Table:
    table = Table("what", "value", title=str(path))
    for name, value in facts.items():
        table.add_row(name, _text(value))
    return table


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, float):
        return f"{value:,.3f}"
    return "-" if value is None else str(value)
