"""`cryptoscalp doctor`: what this machine has, and how to get what it lacks."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from infra.cli.health import Row


def doctor(
    home: Annotated[Path, typer.Option(help="folder whose disk is checked")] = Path("var"),
    repository: Annotated[Path, typer.Option(help="model repository to look into")] = Path("model_repository"),
    quick: Annotated[bool, typer.Option("--quick", help="start no servers")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Check Python, packages, Triton, the embedded servers, ports, memory, disk, data and models.

    Exits with 1 when something that is needed fails; each row that is not fine says how to fix it.
    """
    from infra.cli.health import examine

    rows = examine(home.resolve(), repository.resolve(), start_servers=not quick)
    healthy = all(row.state != "fail" for row in rows)
    if as_json:
        print(json.dumps({"healthy": healthy, "checks": [row._asdict() for row in rows]}))
    else:
        _print(rows)
    raise typer.Exit(0 if healthy else 1)


def _print(rows: "list[Row]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("check", "state", "found", show_lines=False)
    colors = {"ok": "green", "warn": "yellow", "fail": "red"}
    for row in rows:
        fix = f"\n[bold]fix:[/bold] {row.fix}" if row.fix else ""
        table.add_row(row.check, f"[{colors[row.state]}]{row.state}[/]", row.found + fix)
    Console().print(table)
