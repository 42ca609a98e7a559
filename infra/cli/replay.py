"""`cryptoscalp replay`: prove that a recorded run comes out the same."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from trader.errors import JournalError


def replay(
    run: Annotated[Path, typer.Argument(help="run folder that `cryptoscalp trade` wrote (journal.cslog and tape/)")],
    repository: Annotated[Path, typer.Option(help="model repository, to check the journaled scores too")] = Path(
        "model_repository"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Run tape and journal through the same engine again; exit 1 when any decision, order or cancel differs."""
    from trader.journal import Run
    from trader.replay import Replay, scorer_of

    folder = Run(run)
    if not folder.journal.exists():
        raise JournalError(f"{run} holds no journal.cslog", "pass the --home of a `cryptoscalp trade` run")
    with Progress(
        SpinnerColumn(), TextColumn("replaying {task.fields[frames]} frames"), console=Console(stderr=True)
    ) as bar:
        task = bar.add_task("replay", total=None, frames=0)
        scorer = scorer_of(folder.journal, repository)
        result = Replay(folder.journal, folder.tape, scorer).run(lambda n: bar.update(task, frames=n))
    if as_json:
        print(msgspec.json.encode(result).decode())
    else:
        for name, value in msgspec.structs.asdict(result).items():
            print(f"{name:20} {value}")
    if result.differing:
        raise typer.Exit(1)
