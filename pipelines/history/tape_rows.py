"""One market event of a recorded frame as rows of the schema, whatever venue sent it.

What a venue's frames cannot prove stays null. Bybit does not promise that its depth messages count up by one, and names
trades by UUID (``trade_key``). OKX's ``trades`` channel sums fills under the id of the last one: such ids have holes
where no trade is missing, and are keys as well.
"""

from collections.abc import Callable, Sequence
from math import isnan
from typing import Any, Final

import msgspec

from market.events import Depth, Event, Liquidation, Mark, OpenInterest, Quote, Trade

Row = tuple[Any, ...]
Named = tuple[int | None, str | None, bool]
Rows = tuple[str, list[Row]]
_RATIOS: Final = (None,) * 4
MOST_DIGITS: Final = 19
_SINGLE: Final = b'"trades-all"'


class _BybitTrade(msgspec.Struct, gc=False):
    i: str


class _BybitTrades(msgspec.Struct, gc=False):
    data: list[_BybitTrade]


_bybit_trades: Final = msgspec.json.Decoder(_BybitTrades)


def _binance_names(raw: bytes, trades: Sequence[Trade]) -> list[Named]:
    is_aggregate = b'"aggTrade"' in raw
    return [(trade.trade_id, None, is_aggregate) for trade in trades]


def _okx_names(raw: bytes, trades: Sequence[Trade]) -> list[Named]:
    if _SINGLE in raw:
        return [(trade.trade_id, None, False) for trade in trades]
    return [(None, str(trade.trade_id), True) for trade in trades]


def _bybit_names(raw: bytes, _trades: Sequence[Trade]) -> list[Named]:
    names = [one.i for one in _bybit_trades.decode(raw).data]
    return [(int(name), None, False) if _is_number(name) else (None, name, False) for name in names]


def _is_number(name: str) -> bool:
    return name.isdecimal() and name.isascii() and len(name) < MOST_DIGITS


_NAMES: Final[dict[str, Callable[[bytes, Sequence[Trade]], list[Named]]]] = {
    "okx": _okx_names,
    "bybit": _bybit_names,
}


def trade_rows(venue: str, raw: bytes, trades: Sequence[Trade]) -> list[Row]:
    """Rows of the trades of one frame."""
    named = _NAMES.get(venue, _binance_names)(raw, trades)
    return [
        (*_times(trade), trade_id, key, trade.px, trade.qty, trade.side, is_aggregate, trade.is_market)
        for trade, (trade_id, key, is_aggregate) in zip(trades, named, strict=True)
    ]


def rows_of(venue: str, event: Event, mark: Mark | None) -> Rows:
    """Kind and rows of any event but a trade; ``mark`` is the newest of its symbol, with what it left out."""
    times = _times(event)
    if isinstance(event, Quote):
        update_id = _known(event.update_id)
        return "quotes", [(*times, update_id, event.bid_px, event.bid_qty, event.ask_px, event.ask_qty)]
    if isinstance(event, Mark):
        return "funding", [] if mark is None else _funding(times, event, mark)
    if isinstance(event, Depth):
        return "depth", _levels(venue, event, times)
    if isinstance(event, OpenInterest):
        amounts = (event.open_interest, _stated(event.open_interest_usd))
        return "open_interest", [] if isnan(event.open_interest) else [(*times, *amounts, *_RATIOS)]
    if isinstance(event, Liquidation):
        return "liquidations", [(*times, event.px, event.qty, event.side, None, None, None)]
    return "", []


def _funding(times: Row, event: Mark, mark: Mark) -> list[Row]:
    """A reading of the running rate: frames that tell of the mark price alone are none."""
    if isnan(event.funding_rate):
        return []
    prices = (_stated(mark.mark_px), _stated(mark.index_px), mark.next_funding_ns or None)
    return [(*times, event.funding_rate, None, *prices, False)]


def _levels(venue: str, event: Depth, times: Row) -> list[Row]:
    prev_id = None if event.is_snapshot else _known(event.prev_id)
    first_id = None if venue == "bybit" else _known(event.first_id)
    head = (*times, event.is_snapshot, first_id, _known(event.last_id), prev_id)
    sides = ((1, event.bids), (-1, event.asks))
    return [(*head, float(px), float(qty), side) for side, levels in sides for px, qty in levels]


def _times(event: Event) -> tuple[int, int]:
    return event.ts_event, event.ts_recv


def _known(number: int) -> int | None:
    return None if number < 0 else number


def _stated(value: float) -> float | None:
    return None if isnan(value) else value
