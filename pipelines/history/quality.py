"""What a partition must be like before anything is built on it: one Great Expectations suite per kind."""

from typing import Any, Final

import polars as pl

from pipelines.history.build import Built
from pipelines.history.partitions import Partition
from pipelines.history.rules import repeats
from pipelines.history.schema import DAY_NS, clock
from pipelines.quality import BOUNCE, JUMP_BPS, SUITES, run_suite

# derived columns that mean the same at any price and in any year
_PRICE: Final = {"trades": pl.col("px"), "quotes": (pl.col("bid_px") + pl.col("ask_px")) / 2, "klines": pl.col("close")}


def _positive(gxe: Any, *names: str) -> list[Any]:
    return [gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, strict_min=True) for name in names]


def _not_negative(gxe: Any, *names: str) -> list[Any]:
    return [gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0) for name in names]


def _every_kind(gxe: Any) -> list[Any]:
    """Rows there are, all of this day, in time order, none twice."""
    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="ns_into_day", min_value=0, max_value=DAY_NS, strict_max=True),
        gxe.ExpectColumnValuesToBeInSet(column="repeats", value_set=[False]),
        *_not_negative(gxe, "step_ns", "ts_recv"),
    ]


def _no_jumps(gxe: Any) -> list[Any]:
    return [gxe.ExpectColumnValuesToBeBetween(column="jump_bps", max_value=JUMP_BPS, mostly=0.999)]


def _trades(gxe: Any) -> list[Any]:
    sides = gxe.ExpectColumnValuesToBeInSet(column="side", value_set=[-1, 1])
    return [*_every_kind(gxe), *_not_negative(gxe, "px", "qty"), sides, *_no_jumps(gxe)]


def _quotes(gxe: Any) -> list[Any]:
    crossed = gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="ask_px", column_B="bid_px", or_equal=True)
    return [*_every_kind(gxe), *_positive(gxe, "bid_px", "ask_px", "bid_qty", "ask_qty"), crossed, *_no_jumps(gxe)]


def _klines(gxe: Any) -> list[Any]:
    bar = gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="high", column_B="low", or_equal=True)
    return [
        *_every_kind(gxe),
        *_positive(gxe, "open", "high", "low", "close", "interval_ns"),
        *_not_negative(gxe, "volume", "quote_volume", "taker_volume"),
        bar,
        *_no_jumps(gxe),
    ]


def _funding(gxe: Any) -> list[Any]:
    return [*_every_kind(gxe), gxe.ExpectColumnValuesToBeBetween(column="funding_rate", min_value=-1, max_value=1)]


def _open_interest(gxe: Any) -> list[Any]:
    return [*_every_kind(gxe), *_not_negative(gxe, "open_interest", "open_interest_usd")]


def _depth(gxe: Any) -> list[Any]:
    sides = gxe.ExpectColumnValuesToBeInSet(column="side", value_set=[-1, 1])
    return [*_every_kind(gxe), *_positive(gxe, "px"), *_not_negative(gxe, "qty"), sides]


def _depth_bands(gxe: Any) -> list[Any]:
    sides = gxe.ExpectColumnValuesToBeInSet(column="side", value_set=[-1, 1])
    return [*_every_kind(gxe), *_not_negative(gxe, "qty", "notional"), sides]


def _liquidations(gxe: Any) -> list[Any]:
    sides = gxe.ExpectColumnValuesToBeInSet(column="side", value_set=[-1, 1])
    return [*_every_kind(gxe), *_positive(gxe, "px", "qty"), *_not_negative(gxe, "filled_qty", "last_qty"), sides]


_OURS: Final = {
    "trades": _trades,
    "quotes": _quotes,
    "klines": _klines,
    "funding": _funding,
    "open_interest": _open_interest,
    "depth": _depth,
    "depth_bands": _depth_bands,
    "liquidations": _liquidations,
}
SUITES.update({f"history_{kind}": expectations for kind, expectations in _OURS.items()})


def judged_table(partition: Partition, rows: pl.DataFrame) -> pl.DataFrame:
    """The partition's rows with ``ns_into_day``, ``step_ns``, ``repeats`` and, for prices, ``jump_bps``: the move
    beyond 20 usual moves (bars: of their own interval)."""
    derived = rows.with_columns(
        ns_into_day=clock() - partition.day_ns, step_ns=clock().diff(), repeats=repeats(partition.kind)
    )
    if partition.kind not in _PRICE:
        return derived
    market = derived.filter("is_market") if partition.kind == "trades" else derived
    px = _PRICE[partition.kind]
    before = px.shift().over("interval_ns") if partition.kind == "klines" else px.shift()
    moves = 1e4 * (px / before - 1).abs()
    return market.with_columns(jump_bps=moves - BOUNCE * moves.filter(moves > 0).median().fill_null(0.0))


def problems(partition: Partition, rows: pl.DataFrame) -> list[str]:
    """Expectations of the partition's suite that its rows fail, in words; none when it is fit."""
    return run_suite(f"history_{partition.kind}", judged_table(partition, rows)).failed


def too_many_rejected(rows: int, rejected: int, most: float) -> list[str]:
    """In words, when more than ``most`` of all rows were rejected."""
    share = rejected / max(rows + rejected, 1)
    return [f"{share:.1%} of all rows were rejected, max_rejected_share is {most:.1%}"] if share > most else []


def verdict_of(built: Built, most_rejected: float) -> list[str]:
    """Everything that is wrong with a partition that was just built."""
    rejected = too_many_rejected(built.rows.height, built.rejected.height, most_rejected)
    return problems(built.partition, built.rows) + rejected
