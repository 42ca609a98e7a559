"""What counts as a bad tick, and the Great Expectations suites that what is left must pass.

Rules reject single rows with a reason; suites judge whole tables and block everything downstream. No rule looks at the
difference of the two clocks: recorders are off by seconds in real data, and that is no fault of the tick.
"""

from typing import Any, Final

import msgspec
import polars as pl

from features.parameters import PARAMETERS
from market.events import QUOTE, TRADE
from trader.quality import PARAMS as LIVE
from trader.reliability import GAP_KINDS, Defects

DEPTH: Final = 2
RAW_SCHEMA: Final = {
    "ts_recv": pl.Int64,
    "ts_event": pl.Int64,
    "kind": pl.Int8,
    "a": pl.Float64,
    "b": pl.Float64,
    "c": pl.Float64,
    "d": pl.Float64,
    "seq": pl.Int64,
    "is_market": pl.Boolean,
}
CLEAN_SCHEMA: Final = {name: dtype for name, dtype in RAW_SCHEMA.items() if name != "is_market"}
DEPTH_SCHEMA: Final = {
    "ts_recv": pl.Int64,
    "ts_event": pl.Int64,
    "is_snapshot": pl.Boolean,
    "first_id": pl.Int64,
    "last_id": pl.Int64,
    "prev_id": pl.Int64,
    "levels": pl.Int32,
    "min_px": pl.Float64,
    "min_qty": pl.Float64,
}
QUARANTINE_SCHEMA: Final = {"symbol": pl.String, "ts_recv": pl.Int64, "reason": pl.String, "detail": pl.String}
JUMP_BPS: Final = 1_000
BOUNCE: Final = 20
MOST_LATE_MS: Final = LIVE.order_tolerance_ms
_EVENT_STEP_MS: Final = pl.col("ts_event").diff() / 1e6
_VALUES: Final = ("a", "b", "c", "d")
_QUOTE_NAMES: Final = {"bid_px": "a", "bid_qty": "b", "ask_px": "c", "ask_qty": "d"}


def reasons() -> pl.Expr:
    """Why a raw tick is rejected, as a column; null for a good one. The first rule that applies names the reason."""
    quote, trade = pl.col("kind") == QUOTE, pl.col("kind") == TRADE
    px, qty = (pl.col("a"), pl.col("b"))
    repeated = ~pl.col("seq").is_first_distinct().over("kind", "is_market")
    rules = {
        "not_a_market_trade": trade & ~pl.col("is_market"),
        "unusable_price": _unusable(px) | (quote & _unusable(pl.col("c"))),
        "unusable_quantity": _unusable(qty) | (quote & _unusable(pl.col("d"))),
        "crossed_quote": quote & (px > pl.col("c")),
        "unknown_side": trade & (pl.col("c").abs() != 1),
        "duplicate_trade_id": trade & repeated,
    }
    return pl.coalesce([pl.when(applies).then(pl.lit(reason)) for reason, applies in rules.items()])


def _unusable(value: pl.Expr) -> pl.Expr:
    """NaN, infinite, zero, negative, or beyond what the kernel takes in."""
    return ~value.is_between(PARAMETERS.min_value, PARAMETERS.max_value, closed="none") | value.is_nan()


def split_clean(raw: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Good ticks in their order, and the rejected ones with a column ``reason``.

    Parameters
    ----------
    raw
        Ticks of one symbol, columns of ``RAW_SCHEMA``.
    """
    judged = raw.with_columns(reasons().alias("reason"))
    clean = judged.filter(pl.col("reason").is_null()).select(*CLEAN_SCHEMA)
    return clean, judged.filter(pl.col("reason").is_not_null())


def quarantine_rows(symbol: str, rejected: pl.DataFrame) -> pl.DataFrame:
    """Rejected ticks in the form of ``quarantine.parquet``; ``detail`` holds the row so that nothing is lost."""
    detail = pl.struct("ts_event", "kind", *_VALUES, "seq").struct.json_encode()
    return rejected.select(pl.lit(symbol).alias("symbol"), "ts_recv", "reason", detail.alias("detail"))


class SuiteResult(msgspec.Struct, frozen=True):
    """Outcome of one suite: rows judged, expectations passed, and the ones that failed, in words."""

    event: str
    rows: int
    passed: int
    failed: list[str]

    @property
    def ok(self) -> bool:
        return not self.failed


def _quote_expectations(gxe: Any) -> list[Any]:
    return [
        *_clock_expectations(gxe),
        gxe.ExpectColumnValuesToBeBetween(column="bid_px", min_value=0, strict_min=True),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="ask_px", column_B="bid_px", or_equal=True),
        gxe.ExpectColumnValuesToBeBetween(column="bid_qty", min_value=0, strict_min=True),
        gxe.ExpectColumnValuesToBeBetween(column="ask_qty", min_value=0, strict_min=True),
        gxe.ExpectColumnValuesToBeBetween(column="excess_spread_bps", max_value=JUMP_BPS, mostly=0.99),
        gxe.ExpectColumnValuesToBeBetween(column="jump_bps", max_value=JUMP_BPS, mostly=0.999),
        gxe.ExpectColumnValuesToBeBetween(column="update_id_step", min_value=0, mostly=0.95),
    ]


def _trade_expectations(gxe: Any) -> list[Any]:
    return [
        *_clock_expectations(gxe),
        gxe.ExpectColumnValuesToBeBetween(column="px", min_value=0, strict_min=True),
        gxe.ExpectColumnValuesToBeBetween(column="qty", min_value=0, strict_min=True),
        gxe.ExpectColumnValuesToBeInSet(column="side", value_set=[-1, 1]),
        gxe.ExpectColumnValuesToBeUnique(column="trade_id"),
        gxe.ExpectColumnValuesToBeBetween(column="jump_bps", max_value=JUMP_BPS, mostly=0.999),
    ]


def _depth_expectations(gxe: Any) -> list[Any]:
    return [
        *_clock_expectations(gxe),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="last_id", column_B="first_id", or_equal=True),
        gxe.ExpectColumnValuesToBeBetween(column="min_px", min_value=0, strict_min=True),
        gxe.ExpectColumnValuesToBeBetween(column="min_qty", min_value=0),
        gxe.ExpectColumnValuesToBeInSet(column="linked", value_set=[True], mostly=0.95),
    ]


def _clock_expectations(gxe: Any) -> list[Any]:
    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="ts_recv", min_value=0, strict_min=True),
        gxe.ExpectColumnValuesToBeBetween(column="ts_event", min_value=0),
        gxe.ExpectColumnValuesToBeBetween(column="event_step_ms", min_value=-MOST_LATE_MS, mostly=0.95),
    ]


def _gap_expectations(gxe: Any) -> list[Any]:
    return [
        gxe.ExpectColumnValuesToBeBetween(column="lasted_ns", min_value=0),
        gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=list(GAP_KINDS)),
        gxe.ExpectColumnValuesToBeBetween(column="missing_ids", min_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="source"),
        gxe.ExpectColumnValuesToNotBeNull(column="symbol"),
    ]


def _reliability_expectations(gxe: Any) -> list[Any]:
    shares = [name for name in Defects.__struct_fields__ if name != "gaps"]
    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="score"),
        gxe.ExpectColumnValuesToBeBetween(column="score", min_value=0, max_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="gaps", min_value=0),
        *(gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=1) for name in shares),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["ts_ns", "source", "symbol"]),
    ]


SUITES: Final = {
    "quote": _quote_expectations,
    "trade": _trade_expectations,
    "depth": _depth_expectations,
    "gap": _gap_expectations,
    "reliability": _reliability_expectations,
}


def quote_table(clean: pl.DataFrame) -> pl.DataFrame:
    """Quotes of one symbol under their own names, with three derived columns that mean the same at any price and tick.

    ``excess_spread_bps`` and ``jump_bps`` are the spread and the move of the mid beyond ``BOUNCE`` median spreads;
    ``update_id_step`` is the difference to the id before.
    """
    spread_bps = 2e4 * (pl.col("ask_px") - pl.col("bid_px")) / (pl.col("bid_px") + pl.col("ask_px"))
    quotes = clean.filter(pl.col("kind") == QUOTE).select("ts_recv", "ts_event", "seq", **_QUOTE_NAMES)
    return quotes.select(
        *(name for name in quotes.columns if name != "seq"),
        excess_spread_bps=spread_bps - BOUNCE * spread_bps.median(),
        update_id_step=pl.col("seq").diff(),
        event_step_ms=_EVENT_STEP_MS,
        jump_bps=_jump_bps((pl.col("bid_px") + pl.col("ask_px")) / 2) - BOUNCE * spread_bps.median(),
    )


def trade_table(clean: pl.DataFrame) -> pl.DataFrame:
    """Trades of one symbol under their own names, with ``jump_bps``: the move beyond ``BOUNCE`` median moves."""
    trades = clean.filter(pl.col("kind") == TRADE)
    moves = _jump_bps(pl.col("a"))
    usual = moves.filter(moves > 0).median().fill_null(0.0)
    return trades.select(
        "ts_recv",
        "ts_event",
        px="a",
        qty="b",
        side="c",
        trade_id="seq",
        jump_bps=moves - BOUNCE * usual,
        event_step_ms=_EVENT_STEP_MS,
    )


def _jump_bps(px: pl.Expr) -> pl.Expr:
    return 1e4 * (px / px.shift() - 1).abs()


def depth_table(depth: pl.DataFrame) -> pl.DataFrame:
    """Depth deltas of one symbol with ``linked``: whether each follows the one before by the venue's own ids.

    Futures name the previous id (``pu``); spot deltas follow when ``U == previous u + 1``. Null for the first.
    """
    before = pl.col("last_id").shift()
    linked = (
        pl.when(pl.col("prev_id") >= 0).then(pl.col("prev_id") == before).otherwise(pl.col("first_id") == before + 1)
    )
    return depth.filter(~pl.col("is_snapshot")).with_columns(linked=linked, event_step_ms=_EVENT_STEP_MS)


def run_suite(event: str, table: pl.DataFrame) -> SuiteResult:
    """Judge ``table`` with the suite of ``event``; an expectation that cannot be computed counts as failed."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("ticks").add_dataframe_asset(event)
    suite = context.suites.add(gx.ExpectationSuite(name=event, expectations=SUITES[event](gx.expectations)))
    validation = gx.ValidationDefinition(
        name=event, data=asset.add_batch_definition_whole_dataframe("all"), suite=suite
    )
    frame = table.to_pandas()
    outcome = context.validation_definitions.add(validation).run(
        batch_parameters={"dataframe": frame}, result_format="BOOLEAN_ONLY"
    )
    failed = [_in_words(result.expectation_config) for result in outcome.results if not result.success]
    return SuiteResult(event, table.height, len(outcome.results) - len(failed), failed)


def _in_words(config: Any) -> str:
    arguments = {name: value for name, value in config.kwargs.items() if name != "batch_id"}
    return f"{config.type}({', '.join(f'{name}={value}' for name, value in sorted(arguments.items()))})"
