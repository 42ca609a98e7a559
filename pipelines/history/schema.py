"""The one form of every kind of history, whatever file it came from.

Times are integer ns UTC. ``ts_event`` is the venue's time, ``ts_recv`` the recorder's; 0 where the source has none. A
null says that the source has no such column or left it empty. Quantities stand in the venue's own unit: base currency
on spot and linear futures, contracts on inverse ones and on OKX (its bars' ``volume`` over REST is in base currency).

=================  ===================================================================================================
trades             ``trade_id`` the venue's number (null when it is no number, then ``trade_key`` holds it), ``px``,
                   ``qty``, ``side`` of the taker (+1 bought, -1 sold), ``is_aggregate`` (one row sums fills of one
                   order: another number range than single trades), ``is_market`` (False: no trade against the book)
quotes             ``update_id``, ``bid_px``, ``bid_qty``, ``ask_px``, ``ask_qty``
klines             ``ts_event`` opens the bar, ``interval_ns``, ``open``, ``high``, ``low``, ``close``, ``volume``
                   (base), ``quote_volume``, ``trades``, ``taker_volume``, ``taker_quote_volume`` (bought by takers)
funding            ``funding_rate`` (ratio per interval), ``interval_ns``, ``mark_px``, ``index_px``,
                   ``next_funding_ns``, ``is_settled`` (True: it was paid at ``ts_event``; False: it was running)
open_interest      ``open_interest``, ``open_interest_usd``, and the ratios long/short of Binance's metrics
depth              one row per price level: ``is_snapshot``, ``first_id``, ``last_id``, ``prev_id``, ``side`` (+1 bid,
                   -1 ask), ``px``, ``qty`` (absolute, 0 removes)
depth_bands        one row per band of a book snapshot: ``side``, ``offset_bps`` (how far from the middle price the band
                   reaches, below 0 on the bid side), ``qty`` and ``notional`` of all levels between the two
liquidations       forced orders: ``side`` (+1 buy, -1 sell), ``px`` and ``qty`` of the order; ``avg_px``,
                   ``filled_qty`` and ``last_qty`` (of the newest fill) as far as it was carried out
=================  ===================================================================================================
"""

from typing import Any, Final

import polars as pl

from pipelines.settings import PipelineError

DAY_NS: Final = 86_400_000_000_000
MINUTE_NS: Final = 60_000_000_000

_COMMON: Final = {"ts_event": pl.Int64, "ts_recv": pl.Int64}
_BAR: Final = ("open", "high", "low", "close", "volume", "quote_volume")
_RATIOS: Final = ("top_trader_accounts_ratio", "top_trader_positions_ratio", "accounts_ratio", "taker_volume_ratio")
_PX: Final = {"px": pl.Float64, "qty": pl.Float64, "side": pl.Int8}


def _floats(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, pl.Float64)


SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "trades": {
        **_COMMON,
        "trade_id": pl.Int64,
        "trade_key": pl.String,
        **_PX,
        "is_aggregate": pl.Boolean,
        "is_market": pl.Boolean,
    },
    "quotes": {**_COMMON, "update_id": pl.Int64, **_floats("bid_px", "bid_qty", "ask_px", "ask_qty")},
    "klines": {
        **_COMMON,
        "interval_ns": pl.Int64,
        **_floats(*_BAR),
        "trades": pl.Int64,
        **_floats("taker_volume", "taker_quote_volume"),
    },
    "funding": {
        **_COMMON,
        **_floats("funding_rate"),
        "interval_ns": pl.Int64,
        **_floats("mark_px", "index_px"),
        "next_funding_ns": pl.Int64,
        "is_settled": pl.Boolean,
    },
    "open_interest": {**_COMMON, **_floats("open_interest", "open_interest_usd", *_RATIOS)},
    "depth": {
        **_COMMON,
        "is_snapshot": pl.Boolean,
        "first_id": pl.Int64,
        "last_id": pl.Int64,
        "prev_id": pl.Int64,
        **_PX,
    },
    "depth_bands": {**_COMMON, "side": pl.Int8, **_floats("offset_bps", "qty", "notional")},
    "liquidations": {**_COMMON, **_PX, **_floats("avg_px", "filled_qty", "last_qty")},
}
KINDS: Final = tuple(SCHEMAS)

# a row without one of these cannot be used
REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "trades": ("px", "qty", "side"),
    "quotes": ("bid_px", "ask_px"),
    "klines": ("open", "high", "low", "close", "volume"),
    "funding": ("funding_rate",),
    "open_interest": ("open_interest",),
    "depth": ("side", "px", "qty"),
    "depth_bands": ("side", "offset_bps", "qty"),
    "liquidations": ("side", "px", "qty"),
}
ID: Final = {"trades": "trade_id", "quotes": "update_id", "depth": "last_id"}


class HistoryError(PipelineError):
    """A file of history cannot be read as what it claims to be."""


def clock() -> pl.Expr:
    """The time a row is filed under: the venue's, else the recorder's."""
    return pl.when(pl.col("ts_event") > 0).then("ts_event").otherwise("ts_recv")


def complete(kind: str, columns: dict[str, pl.Expr]) -> list[pl.Expr]:
    """Expressions for every column of ``kind``: those given, cast to its type; 0 for a missing time, else null."""
    absent = {"ts_event": pl.lit(0), "ts_recv": pl.lit(0)}
    return [
        columns.get(name, absent.get(name, pl.lit(None))).cast(dtype, strict=False).alias(name)
        for name, dtype in SCHEMAS[kind].items()
    ]
