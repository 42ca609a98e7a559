"""CSV of socket recorders that keep Binance's fields under long names, one price level per row, sometimes below a
quality report of ``#`` lines."""

from typing import Any, Final

import polars as pl

from pipelines.history.cells import epoch_ns, taker_side, truth
from pipelines.history.layouts import INT, NUM, TEXT, Layout, Table

_BASE: Final[dict[str, Any]] = {"TimestampOfReceive": INT, "Symbol": TEXT, "EventTime": INT}
_LEVEL: Final[dict[str, Any]] = {
    "FirstUpdateId": INT,
    "FinalUpdateId": INT,
    "IsAsk": TEXT,
    "Price": NUM,
    "Quantity": NUM,
}
_TRADE: Final[dict[str, Any]] = {
    "TransactionTime": INT,
    "TradeId": INT,
    "Price": NUM,
    "Quantity": NUM,
    "IsBuyerMarketMaker": TEXT,
}
_RECV: Final = {"ts_recv": epoch_ns("TimestampOfReceive")}
_SIDE: Final = pl.when(truth("IsAsk")).then(-1).when(~truth("IsAsk")).then(1)
_PX: Final = {"px": pl.col("Price"), "qty": pl.col("Quantity")}
_IDS: Final = {"first_id": pl.col("FirstUpdateId"), "last_id": pl.col("FinalUpdateId")}
_SYMBOL: Final = pl.col("Symbol").str.to_uppercase()


def _depth(is_snapshot: pl.Expr, *, where: pl.Expr | None = None, **columns: pl.Expr) -> Table:
    return Table("depth", {**_RECV, "is_snapshot": is_snapshot, "side": _SIDE, **_PX, **columns}, where)


def _trades(is_market: pl.Expr, where: pl.Expr | None = None) -> Table:
    return Table(
        "trades",
        {
            **_RECV,
            "ts_event": epoch_ns("TransactionTime"),
            "trade_id": pl.col("TradeId"),
            **_PX,
            "side": taker_side("IsBuyerMarketMaker"),
            "is_aggregate": pl.lit(False),
            "is_market": is_market,
        },
        where,
    )


_OF_MARKET: Final = pl.col("XUnknownParameter") == "MARKET"
_FUTURES_DEPTH: Final = {
    "ts_event": epoch_ns("TransactionTime"),
    **_IDS,
    "prev_id": pl.col("FinalUpdateIdInLastStream"),
}
_MERGED: Final = _depth(
    pl.col("StreamType").str.contains("SNAPSHOT"),
    where=pl.col("TradeId").is_null(),
    **{**_FUTURES_DEPTH, "last_id": pl.coalesce("FinalUpdateId", "LastUpdateId")},
)

LAYOUTS: Final = (
    Layout(
        "a recorder's futures trades",
        {**_BASE, **_TRADE, "XUnknownParameter": TEXT},
        (_trades(_OF_MARKET),),
        symbol=_SYMBOL,
        market="binanceusdm",
    ),
    Layout(
        "a recorder's spot trades",
        {**_BASE, **_TRADE, "MUnknownParameter": TEXT},
        (_trades(pl.lit(True)),),
        symbol=_SYMBOL,
        market="binance",
    ),
    Layout(
        "a recorder's futures depth",
        {**_BASE, **_LEVEL, "TransactionTime": INT, "FinalUpdateIdInLastStream": INT},
        (_depth(pl.lit(False), **_FUTURES_DEPTH),),
        symbol=_SYMBOL,
        market="binanceusdm",
    ),
    Layout(
        "a recorder's spot depth",
        {**_BASE, **_LEVEL},
        (_depth(pl.lit(False), ts_event=epoch_ns("EventTime"), **_IDS),),
        symbol=_SYMBOL,
        market="binance",
    ),
    Layout(
        "a recorder's depth snapshots",
        {"TimestampOfReceive": INT, "LastUpdateId": INT, "IsAsk": TEXT, "Price": NUM, "Quantity": NUM},
        (_depth(pl.lit(True), last_id=pl.col("LastUpdateId"), first_id=pl.col("LastUpdateId")),),
    ),
    Layout(
        "a recorder's merged futures streams",
        {
            **_BASE,
            **_LEVEL,
            **_TRADE,
            **{"FinalUpdateIdInLastStream": INT, "XUnknownParameter": TEXT, "LastUpdateId": INT, "StreamType": TEXT},
        },
        (_MERGED, _trades(_OF_MARKET, pl.col("TradeId").is_not_null())),
        symbol=_SYMBOL,
        market="binanceusdm",
    ),
)
