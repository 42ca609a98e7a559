"""`cryptoscalp watchdog`: cancel a silent trader's orders from a process of its own."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer


def watchdog(
    home: Annotated[Path, typer.Option(help="run folder of the trader to guard")] = Path("var/trader"),
    symbols: Annotated[str, typer.Option(help="comma-separated, as the venue spells them")] = "",
    venue: Annotated[str, typer.Option(help="binanceusdm, okx or bybit")] = "binanceusdm",
    rest: Annotated[str, typer.Option(help="venue REST address; empty is the venue's own")] = "",
    timeout_s: Annotated[float, typer.Option(min=0.5, help="seconds without a heartbeat that mean silent")] = 5.0,
    flatten: Annotated[bool, typer.Option(help="close positions as well")] = False,
) -> None:
    """Guard a trader: when its heartbeat stops, cancel all orders of its symbols until none is left.

    A trader on a venue without a dead-man's switch (Bybit) starts one itself. Keys come from CRYPTOSCALP_API_KEY,
    CRYPTOSCALP_API_SECRET and, for OKX, CRYPTOSCALP_API_PASSWORD. Prints one JSON line when it ends.
    """
    from trader.errors import ConfigError
    from trader.venues import Keys
    from trader.watchdog import KEY_SETTINGS, WatchdogSettings, guard

    chosen = tuple(s.strip().upper() for s in symbols.split(",") if s.strip())
    if not chosen:
        raise ConfigError("no symbol to guard", "pass --symbols")
    if not home.is_dir():
        raise ConfigError(f"{home} does not exist", "pass --home with the trader's run folder")
    keys = Keys(*(os.environ.get(name, "") for name in KEY_SETTINGS))
    settings = WatchdogSettings(
        venue=venue, symbols=chosen, folder=home, rest=rest or None, timeout_s=timeout_s, flatten=flatten
    )
    print(msgspec.json.encode(asyncio.run(guard(settings, keys))).decode())
