"""``cryptoscalp history``: bring past market data in, and see what is there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from pipelines.history.imports import Imported, Told
    from pipelines.resources import Workspace

app = typer.Typer(help="Bring past market data in, and see what is there.", no_args_is_help=True)
FAILED_CHECK = 1

Home = Annotated[Path, typer.Option(help="Folder that holds the tables.")]
Json = Annotated[bool, typer.Option("--json", help="Print the numbers as one JSON object.")]


@app.callback()
def _group() -> None:
    """Bring past market data in, and see what is there."""


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders with all that is below them.")],
    home: Home = Path("var/demo"),
    venue: Annotated[str, typer.Option(help="Venue, where files do not tell it (e.g. binanceusdm).")] = "",
    symbol: Annotated[str, typer.Option(help="Symbol, where files do not tell it (e.g. BTCUSDT).")] = "",
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; may be given several times.")] = None,
    json: Json = False,
) -> None:
    """Read archive files, tapes, klines and funding into one table per kind, venue, symbol and day.

    Exits with 1 when a partition does not meet its expectations; it is written all the same, and marked.
    """
    from pipelines.history.imports import import_paths
    from pipelines.history.names import Names

    names = Names(venue, symbol.upper(), bool(symbol))
    with _bars() as told:
        imported = import_paths(_workspace(home), paths, names, _kinds(kind), told)
    _show(imported, json)
    if any(outcome.problems for outcome in imported.partitions):
        raise typer.Exit(FAILED_CHECK)


@app.command()
def fetch(
    symbol: Annotated[str, typer.Argument(help="ccxt's name of the market, e.g. BTC/USDT:USDT.")],
    kind: Annotated[str, typer.Option(help="trades, klines, funding or open_interest.")],
    since: Annotated[str, typer.Option(help="First moment, UTC, e.g. 2024-07-18 or 2024-07-18T12:00.")],
    until: Annotated[str, typer.Option(help="First moment that is not wanted, UTC.")],
    venue: Annotated[str, typer.Option(help="Venue as ccxt calls it.")] = "binanceusdm",
    interval: Annotated[str, typer.Option(help="Bar length of klines.")] = "1m",
    url: Annotated[str, typer.Option(help="Address to use instead of the venue's own.")] = "",
    home: Home = Path("var/demo"),
    json: Json = False,
) -> None:
    """Page through a venue's REST history, then import it. Interrupted, it goes on where it stopped when run again."""
    from pipelines.history.imports import import_paths
    from pipelines.history.rest import Wanted, fetch_pages, time_ms

    wanted = Wanted(venue, symbol, kind, time_ms(since, "--since"), time_ms(until, "--until"), interval)
    workspace = _workspace(home)
    with _bars() as told:
        path = fetch_pages(wanted, workspace.path("history", "pages"), url, lambda share: told("pages", share))
        imported = import_paths(workspace, [path], told=told)
    _show(imported, json)


@app.command("list")
def list_(home: Home = Path("var/demo"), json: Json = False) -> None:
    """List the partitions that are there."""
    from pipelines.history.listing import listing

    found = listing(_workspace(home))
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode({"partitions": found})).decode())
        return
    Console().print(_table("history", ("kind", "venue", "symbol", "day", "rows", "gaps", "missing", "rejected"), found))


def _workspace(home: Path) -> "Workspace":
    from pipelines.resources import Workspace
    from pipelines.settings import settings_from_env

    return Workspace(settings=settings_from_env().model_copy(update={"home": str(home)}))


def _kinds(kind: list[str] | None) -> tuple[str, ...]:
    from pipelines.history.schema import KINDS, HistoryError

    unknown = set(kind or ()) - set(KINDS)
    if unknown:
        raise HistoryError(f"--kind {', '.join(sorted(unknown))}: no such kind", f"use {', '.join(KINDS)}")
    return tuple(kind) if kind else KINDS


@contextmanager
def _bars() -> Iterator["Told"]:
    """A bar per file that is being read, one for the partitions."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def told(what: str, share: float) -> None:
            if what not in tasks:
                for done in tasks.values():
                    progress.update(done, visible=False)
                tasks[what] = progress.add_task(what, total=1.0)
            progress.update(tasks[what], completed=share)

        yield told


def _show(imported: "Imported", json: bool) -> None:
    for path, reason in imported.skipped:
        typer.echo(f"left out: {path}: {reason}", err=True)
    torn = [source.path for source in imported.sources if source.truncated]
    for path in torn:
        typer.echo(f"breaks off: {path}: every whole line before is in", err=True)
    for outcome in imported.partitions:
        for problem in outcome.problems:
            typer.echo(f"failed: {outcome.kind} {outcome.venue} {outcome.symbol} {outcome.day}: {problem}", err=True)
    rows = [msgspec.to_builtins(outcome) for outcome in imported.partitions]
    if json:
        skipped = [{"path": path, "reason": reason} for path, reason in imported.skipped]
        facts = {"files": len(imported.sources), "skipped": skipped, "truncated": torn, "partitions": rows}
        typer.echo(msgspec.json.format(msgspec.json.encode(facts)).decode())
        return
    names = ("kind", "venue", "symbol", "day", "rows", "rejected", "repeated", "gaps", "missing")
    Console().print(_table(f"{len(imported.sources)} files", names, rows))


def _table(title: str, names: Sequence[str], rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(*names, title=title)
    for row in rows:
        table.add_row(*(f"{row[name]:,}" if isinstance(row[name], int) else str(row[name]) for name in names))
    return table
