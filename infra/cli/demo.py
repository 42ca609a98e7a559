"""`cryptoscalp demo`: the whole main job on one tape, from frames to a replayed paper run and its report."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    tape: Annotated[
        Path | None, typer.Option(help="tape file or folder; without it a seeded market is simulated")
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of the simulated market and of training")] = 7,
    minutes: Annotated[float, typer.Option(min=3.0, help="length of the simulated market")] = 10.0,
    live_seconds: Annotated[
        float, typer.Option(min=20.0, help="most seconds of unseen tape streamed to the trader")
    ] = 120.0,
    home: Annotated[Path, typer.Option(help="where everything of the demo is kept")] = Path("var/demo"),
    repository: Annotated[Path, typer.Option(help="Triton model repository to publish to")] = Path("model_repository"),
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as one JSON object at the end")] = False,
) -> None:
    """Ingest, validate, train, publish, serve on Triton, paper-trade the unseen end of the tape, replay, report."""
    from infra.cli.demo_stages import DemoSettings, run_demo

    settings = DemoSettings(
        tape=tape,
        seed=seed,
        minutes=minutes,
        live_seconds=live_seconds,
        home=home.resolve(),
        repository=repository.resolve(),
    )
    run_demo(settings, as_json)
