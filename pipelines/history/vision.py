"""Binance Vision archives (data.binance.vision): futures files have a header since 2022, spot files have none; times
are ms, on spot µs since 2025."""

from typing import Final

import polars as pl

from pipelines.history.cells import date_ns, epoch_ns, named_side, taker_side
from pipelines.history.layouts import INT, NUM, TEXT, Layout, Table

_HOUR_NS: Final = 3_600_000_000_000
_RATIOS: Final = {
    "top_trader_accounts_ratio": "count_toptrader_long_short_ratio",
    "top_trader_positions_ratio": "sum_toptrader_long_short_ratio",
    "accounts_ratio": "count_long_short_ratio",
    "taker_volume_ratio": "sum_taker_long_short_vol_ratio",
}


def _trades(id_name: str, qty: str, time: str, is_aggregate: bool) -> Table:
    return Table(
        "trades",
        {
            "ts_event": epoch_ns(time),
            "trade_id": pl.col(id_name),
            "px": pl.col("price"),
            "qty": pl.col(qty),
            "side": taker_side("is_buyer_maker"),
            "is_aggregate": pl.lit(is_aggregate),
            "is_market": pl.lit(True),
        },
    )


def bars(time: str, close_time: str, trades: str) -> dict[str, pl.Expr]:
    """Columns of a kline file that names both ends of a bar; the end is the bar's last unit of time."""
    seconds = ((epoch_ns(close_time) - epoch_ns(time)) / 1e9).round()
    return {
        "ts_event": epoch_ns(time),
        "interval_ns": seconds.cast(pl.Int64) * 1_000_000_000,
        **{name: pl.col(name) for name in ("open", "high", "low", "close", "volume", "quote_volume")},
        "trades": pl.col(trades),
    }


_AGG_TRADES: Final = {
    "agg_trade_id": INT,
    "price": NUM,
    "quantity": NUM,
    "first_trade_id": INT,
    "last_trade_id": INT,
    "transact_time": INT,
    "is_buyer_maker": TEXT,
}
_KLINES: Final = {
    "open_time": INT,
    **dict.fromkeys(("open", "high", "low", "close", "volume"), NUM),
    "close_time": INT,
    "quote_volume": NUM,
    "count": INT,
    "taker_buy_volume": NUM,
    "taker_buy_quote_volume": NUM,
}
_QUOTES: Final = {
    "update_id": INT,
    "best_bid_price": NUM,
    "best_bid_qty": NUM,
    "best_ask_price": NUM,
    "best_ask_qty": NUM,
    "transaction_time": INT,
    "event_time": INT,
}
_FORCED: Final = {
    "time": INT,
    **dict.fromkeys(("side", "order_type", "time_in_force"), TEXT),
    **dict.fromkeys(("original_quantity", "price", "average_price"), NUM),
    "order_status": TEXT,
    **dict.fromkeys(("last_fill_quantity", "accumulated_fill_quantity"), NUM),
}
_BELOW: Final = pl.col("percentage") < 0

LAYOUTS: Final = (
    Layout(
        "Binance Vision aggTrades",
        _AGG_TRADES,
        (_trades("agg_trade_id", "quantity", "transact_time", True),),
        cells="[it][int][int][it][it]tbb?",
        header_market="binanceusdm",
    ),
    Layout(
        "Binance Vision trades",
        {"id": INT, "price": NUM, "qty": NUM, "quote_qty": NUM, "time": INT, "is_buyer_maker": TEXT},
        (_trades("id", "qty", "time", False),),
        cells="[it][int][int][int]tbb?",
        header_market="binanceusdm",
    ),
    Layout(
        "Binance Vision klines",
        _KLINES,
        (
            Table(
                "klines",
                {
                    **bars("open_time", "close_time", "count"),
                    "taker_volume": pl.col("taker_buy_volume"),
                    "taker_quote_volume": pl.col("taker_buy_quote_volume"),
                },
            ),
        ),
        cells="t[int]{5}t[int]{5}",
        header_market="binanceusdm",
    ),
    Layout(
        "Binance Vision bookTicker",
        _QUOTES,
        (
            Table(
                "quotes",
                {
                    "ts_event": epoch_ns("transaction_time"),
                    "update_id": pl.col("update_id"),
                    "bid_px": pl.col("best_bid_price"),
                    "bid_qty": pl.col("best_bid_qty"),
                    "ask_px": pl.col("best_ask_price"),
                    "ask_qty": pl.col("best_ask_qty"),
                },
            ),
        ),
        cells="[it][int]{4}tt",
        market="binanceusdm",
    ),
    Layout(
        "Binance Vision fundingRate",
        {"calc_time": INT, "funding_interval_hours": INT, "last_funding_rate": NUM},
        (
            Table(
                "funding",
                {
                    "ts_event": epoch_ns("calc_time"),
                    "funding_rate": pl.col("last_funding_rate"),
                    "interval_ns": pl.col("funding_interval_hours") * _HOUR_NS,
                    "is_settled": pl.lit(True),
                },
            ),
        ),
        cells="ti[int]",
        market="binanceusdm",
    ),
    Layout(
        "Binance Vision metrics",
        {
            "create_time": TEXT,
            "symbol": TEXT,
            "sum_open_interest": NUM,
            "sum_open_interest_value": NUM,
            **dict.fromkeys(_RATIOS.values(), NUM),
        },
        (
            Table(
                "open_interest",
                {
                    "ts_event": date_ns("create_time"),
                    "open_interest": pl.col("sum_open_interest"),
                    "open_interest_usd": pl.col("sum_open_interest_value"),
                    **{name: pl.col(source) for name, source in _RATIOS.items()},
                },
            ),
        ),
        cells="ds[inte]{6}",
        symbol=pl.col("symbol"),
        market="binanceusdm",
    ),
    Layout(
        "Binance Vision bookDepth",
        {"timestamp": TEXT, **dict.fromkeys(("percentage", "depth", "notional"), NUM)},
        (
            Table(
                "depth_bands",
                {
                    "ts_event": date_ns("timestamp"),
                    "side": pl.when(_BELOW).then(1).when(~_BELOW).then(-1),
                    "offset_bps": (pl.col("percentage") * 1e4).round() / 100,
                    "qty": pl.col("depth"),
                    "notional": pl.col("notional"),
                },
            ),
        ),
        cells="d[in][int]{2}",
        market="binanceusdm",
    ),
    # every row stands there twice; repeats count once
    Layout(
        "Binance Vision liquidationSnapshot",
        _FORCED,
        (
            Table(
                "liquidations",
                {
                    "ts_event": epoch_ns("time"),
                    "side": named_side("side"),
                    "px": pl.col("price"),
                    "avg_px": pl.when(pl.col("average_price") > 0).then("average_price"),
                    "qty": pl.col("original_quantity"),
                    "filled_qty": pl.col("accumulated_fill_quantity"),
                    "last_qty": pl.col("last_fill_quantity"),
                },
            ),
        ),
        cells="tsss[int]{3}s[int]{2}",
        market="binanceusdm",
    ),
)
