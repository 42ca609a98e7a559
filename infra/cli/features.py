"""``cryptoscalp features``: look at the bank of features, and choose the few that are served."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from features.family import Feature
    from pipelines.selection_report import Selection
    from pipelines.told import Told

app = typer.Typer(help="Look at the bank of features, and choose the few that are served.", no_args_is_help=True)
_MOST_SHOWN = 40
_SHOWN = ("name", "family", "group", "unit", "definition", "source", "zero_rule", "mirror")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def _group() -> None:
    """Look at the bank of features, and choose the few that are served."""


@app.command("list")
def list_(
    family: Annotated[str, typer.Option(help="Only this family or group.")] = "",
    json: Json = False,
) -> None:
    """List the features of the bank; those that are served are marked."""
    from features.bank import BANK
    from features.schema import INDEX

    found = [feature for feature in BANK if family in ("", feature.family, feature.group)]
    if not found:
        families = sorted({feature.family for feature in BANK})
        raise typer.BadParameter(f"no family {family!r}: there are {', '.join(families)}", param_hint="--family")
    if json:
        _print_json({"features": [{**_told(feature), "served": feature.name in INDEX} for feature in found]})
        return
    table = Table("feature", "family", "group", "unit", "served", title=f"{len(found):,} of {len(BANK):,} features")
    for feature in found:
        served = "yes" if feature.name in INDEX else ""
        table.add_row(feature.name, feature.family, feature.group, feature.unit, served)
    Console().print(table)


@app.command()
def show(name: Annotated[str, typer.Argument(help="Name of a feature.")], json: Json = False) -> None:
    """Say exactly what a feature is, in which unit, and where it comes from."""
    from features.bank import BANK
    from features.plan import select as by_name

    (feature,) = by_name(BANK, [name])
    if json:
        _print_json(_told(feature))
        return
    table = Table(show_header=False)
    for key, value in _told(feature).items():
        table.add_row(key.replace("_", " "), value)
    Console().print(table)


@app.command()
def select(
    tape: Annotated[list[Path], typer.Option(help="A tape file, or a folder of tapes; may be given several times.")],
    count: Annotated[int, typer.Option(min=1, help="Features to choose.")] = 25,
    apply: Annotated[Path | None, typer.Option(help="Write the chosen set to this file.")] = None,
    home: Annotated[Path, typer.Option(help="Where rows of the bank and the ranking go.")] = Path("var/selection"),
    reference: Annotated[str, typer.Option(help="Symbol that cross-asset features watch.")] = "BTC",
    rows: Annotated[int, typer.Option(min=1, help="Decision points kept per symbol and session.")] = 12_000,
    seed: Annotated[int, typer.Option(help="Seed of everything that draws at random.")] = 7,
    json: Json = False,
) -> None:
    """Rank the whole bank on recorded tapes, and say which few features are worth serving.

    Nothing changes unless --apply names a file, or `cryptoscalp features apply` is called afterwards.
    """
    from features.served import served_file
    from infra.dagster_instance import write_dagster_home
    from pipelines.assets.selection import read_selection
    from pipelines.definitions import SELECT_JOB
    from pipelines.resources import Workspace
    from pipelines.run import run_pipeline
    from pipelines.served_set import write_served
    from pipelines.settings import settings_from_env
    from pipelines.told import listening

    given = {
        "home": str(home),
        "tape": str(tape[0]),
        "selection_tapes": [str(path) for path in tape],
        "selection_count": count,
        "selection_rows": rows,
        "reference_symbol": reference,
        "seed": seed,
    }
    settings = settings_from_env().model_copy(update=given)
    with _bars() as told, listening(told):
        run_pipeline(settings, write_dagster_home(home, settings.pg_dsn), job=SELECT_JOB)
    found = read_selection(Workspace(settings=settings))
    if apply is not None:
        write_served(served_file(), apply, found.chosen)
    if json:
        _print_json({**msgspec.to_builtins(found), "applied": None if apply is None else str(apply)})
        return
    _print_selection(found, home, apply, served_file())


@app.command("apply")
def apply_(
    file: Annotated[Path, typer.Argument(help="Where the set goes; the served file itself changes it for good.")],
    home: Annotated[Path, typer.Option(help="Home of the selection.")] = Path("var/selection"),
) -> None:
    """Write the set that the latest selection chose to a file."""
    from features.served import served_file
    from pipelines.assets.selection import read_selection
    from pipelines.resources import Workspace
    from pipelines.served_set import write_served
    from pipelines.settings import settings_from_env

    settings = settings_from_env().model_copy(update={"home": str(home)})
    found = read_selection(Workspace(settings=settings))
    write_served(served_file(), file, found.chosen)
    typer.echo(_applied(file, found))


def _told(feature: "Feature") -> dict[str, str]:
    return {key: getattr(feature, key) for key in _SHOWN}


def _print_json(value: Any) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def _applied(file: Path, found: "Selection") -> str:
    return f"SCHEMA_ID {found.schema_id} is in {file}; use it with CRYPTOSCALP_FEATURES={file}, and train again"


def _print_selection(found: "Selection", home: Path, applied: Path | None, served_file: Path) -> None:
    from pipelines.selection_report import in_words

    Console().print(_ranking(found))
    typer.echo(f"{found.samples:,} decision points, {len(found.rows):,} features in {found.clusters:,} clusters")
    typer.echo("out of sample, each fold selecting anew from what it learns from:")
    for trial in found.trials:
        typer.echo(f"  {in_words(trial)}")
    typer.echo(f"SCHEMA_ID {found.served_schema_id} -> {found.schema_id}")
    typer.echo(f"out: {', '.join(found.leaving) or 'none'}\nin:  {', '.join(found.coming) or 'none'}")
    if applied is not None:
        typer.echo(_applied(applied, found))
        return
    typer.echo(f"nothing is changed; `cryptoscalp features apply {served_file} --home {home}` does")


def _ranking(found: "Selection") -> Table:
    from pipelines.selection_report import interval, share

    table = Table(title="the best of the bank: how often selected, and what shuffling adds in thousandths of a nat")
    for name, wraps in (("feature", False), ("in", False), ("selected", False), ("importance", False), ("why", True)):
        table.add_column(name, no_wrap=not wraps)
    for row in found.rows[:_MOST_SHOWN]:
        inside = "yes" if row.chosen else ""
        table.add_row(row.name, inside, share(row.probability), interval(row.importance), row.why)
    return table


@contextmanager
def _bars() -> Iterator["Told"]:
    """A bar per long step."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def told(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=1.0)
            progress.update(tasks[what], completed=share)

        yield told
