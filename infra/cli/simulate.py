"""`cryptoscalp simulate`: a simulated exchange in the foreground."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer


def simulate(
    venue: Annotated[str, typer.Option(help="whose protocol to speak: binanceusdm, okx or bybit")] = "binanceusdm",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one")] = 0,
    tape: Annotated[Path | None, typer.Option(help="recorded market to play; without it one is generated")] = None,
    seed: Annotated[int, typer.Option(help="seed of the generated market and of the account's keys")] = 7,
    speed: Annotated[float, typer.Option(help="1 is real time")] = 1.0,
    start_ns: Annotated[int, typer.Option(help="first receive time to stream, ns UTC")] = 0,
    latency_ms: Annotated[float, typer.Option(help="from a request to the book")] = 5.0,
    wallet: Annotated[float, typer.Option(help="quote units the account starts with")] = 10_000.0,
    leverage: Annotated[int, typer.Option(min=1, max=125, help="initial leverage of every symbol")] = 20,
) -> None:
    """Serve a simulated exchange on loopback until Ctrl-C; prints one JSON line with its addresses and keys when ready.

    Unmodified exchange clients trade on it by address alone. The market is a recording, played in real time once the
    first client subscribes to it; orders queue behind its visible size and no fill is invented.
    """
    from market.simulator.serve import Options, serve

    serve(
        Options(
            venue=venue,
            tape=tape,
            start_ns=start_ns,
            speed=speed,
            port=port,
            seed=seed,
            latency_ms=latency_ms,
            wallet=Decimal(str(wallet)),
            leverage=leverage,
        )
    )
