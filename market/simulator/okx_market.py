"""Public REST calls of OKX on what is now: instruments, tickers, books, funding, mark prices, tiers."""

from decimal import Decimal
from typing import Any, Final

from market.simulator import okx_messages as messages
from market.simulator.brackets import DEFAULT
from market.simulator.okx_auth import ApiError
from market.simulator.okx_calls import Call, Json, Route, asked, contract_of, integer, value
from market.simulator.okx_contracts import Contract, text
from market.simulator.okx_face import PARAMETER, OkxFace
from market.simulator.okx_messages import ms
from market.simulator.okx_source import view

MAX_BOOK: Final = 400
TYPES: Final = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS")


def server_time(face: OkxFace, _call: Call) -> list[Json]:
    """Wall clock, since signatures are checked against it; market events keep the recording's clock."""
    return [{"ts": ms(face.player.wall_ns())}]


def instruments(face: OkxFace, call: Call) -> list[Json]:
    """Swaps are all that is listed: other types exist and are empty."""
    if value(call.params, "instType") not in TYPES:
        raise ApiError(PARAMETER, "Parameter instType error", 400)
    return [messages.instrument_row(contract) for contract in asked(face, call.params)]


def _views(face: OkxFace, contracts: list[Contract], channel: str) -> list[Json]:
    return [view(face.exchange, face.hub, contract.inst_id, channel) for contract in contracts]


def ticker(face: OkxFace, call: Call) -> list[Json]:
    return _views(face, [contract_of(face, call.params)], "tickers")


def tickers(face: OkxFace, call: Call) -> list[Json]:
    return _views(face, asked(face, call.params), "tickers")


def mark_price(face: OkxFace, call: Call) -> list[Json]:
    return _views(face, asked(face, call.params), "mark-price")


def open_interest(face: OkxFace, call: Call) -> list[Json]:
    return _views(face, asked(face, call.params), "open-interest")


def funding_rate(face: OkxFace, call: Call) -> list[Json]:
    named = value(call.params, "instId")
    contracts = asked(face, {} if named == "ANY" else call.params)
    return _views(face, contracts, "funding-rate")


def books(face: OkxFace, call: Call) -> list[Json]:
    """The depth levels, with the sequence number that ``books`` updates go on from."""
    symbol = contract_of(face, call.params).inst_id
    levels = min(max(integer(call.params, "sz", 1), 1), MAX_BOOK)
    row = face.hub.book_row(symbol, levels)
    return [{name: row[name] for name in ("asks", "bids", "ts", "seqId")}]


def position_tiers(face: OkxFace, call: Call) -> list[Json]:
    """The stepped margin in contracts at today's mark price."""
    return [row for contract in asked(face, call.params) for row in _tiers(face, contract)]


def _tiers(face: OkxFace, contract: Contract) -> list[Json]:
    px = face.exchange.market(contract.inst_id).mark_px()
    if px <= 0:
        return []
    per_contract = px * contract.ct_val
    names = {"instFamily": contract.family, "uly": contract.family, "instId": ""}
    return [
        {
            "tier": str(index),
            "minSz": text(bracket.floor // per_contract),
            "maxSz": text(bracket.cap // per_contract),
            "mmr": text(bracket.rate),
            "imr": text(round(1 / Decimal(bracket.leverage), 8)),
            "maxLever": str(bracket.leverage),
            **names,
        }
        for index, bracket in enumerate(DEFAULT, 1)
    ]


def nothing(_face: OkxFace, _call: Call) -> list[Any]:
    """Calls whose answer is empty here: no maintenance is announced, no other product is listed."""
    return []


ROUTES: Final = {
    ("GET", "/api/v5/public/time"): Route(server_time, 10, is_private=False),
    ("GET", "/api/v5/public/instruments"): Route(instruments, 20, is_private=False, by_instrument=True),
    ("GET", "/api/v5/public/funding-rate"): Route(funding_rate, 20, is_private=False, by_instrument=True),
    ("GET", "/api/v5/public/mark-price"): Route(mark_price, 10, is_private=False),
    ("GET", "/api/v5/public/open-interest"): Route(open_interest, 20, is_private=False),
    ("GET", "/api/v5/public/position-tiers"): Route(position_tiers, 10, is_private=False),
    ("GET", "/api/v5/market/ticker"): Route(ticker, 20, is_private=False),
    ("GET", "/api/v5/market/tickers"): Route(tickers, 20, is_private=False),
    ("GET", "/api/v5/market/books"): Route(books, 40, is_private=False),
    ("GET", "/api/v5/system/status"): Route(nothing, 20, is_private=False),
}
