"""`cryptoscalp capture`: record a venue's sockets to a tape."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from trader.errors import ConfigError


def capture(
    out: Annotated[Path, typer.Argument(help="folder for the tape files")],
    symbols: Annotated[str, typer.Option(help="comma-separated, as the venue spells them")],
    seconds: Annotated[float, typer.Option(help="stop after this long; 0 runs until Ctrl-C")] = 0.0,
    rest: Annotated[str, typer.Option(help="REST address, scheme and host")] = "https://fapi.binance.com",
    ws: Annotated[str, typer.Option(help="WebSocket address, scheme and host")] = "wss://fstream.binance.com",
    as_json: Annotated[bool, typer.Option("--json", help="print the counts as one JSON object")] = False,
) -> None:
    """Write what the sockets say, untouched, with receive times; each (re)connection adds a depth snapshot."""
    import uvloop

    from trader.recording import record

    chosen = tuple(s.strip().upper() for s in symbols.split(",") if s.strip())
    if not chosen:
        raise ConfigError("--symbols names no symbol", "pass for example --symbols BTCUSDT,ETHUSDT")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        counts = runner.run(record(out, chosen, rest, ws, seconds))
    print(json.dumps(counts) if as_json else "\n".join(f"{name:20} {count}" for name, count in counts.items()))
