"""What a venue's protocol face is to the server that runs it; ``<venue>_kit.KIT`` says how to build one."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web

from market.simulator.exchange import Exchange
from market.simulator.hub import Hub
from market.simulator.orders import Order
from market.simulator.player import Player
from market.simulator.reports import Stop
from market.simulator.scan import Fees
from market.tape import Session

KITS: Final = {
    "binanceusdm": "market.simulator.binance_kit",
    "okx": "market.simulator.okx_kit",
    "bybit": "market.simulator.bybit_kit",
}
VENUE: Final = "binanceusdm"


class Options(msgspec.Struct, frozen=True):
    """What to simulate. ``tape`` None generates one from ``seed``; ``start_ns`` 0 plays the oldest session whole."""

    venue: str = VENUE
    tape: Path | None = None
    start_ns: int = 0
    speed: float = 1.0
    port: int = 0
    seed: int = 7
    latency_ms: float = 5.0
    wallet: Decimal = Decimal(10_000)
    leverage: int = 20
    fees: Fees = Fees()


class Face(Protocol):
    """One venue's protocol around one exchange."""

    unknown_orders: int
    events_sent: dict[str, int]

    @property
    def exchange(self) -> Exchange: ...

    @property
    def player(self) -> Player: ...

    @property
    def hub(self) -> Hub: ...

    def routes(self) -> list[web.RouteDef]:
        """Every path of the venue, REST and WebSocket."""
        ...

    def keys(self) -> dict[str, str | None]:
        """``api_key``, ``secret`` and ``password`` (None where the venue has none) for the ready line."""
        ...

    def tick(self) -> None:
        """Let time-outs happen; called twice a second."""
        ...

    def expire_sessions(self) -> None:
        """End what keeps user streams alive (listen keys, log-ins) as the venue would."""
        ...

    def order_record(self, order: Order) -> dict[str, Any]:
        """An order as the venue's queries return it."""
        ...

    def stop_record(self, stop: Stop) -> dict[str, Any]:
        """A conditional order as the venue's queries return it."""
        ...


class Kit(msgspec.Struct, frozen=True):
    """How to build a face: tapes of ``tape_venues`` can be played, the first one preferred.

    ``build`` returns the face with its player not yet warmed up; the server does that.
    """

    tape_venues: tuple[str, ...]
    build: Callable[[Options, Session], Face]
