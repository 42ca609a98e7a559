"""The operator's door, ``/sim``: plant faults, read the truth. Not part of any venue's protocol, and unsigned."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec
from aiohttp import web

from market.simulator.account import ZERO
from market.simulator.face import Face


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """One planted fault.

    ``delay_ms``: market frames leave ``value`` ms late from now on (0 ends it). Of the market messages of ``symbol``
    that clients listen to, the next ``count`` are swallowed by ``drop``, sent twice by ``duplicate``, sent after the
    ``value``-th later one (at least 1) of their stream by ``reorder``; ``gap`` swallows depth messages only.
    ``reset``: sequence numbers of ``symbol`` start anew. ``clock_skew_ms``: the venue's clock is off by ``value``.
    ``disconnect_market``, ``disconnect_user``: sockets break without a close frame. On one market socket alone, the
    oldest but ``line``: ``line_disconnect`` breaks it, ``line_swallow`` sends ``count`` messages never,
    ``line_delay_ms`` all of them ``value`` ms late.
    ``order_503_unknown``: the next ``count`` orders are carried out and answered with "503 Unknown error".
    ``expire_listen_key``: the listen key ends now.
    """

    kind: str
    value: float = 0.0
    count: int = 1
    symbol: str = ""
    line: int = 0


def _delay(face: Face, fault: Fault) -> int:
    face.hub.delay_s = max(0.0, fault.value / 1000)
    return len(face.hub.sockets)


def _drop(face: Face, fault: Fault) -> int:
    face.hub.faults.drop[fault.symbol] += fault.count
    return fault.count


def _duplicate(face: Face, fault: Fault) -> int:
    face.hub.faults.duplicate[fault.symbol] += fault.count
    return fault.count


def _reorder(face: Face, fault: Fault) -> int:
    face.hub.faults.late_by = max(1, int(fault.value))
    face.hub.faults.reorder[fault.symbol] += fault.count
    return fault.count


def _gap(face: Face, fault: Fault) -> int:
    face.hub.faults.gap[fault.symbol] += fault.count
    return fault.count


def _reset(face: Face, fault: Fault) -> int:
    face.hub.reset(fault.symbol)
    return 1


def _clock_skew(face: Face, fault: Fault) -> int:
    face.player.clock_skew_ns = int(fault.value * 1e6)
    return 1


def _disconnect_market(face: Face, _fault: Fault) -> int:
    return _break(list(face.hub.sockets))


def _line(face: Face, fault: Fault) -> list[Any]:
    """The market socket that a fault is meant for, if there are so many."""
    return sorted(face.hub.sockets, key=lambda socket: socket.number)[fault.line : fault.line + 1]


def _line_disconnect(face: Face, fault: Fault) -> int:
    return _break(_line(face, fault))


def _line_swallow(face: Face, fault: Fault) -> int:
    for socket in _line(face, fault):
        socket.swallow += fault.count
    return fault.count


def _line_delay(face: Face, fault: Fault) -> int:
    sockets = _line(face, fault)
    for socket in sockets:
        socket.late_s = max(0.0, fault.value / 1000)
    return len(sockets)


def _disconnect_user(face: Face, _fault: Fault) -> int:
    return _break(list(face.hub.users))


def _break(sockets: list[Any]) -> int:
    for socket in sockets:
        socket.drop()
    return len(sockets)


def _unknown_order(face: Face, fault: Fault) -> int:
    face.unknown_orders += fault.count
    return fault.count


def _expire_listen_key(face: Face, _fault: Fault) -> int:
    face.expire_sessions()
    return len(face.hub.users)


KINDS: Final[dict[str, Callable[[Face, Fault], int]]] = {
    "delay_ms": _delay,
    "drop": _drop,
    "duplicate": _duplicate,
    "reorder": _reorder,
    "gap": _gap,
    "reset": _reset,
    "clock_skew_ms": _clock_skew,
    "disconnect_market": _disconnect_market,
    "disconnect_user": _disconnect_user,
    "line_disconnect": _line_disconnect,
    "line_swallow": _line_swallow,
    "line_delay_ms": _line_delay,
    "order_503_unknown": _unknown_order,
    "expire_listen_key": _expire_listen_key,
}
OF_A_SYMBOL: Final = ("drop", "duplicate", "reorder", "gap", "reset")


def plant(face: Face, body: bytes) -> dict[str, Any]:
    """Plant a fault; what it affects. Raises ValueError when the request makes no sense."""
    fault = msgspec.json.decode(body, type=Fault)
    if fault.kind not in KINDS:
        raise ValueError(f"unknown fault {fault.kind!r}; known: {', '.join(sorted(KINDS))}")
    if fault.kind in OF_A_SYMBOL and fault.symbol not in face.exchange.markets:
        raise ValueError(f"unknown symbol {fault.symbol!r}")
    return {"kind": fault.kind, "affected": KINDS[fault.kind](face, fault)}


def money(value: Decimal) -> str:
    """An amount of the quote asset, eight decimals."""
    return format(value, ".8f")


def plain(value: Decimal) -> str:
    """A decimal without an exponent."""
    return format(value, "f")


def state(face: Face) -> dict[str, Any]:
    """The exchange's own truth, to compare a client's belief with."""
    exchange, player, account = face.exchange, face.player, face.exchange.account
    available = exchange.available()
    markets = exchange.markets
    return {
        "started": player.started,
        "finished": player.finished,
        "frames_played": player.played,
        "frames_quarantined": player.quarantined,
        "max_lag_ms": player.max_lag_ns / 1e6,
        "book_gaps": {symbol: market.ladder.gaps for symbol, market in markets.items()},
        "wallet": money(account.wallet),
        "available": money(available),
        "fees_paid": money(account.fees_paid),
        "funding_paid": money(account.funding_paid),
        "insured": money(account.insured),
        "realized_pnl": money(sum((fill.realized_pnl for fill in exchange.fills), ZERO)),
        "unrealized_pnl": money(account.total_unrealized_pnl()),
        "positions": {s: plain(markets[s].instrument.qty(p.lots)) for s, p in account.positions.items()},
        "legs": {f"{s} {leg}": plain(markets[s].instrument.qty(p.lots)) for s, leg, p in account.held()},
        "orders": [face.order_record(o) for o in exchange.orders.values()],
        "open_orders": [order.client_id for order in exchange.open_orders()],
        "stops": [face.stop_record(s) for s in exchange.stops.all.values()],
        "fills": len(exchange.fills),
        "events_sent": face.events_sent,
        "market_sockets": len(face.hub.sockets),
        "user_sockets": len(face.hub.users),
    }


def routes(face: Face) -> list[web.RouteDef]:
    """The admin endpoints."""

    async def faults(request: web.Request) -> web.Response:
        try:
            return web.json_response(plant(face, await request.read()))
        except (ValueError, msgspec.MsgspecError) as error:
            return web.json_response({"error": str(error)}, status=400)

    async def read_state(_request: web.Request) -> web.Response:
        return web.json_response(state(face))

    return [web.post("/sim/faults", faults), web.get("/sim/state", read_state)]
