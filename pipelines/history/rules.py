"""Which rows of a partition stay: rules that reject one row with a reason, repeats dropped and counted, one order."""

from typing import Final, NamedTuple

import polars as pl

from pipelines.history.schema import ID, MINUTE_NS, SCHEMAS, clock
from pipelines.history.tables import LINE

SOURCE: Final = "source"
BPS: Final = 10_000
_BAR: Final = ("open", "high", "low", "close")


class Judged(NamedTuple):
    """Rows kept, in order; rows rejected, with ``reason``; exact repeats dropped; rows below an earlier time."""

    rows: pl.DataFrame
    rejected: pl.DataFrame
    repeated: int
    unsorted: int


def judge(kind: str, rows: pl.DataFrame) -> Judged:
    """Split the rows of all sources of one partition (columns of the schema, ``source`` and ``line``).

    A row that several sources hold counts once; a row whose id or time another row has with other values is rejected.
    """
    late = rows.select((clock() < clock().cum_max().over(SOURCE)).sum()).item()
    whole = _unrepeated(kind, rows)
    marked = whole.with_columns(reason=pl.coalesce(*reasons(kind)))
    conflict = pl.when(repeats(kind, pl.col("reason").is_null())).then(pl.lit("other_values_before"))
    marked = marked.with_columns(reason=pl.coalesce("reason", conflict))
    kept = marked.filter(pl.col("reason").is_null()).drop("reason")
    return Judged(ordered(kind, kept), marked.filter(pl.col("reason").is_not_null()), rows.height - whole.height, late)


def ordered(kind: str, rows: pl.DataFrame) -> pl.DataFrame:
    """By the venue's time (the recorder's where there is none), then by id, then as in the source."""
    keys = [clock()] + ([pl.col(ID[kind])] if kind in ID else [])
    return rows.sort(*keys, maintain_order=True, nulls_last=True)


def _unrepeated(kind: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Without rows that are equal in all but the time they were received.

    A row without an id may truly happen twice in one source: its n-th time there equals only the n-th time elsewhere.
    """
    same = [name for name in SCHEMAS[kind] if name != "ts_recv"]
    if kind not in ID:
        return rows.unique(same, keep="first", maintain_order=True)
    if rows["ts_event"].min() == 0:
        same.append("ts_recv")
    nameless = pl.col(ID[kind]).is_null()
    if kind == "trades":
        nameless &= pl.col("trade_key").is_null()
    if not rows.select(nameless.any()).item():
        return rows.unique(same, keep="first", maintain_order=True)
    nth = pl.int_range(pl.len()).over(*same, SOURCE)
    nth = pl.when(nameless).then(nth).otherwise(0).alias("_nth")
    return rows.with_columns(nth).unique([*same, "_nth"], keep="first", maintain_order=True).drop("_nth")


def reasons(kind: str) -> list[pl.Expr]:
    """Why a row cannot be true, one expression per rule; null where it can."""
    rules = _RULES[kind]()
    return [pl.when(applies).then(pl.lit(reason)) for reason, applies in rules.items()]


def unusable(name: str) -> pl.Expr:
    """Not a finite number above zero (null is no verdict)."""
    value = pl.col(name)
    return value.is_nan() | value.is_infinite() | (value <= 0)


def _negative(name: str) -> pl.Expr:
    value = pl.col(name)
    return value.is_nan() | value.is_infinite() | (value < 0)


def _trade_rules() -> dict[str, pl.Expr]:
    market = pl.col("is_market")
    return {
        "unusable_price": market & unusable("px"),
        "unusable_quantity": market & unusable("qty"),
        "unknown_side": ~pl.col("side").is_in([-1, 1]),
    }


def _quote_rules() -> dict[str, pl.Expr]:
    return {
        "unusable_price": unusable("bid_px") | unusable("ask_px"),
        "unusable_quantity": unusable("bid_qty") | unusable("ask_qty"),
        "crossed_quote": pl.col("bid_px") > pl.col("ask_px"),
    }


def _kline_rules() -> dict[str, pl.Expr]:
    low, high = pl.min_horizontal(*_BAR), pl.max_horizontal(*_BAR)
    return {
        "unusable_price": pl.any_horizontal(*map(unusable, _BAR)),
        "unusable_volume": _negative("volume") | _negative("quote_volume") | _negative("taker_volume"),
        "unusable_interval": pl.col("interval_ns") <= 0,
        "high_or_low_inside_the_bar": (pl.col("low") > low) | (pl.col("high") < high),
    }


def _funding_rules() -> dict[str, pl.Expr]:
    rate = pl.col("funding_rate")
    return {"unusable_rate": rate.is_nan() | (rate.abs() >= 1)}


def _open_interest_rules() -> dict[str, pl.Expr]:
    return {"unusable_open_interest": _negative("open_interest") | _negative("open_interest_usd")}


def _depth_rules() -> dict[str, pl.Expr]:
    return {"unusable_price": unusable("px"), "unusable_quantity": _negative("qty")}


def _depth_band_rules() -> dict[str, pl.Expr]:
    offset = pl.col("offset_bps")
    return {
        "unusable_offset": offset.is_nan() | (offset == 0) | (offset <= -BPS),
        "unusable_quantity": _negative("qty") | _negative("notional"),
    }


def _liquidation_rules() -> dict[str, pl.Expr]:
    """A fill cannot be larger than what was filled in all, nor that than the order."""
    return {
        "unusable_price": unusable("px") | unusable("avg_px"),
        "unusable_quantity": unusable("qty") | _negative("filled_qty") | _negative("last_qty"),
        "filled_more_than_ordered": (pl.col("filled_qty") > pl.col("qty")) | (pl.col("last_qty") > pl.col("qty")),
        "unknown_side": ~pl.col("side").is_in([-1, 1]),
    }


_RULES: Final = {
    "trades": _trade_rules,
    "quotes": _quote_rules,
    "klines": _kline_rules,
    "funding": _funding_rules,
    "open_interest": _open_interest_rules,
    "depth": _depth_rules,
    "depth_bands": _depth_band_rules,
    "liquidations": _liquidation_rules,
}


def identity(kind: str) -> list[pl.Expr] | None:
    """What only one row of a partition may have; None where rows may share everything but their place."""
    # the two sources of a settlement can stamp it some milliseconds apart
    minute = (pl.col("ts_event") // MINUTE_NS).alias("_minute")
    return {
        "trades": [pl.col("is_aggregate", "is_market"), pl.col("trade_id"), pl.col("trade_key")],
        "klines": [pl.col("interval_ns"), pl.col("ts_event")],
        "funding": [pl.col("is_settled"), pl.when("is_settled").then(minute).otherwise(clock()).alias("_when")],
        "open_interest": [clock().alias("_clock")],
        "depth_bands": [clock().alias("_clock"), pl.col("offset_bps")],
    }.get(kind)


def repeats(kind: str, usable: pl.Expr | None = None) -> pl.Expr:
    """True for a row whose identity an earlier row has; where ``usable`` is given, only among those rows."""
    found = identity(kind)
    if found is None:
        return pl.lit(False)
    competing = pl.lit(True) if usable is None else usable
    again = competing & ~pl.struct(competing.alias("_competing"), *found).is_first_distinct()
    if kind == "trades":
        return again & pl.any_horizontal(pl.col("trade_id", "trade_key").is_not_null())
    return again


def drop_bookkeeping(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """The schema's columns alone."""
    return rows.drop(SOURCE, LINE, strict=False).select(*SCHEMAS[kind])
