"""Tardis.dev CSV files: always a header, times in µs, ``exchange`` and ``symbol`` on every row."""

from typing import Final

import polars as pl

from pipelines.history.cells import epoch_ns, integer_or_null, named_side, truth
from pipelines.history.layouts import INT, NUM, TEXT, Layout, Table

# their names for venues that have another one here; every other name is kept
VENUES: Final = {
    "binance-futures": "binanceusdm",
    "binance-delivery": "binancecoinm",
    "okex-swap": "okx",
    "okex": "okx",
}
_COMMON: Final = {"exchange": TEXT, "symbol": TEXT, "timestamp": INT, "local_timestamp": INT}
_TIMES: Final = {"ts_event": epoch_ns("timestamp"), "ts_recv": epoch_ns("local_timestamp")}
_VENUE: Final = pl.col("exchange").replace(VENUES)
_SYMBOL: Final = pl.col("symbol").str.to_uppercase()


def _quotes(bid_px: str, bid_qty: str, ask_px: str, ask_qty: str) -> Table:
    names = {"bid_px": bid_px, "bid_qty": bid_qty, "ask_px": ask_px, "ask_qty": ask_qty}
    return Table("quotes", {**_TIMES, **{name: pl.col(source) for name, source in names.items()}})


def _layout(name: str, columns: dict[str, object], *tables: Table) -> Layout:
    return Layout(f"Tardis {name}", {**_COMMON, **columns}, tables, venue=_VENUE, symbol=_SYMBOL)


_TRADES: Final = Table(
    "trades",
    {
        **_TIMES,
        "trade_id": integer_or_null("id"),
        "trade_key": pl.when(integer_or_null("id").is_null()).then(pl.col("id")),
        "px": pl.col("price"),
        "qty": pl.col("amount"),
        "side": named_side("side"),
        "is_aggregate": pl.lit(False),
        "is_market": pl.lit(True),
    },
)
_DEPTH: Final = Table(
    "depth",
    {
        **_TIMES,
        "is_snapshot": truth("is_snapshot"),
        "side": named_side("side"),
        "px": pl.col("price"),
        "qty": pl.col("amount"),
    },
)
_FUNDING: Final = Table(
    "funding",
    {
        **_TIMES,
        "funding_rate": pl.col("funding_rate"),
        "mark_px": pl.col("mark_price"),
        "index_px": pl.col("index_price"),
        "next_funding_ns": epoch_ns("funding_timestamp"),
        "is_settled": pl.lit(False),
    },
    where=pl.col("funding_rate").is_not_null(),
)
_OPEN_INTEREST: Final = Table(
    "open_interest",
    {**_TIMES, "open_interest": pl.col("open_interest")},
    where=pl.col("open_interest").is_not_null(),
)

LAYOUTS: Final = (
    _layout("trades", {"id": TEXT, "side": TEXT, "price": NUM, "amount": NUM}, _TRADES),
    _layout(
        "quotes",
        dict.fromkeys(("ask_amount", "ask_price", "bid_price", "bid_amount"), NUM),
        _quotes("bid_price", "bid_amount", "ask_price", "ask_amount"),
    ),
    _layout(
        "book_snapshot",
        dict.fromkeys(("asks[0].price", "asks[0].amount", "bids[0].price", "bids[0].amount"), NUM),
        _quotes("bids[0].price", "bids[0].amount", "asks[0].price", "asks[0].amount"),
    ),
    _layout("incremental_book_L2", {"is_snapshot": TEXT, "side": TEXT, "price": NUM, "amount": NUM}, _DEPTH),
    _layout(
        "derivative_ticker",
        {
            "funding_timestamp": INT,
            **dict.fromkeys(("funding_rate", "open_interest", "last_price", "index_price", "mark_price"), NUM),
        },
        _FUNDING,
        _OPEN_INTEREST,
    ),
)
