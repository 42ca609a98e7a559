"""`cryptoscalp capture`: record a venue's sockets to a tape."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from market.errors import CryptoScalpError
from trader.errors import ConfigError

HOSTS: Final = {
    "binanceusdm": ("https://fapi.binance.com", "wss://fstream.binance.com"),
    "okx": ("https://www.okx.com", "wss://ws.okx.com:8443,wss://wsaws.okx.com:8443"),
    "bybit": ("https://api.bybit.com", "wss://stream.bybit.com"),
}


def capture(
    out: Annotated[Path, typer.Argument(help="folder for the tape files")],
    symbols: Annotated[str, typer.Option(help="comma-separated, as the venue spells them")],
    venue: Annotated[str, typer.Option(help="binanceusdm, okx or bybit")] = "binanceusdm",
    seconds: Annotated[float, typer.Option(min=0, help="stop after this long; 0 runs until Ctrl-C")] = 0.0,
    rest: Annotated[str, typer.Option(help="REST address; empty is the venue's own")] = "",
    ws: Annotated[str, typer.Option(help="WebSocket addresses, primary first; empty is the venue's own")] = "",
    most_mb: Annotated[int, typer.Option(min=1, help="begin a new tape file beyond this size")] = 128,
    snapshot_s: Annotated[float, typer.Option(min=0, help="time between depth snapshots of a symbol; 0: none")] = 300.0,
    lines: Annotated[int, typer.Option(min=1, max=2, help="2: every stream on two connections at once")] = 1,
    check: Annotated[bool, typer.Option(help="decode what is recorded, to count gaps and bad frames")] = True,
    metrics_port: Annotated[int | None, typer.Option(min=0, max=65535, help="serve Prometheus metrics here")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as one JSON object")] = False,
) -> None:
    """Write what the sockets say, untouched, with receive times; each (re)connection adds a depth snapshot.

    Tapes end at midnight UTC and at --most-mb; each finished one has its SHA-256 beside it.
    """
    import uvloop

    from trader.feed import FeedSettings
    from trader.recording import CaptureSettings, record, symbols_of

    chosen = symbols_of(symbols)
    if not chosen:
        raise ConfigError("--symbols names no symbol", "pass for example --symbols BTCUSDT,ETHUSDT")
    if venue not in HOSTS:
        raise ConfigError(f"--venue {venue} is unknown", f"use one of {', '.join(HOSTS)}")
    settings = CaptureSettings(
        out=out,
        symbols=chosen,
        venue=venue,
        rest=rest or HOSTS[venue][0],
        ws=tuple((ws or HOSTS[venue][1]).split(",")),
        seconds=seconds,
        most_bytes=most_mb << 20,
        snapshot_s=snapshot_s,
        check=check,
        metrics_port=metrics_port,
        feed=FeedSettings(lines=lines),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            report = runner.run(record(settings, _progress if sys.stderr.isatty() else None))
        except OSError as error:
            raise CryptoScalpError(
                f"{out}: recording stopped: {error}", "free disk space; what was written before stays"
            ) from None
    print(json.dumps(report) if as_json else "\n".join(_lines(report)))


def _progress(figures: dict[str, Any]) -> None:
    """One line that overwrites itself."""
    line = f"{figures['frames']:,} frames  {figures['per_s']:,}/s  {figures['up']}/{figures['symbols']} symbols up"
    print(f"\r{line}  {figures['waiting']:,} waiting for the disk   ", end="", file=sys.stderr, flush=True)


def _lines(report: dict[str, Any]) -> list[str]:
    return [f"{name:20} {value}" for name, value in report.items() if not isinstance(value, dict)] + [
        f"{name:20} {label}: {value}"
        for name, group in report.items()
        if isinstance(group, dict)
        for label, value in group.items()
    ]
