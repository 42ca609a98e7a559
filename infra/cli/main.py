"""The door: ``cryptoscalp COMMAND``. A command's module is imported only when that command runs."""

import contextlib
import importlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from infra.cli.failures import explain

# Each is a function of its own name in infra/cli/<name>.py; a group of commands is a typer `app` there.
COMMANDS = {
    "doctor": "Check this machine and say how to fix what is missing.",
    "demo": "The whole main job on one tape: learn, publish, serve, paper-trade, replay, report.",
    "tape": "Look at recorded market data.",
    "history": "Bring past market data in, and see what is there.",
    "features": "Look at the bank of features, and choose the few that are served.",
    "check": "Find out whether anything that models learn from knows the future.",
    "capture": "Record what an exchange's sockets say to a tape.",
    "simulate": "Run a simulated exchange on a tape.",
    "train": "Turn a tape into a validated, published model.",
    "evaluate": "Judge a published model on tapes it never saw.",
    "models": "Look at the published models, and choose which version serves.",
    "serve": "Run Triton on the model repository until Ctrl-C.",
    "trade": "Run the trader on paper.",
    "watchdog": "Cancel a silent trader's orders from a process of its own.",
    "replay": "Prove that a recorded run comes out the same.",
    "report": "Show a run's figures.",
    "up": "Run everything: stores, Dagster, Triton, exchange and trader, until Ctrl-C.",
}
HERE = Path(__file__).parent
INTERRUPTED = 130
FAILED = 2


class LazyCommand(TyperCommand):
    """Knows a command's name and one line of help; becomes the real command when that is asked for."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return load(str(self.name)).make_context(info_name, args, parent=parent, **extra)


class LazyGroup(TyperGroup):
    """The commands of ``COMMANDS`` that this installation has."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, line in COMMANDS.items():
            if (HERE / f"{name}.py").exists():
                self.add_command(LazyCommand(name=name, callback=None, help=line), name)


def load(name: str) -> Any:
    """The real command ``name``, as the command line library wants it."""
    module = importlib.import_module(f"infra.cli.{name}")
    if hasattr(module, "app"):
        return get_command(module.app)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name)(getattr(module, name))
    return get_command(single)


app = typer.Typer(
    cls=LazyGroup,
    add_completion=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    help="CryptoScalp: an autonomous crypto-futures scalper, trained offline, served by Triton, held by a risk gate.",
)


@app.callback()
def _root(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if show_version:
        print(version("cryptoscalp"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code (0 done, 1 a check failed, 2 an explained error, 130 interrupted)."""
    try:
        code = app(arguments, prog_name="cryptoscalp", standalone_mode=False)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        message, fix = explained
        print(f"error: {message}\nfix: {fix}", file=sys.stderr)
        return FAILED
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry point of the console command."""
    code = run()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.exit(code)


if __name__ == "__main__":
    main()
