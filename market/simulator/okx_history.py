"""OKX's history calls: trades, candles, funding rates, open interest. Newest first; ``after`` asks for older rows."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from market.events import Mark
from market.simulator import okx_messages as messages
from market.simulator.candles import Candle, Candles
from market.simulator.interest import STEPS_MS, Reading, sampled
from market.simulator.market import Market
from market.simulator.okx_auth import ApiError
from market.simulator.okx_calls import Call, Json, Route, choice, contract_of, integer, page, value
from market.simulator.okx_candles import candle_row, joined, price_row
from market.simulator.okx_contracts import Contract, number, text
from market.simulator.okx_face import PARAMETER, OkxFace
from market.simulator.okx_messages import ms

LATEST: Final = 2**63 - 1
LATEST_CANDLES: Final = 1_440
PERIODS: Final = {"5m": "5m", "1H": "1h", "1D": "1d", "1Dutc": "1d"}
Row = Callable[[Contract, str, Candle, int], list[str]]


def _market(face: OkxFace, call: Call) -> tuple[Contract, Market]:
    contract = contract_of(face, call.params)
    return contract, face.exchange.market(contract.inst_id)


def _rows(call: Call, most: int) -> int:
    return min(integer(call.params, "limit", most), most) or most


def trades(face: OkxFace, call: Call) -> list[Json]:
    """The last five hundred."""
    contract, market = _market(face, call)
    return [messages.trade_row(contract, one) for one in market.prints.before(LATEST, LATEST, _rows(call, 500))]


def history_trades(face: OkxFace, call: Call) -> list[Json]:
    """Older than ``after``, an id or (type 2) a time; newer than ``before``, an id: then the latest that are."""
    contract, market = _market(face, call)
    by_time = choice(call.params, "type", {"1": False, "2": True}, "1")
    after, before = integer(call.params, "after", LATEST), integer(call.params, "before", -1)
    if by_time and before >= 0:
        raise ApiError(PARAMETER, "Parameter before error", 400)
    older_ns = after * 1_000_000 if by_time and after < LATEST else LATEST
    found = market.prints.before(LATEST if by_time else after, older_ns, _rows(call, 100))
    return [messages.trade_row(contract, one) for one in found if one.trade_id > before]


def _page(face: OkxFace, call: Call, series: Candles, row: Row, most: int, kept: int | None = None) -> list[list[str]]:
    contract, bar = contract_of(face, call.params), value(call.params, "bar", "1m")
    found = joined(series, bar)[-kept:] if kept else joined(series, bar)
    shown = page(found, call.params, lambda candle: candle.start_ms, most)
    return [row(contract, bar, one, face.exchange.now_ns) for one in shown]


def candles(face: OkxFace, call: Call) -> list[list[str]]:
    """Candles of the trades seen since the exchange started, as far back as the venue keeps them here."""
    return _page(face, call, _market(face, call)[1].candles, candle_row, 300, LATEST_CANDLES)


def history_candles(face: OkxFace, call: Call) -> list[list[str]]:
    """All candles since the exchange started."""
    return _page(face, call, _market(face, call)[1].candles, candle_row, 300)


def mark_candles(face: OkxFace, call: Call) -> list[list[str]]:
    return _page(face, call, _market(face, call)[1].mark_candles, price_row, 100)


def index_candles(face: OkxFace, call: Call) -> list[list[str]]:
    """The index is named by its pair."""
    named = value(call.params, "instId")
    contract = next((one for one in face.contracts.values() if one.family == named), None)
    if contract is None:
        raise ApiError("51001", "Instrument ID does not exist", 400)
    swap = Call(call.params | {"instId": contract.inst_id}, call.items)
    return _page(face, swap, face.exchange.market(contract.inst_id).index_candles, price_row, 100)


def funding_history(face: OkxFace, call: Call) -> list[Json]:
    """Settlements seen."""
    contract, market = _market(face, call)
    settled = page(market.settled, call.params, lambda mark: mark.next_funding_ns // 1_000_000, 400)
    return [_funding_row(contract, mark) for mark in settled]


def _funding_row(contract: Contract, mark: Mark) -> Json:
    rate = number(mark.funding_rate)
    names = {"instType": "SWAP", "instId": contract.inst_id, "method": "current_period", "formulaType": "withRate"}
    return names | {"fundingRate": rate, "realizedRate": rate, "fundingTime": ms(mark.next_funding_ns)}


def interest_history(face: OkxFace, call: Call) -> list[list[str]]:
    """What stood at each step of ``period``: later than ``begin``, earlier than ``end``."""
    contract, market = _market(face, call)
    step_ms = STEPS_MS[choice(call.params, "period", PERIODS, "5m")]
    begin_ms, end_ms = integer(call.params, "begin", -1), integer(call.params, "end", LATEST)
    seen = [one for one in sampled(market.interest, step_ms, face.exchange.now_ns) if begin_ms < one[0] < end_ms]
    return [_interest_row(contract, at_ms, reading) for at_ms, reading in seen[::-1][: _rows(call, 100)]]


def _interest_row(contract: Contract, at_ms: int, reading: Reading) -> list[str]:
    """Time, open contracts, open base units, open dollars."""
    qty = Decimal(repr(reading.qty))
    return [str(at_ms), contract.contracts(qty), text(qty), text(round(qty * Decimal(repr(reading.px)), 8))]


_MARKET: Final = "/api/v5/market"
ROUTES: Final = {
    ("GET", f"{_MARKET}/trades"): Route(trades, 100, is_private=False),
    ("GET", f"{_MARKET}/history-trades"): Route(history_trades, 20, is_private=False),
    ("GET", f"{_MARKET}/candles"): Route(candles, 40, is_private=False),
    ("GET", f"{_MARKET}/history-candles"): Route(history_candles, 20, is_private=False),
    ("GET", f"{_MARKET}/mark-price-candles"): Route(mark_candles, 20, is_private=False),
    ("GET", f"{_MARKET}/history-mark-price-candles"): Route(mark_candles, 10, is_private=False),
    ("GET", f"{_MARKET}/index-candles"): Route(index_candles, 20, is_private=False),
    ("GET", f"{_MARKET}/history-index-candles"): Route(index_candles, 10, is_private=False),
    ("GET", "/api/v5/public/funding-rate-history"): Route(funding_history, 10, is_private=False, by_instrument=True),
    ("GET", "/api/v5/rubik/stat/contracts/open-interest-history"): Route(
        interest_history, 10, is_private=False, by_instrument=True
    ),
}
