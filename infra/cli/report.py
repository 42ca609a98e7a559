"""`cryptoscalp report`: one run's figures and plots, from its tape and journal alone."""

import json
from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="run folder that `cryptoscalp trade` wrote")],
    repository: Annotated[Path, typer.Option(help="model repository, to recheck the scores")] = Path(
        "model_repository"
    ),
    out: Annotated[Path | None, typer.Option(help="where to write the page; default RUN/report.html")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the figures as one JSON object")] = False,
) -> None:
    """Replay a run and show what it did: money, latency, refusals, and whether every decision came out the same."""
    from pipelines.report import flatten, run_figures, verdict, write_report
    from pipelines.run_summary import latency_figures, replay_figures, replay_run, trader_figures
    from trader.journal import Run

    result, observed = replay_run(Run(run), repository)
    summary = {
        "run": str(run),
        "trader": trader_figures(result, observed),
        "replay": replay_figures(result),
        "latency_us": latency_figures(observed),
    }
    page = out or run / "report.html"
    write_report(page, summary, run_figures(observed), verdict(summary, observed))
    if as_json:
        print(json.dumps(summary))
        return
    for name, text in flatten(summary):
        print(f"{name:44} {text}")
    print(f"report: {page}")
