"""Small CSV tables that people save from REST calls, and the pages that ``paging`` saved."""

from typing import Any, Final

import polars as pl

from pipelines.history.cells import date_ns, epoch_ns, integer_or_null, named_side, seconds_ns
from pipelines.history.layouts import INT, NUM, TEXT, Layout, Table
from pipelines.history.vision import bars

_BAR: Final[dict[str, Any]] = dict.fromkeys(("open", "high", "low", "close", "volume"), NUM)
_TIME: Final = {"ts_event": epoch_ns("timestamp")}
_SYMBOL: Final = pl.col("symbol").str.to_uppercase()
_PAGED: Final[dict[str, Any]] = {"venue": TEXT, "symbol": TEXT, "timestamp": INT}
_TRADE: Final[dict[str, Any]] = {"timestamp": INT, "id": TEXT, "side": TEXT, "price": NUM, "amount": NUM}


def _bars(time: pl.Expr, **columns: pl.Expr) -> Table:
    return Table("klines", {"ts_event": time, **{name: pl.col(name) for name in _BAR}, **columns})


def _trades(time: pl.Expr, qty: str, is_aggregate: pl.Expr) -> Table:
    return Table(
        "trades",
        {
            "ts_event": time,
            "trade_id": integer_or_null("id"),
            "trade_key": pl.when(integer_or_null("id").is_null()).then(pl.col("id")),
            "px": pl.col("price"),
            "qty": pl.col(qty),
            "side": named_side("side"),
            "is_aggregate": is_aggregate,
            "is_market": pl.lit(True),
        },
    )


def _funding(**columns: pl.Expr) -> Table:
    return Table("funding", {**_TIME, "funding_rate": pl.col("funding_rate"), "is_settled": pl.lit(True), **columns})


def _open_interest(amount: str, value: str) -> Table:
    columns = {"open_interest": pl.col(amount), "open_interest_usd": pl.col(value)}
    return Table("open_interest", {**_TIME, **columns})


_QUOTES: Final = Table(
    "quotes", {"ts_event": seconds_ns("unix_timestamp"), "bid_px": pl.col("bid"), "ask_px": pl.col("ask")}
)


def _paged(name: str, columns: dict[str, Any], table: Table) -> Layout:
    return Layout(f"REST pages of {name}", {**_PAGED, **columns}, (table,), venue=pl.col("venue"), symbol=_SYMBOL)


LAYOUTS: Final = (
    Layout("a table of klines", {"timestamp": INT, **_BAR}, (_bars(epoch_ns("timestamp")),)),
    Layout("a table of klines by date", {"date": TEXT, **_BAR}, (_bars(date_ns("date")),)),
    Layout(
        "a table of klines with both ends",
        {"timestamp": INT, **_BAR, "quote_volume": NUM, "trades": INT, "close_time": INT},
        (Table("klines", bars("timestamp", "close_time", "trades")),),
    ),
    Layout(
        "a table of funding rates",
        {"timestamp": INT, "symbol": TEXT, "funding_rate": NUM},
        (_funding(),),
        symbol=_SYMBOL,
    ),
    Layout(
        "a table of open interest",
        {"timestamp": INT, "symbol": TEXT, "sum_open_interest": NUM, "sum_open_interest_value": NUM},
        (_open_interest("sum_open_interest", "sum_open_interest_value"),),
        symbol=_SYMBOL,
    ),
    Layout("a table of trades", _TRADE, (_trades(epoch_ns("timestamp"), "amount", pl.lit(False)),)),
    Layout(
        "a table of perpetual trades",
        {"id": TEXT, "unix_timestamp_ms": INT, "side": TEXT, "price": NUM, "quantity": NUM},
        (_trades(epoch_ns("unix_timestamp_ms"), "quantity", pl.lit(False)),),
    ),
    Layout("a table of best bids and asks", {"unix_timestamp": NUM, "bid": NUM, "ask": NUM}, (_QUOTES,)),
    _paged(
        "trades",
        {**_TRADE, "is_aggregate": INT},
        _trades(epoch_ns("timestamp"), "amount", pl.col("is_aggregate") == 1),
    ),
    _paged(
        "klines",
        {"interval_ms": INT, **_BAR},
        _bars(epoch_ns("timestamp"), interval_ns=pl.col("interval_ms") * 1_000_000),
    ),
    _paged("funding rates", {"funding_rate": NUM}, _funding()),
    _paged(
        "open interest",
        dict.fromkeys(("open_interest", "open_interest_usd"), NUM),
        _open_interest("open_interest", "open_interest_usd"),
    ),
)
