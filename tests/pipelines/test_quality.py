"""Each rule rejects what it names and nothing else; each suite fails on the fault it is there for."""

import polars as pl
import pytest

from market.events import QUOTE, TRADE
from pipelines.quality import (
    DEPTH_SCHEMA,
    QUARANTINE_SCHEMA,
    RAW_SCHEMA,
    depth_table,
    quarantine_rows,
    quote_table,
    run_suite,
    split_clean,
    trade_table,
)

NAN, INF = float("nan"), float("inf")


def quote(bid=10.0, bid_qty=1.0, ask=10.1, ask_qty=2.0, seq=1, ts_recv=1_000, ts_event=900):
    return (ts_recv, ts_event, QUOTE, bid, bid_qty, ask, ask_qty, seq, True)


def trade(px=10.0, qty=1.0, side=1.0, seq=1, is_market=True, ts_recv=1_000, ts_event=900):
    return (ts_recv, ts_event, TRADE, px, qty, side, 0.0, seq, is_market)


def ticks(*rows):
    return pl.DataFrame(list(rows), schema=RAW_SCHEMA, orient="row")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(quote(bid=10.2), "crossed_quote", id="bid above ask"),
        pytest.param(quote(bid=0.0), "unusable_price", id="zero bid"),
        pytest.param(quote(ask=-1.0), "unusable_price", id="negative ask"),
        pytest.param(quote(bid=NAN), "unusable_price", id="NaN bid"),
        pytest.param(quote(ask=INF), "unusable_price", id="infinite ask"),
        pytest.param(quote(ask=1e30), "unusable_price", id="absurd ask"),
        pytest.param(quote(bid_qty=0.0), "unusable_quantity", id="no bid quantity"),
        pytest.param(quote(ask_qty=NAN), "unusable_quantity", id="NaN ask quantity"),
        pytest.param(trade(px=0.0), "unusable_price", id="zero trade price"),
        pytest.param(trade(qty=0.0), "unusable_quantity", id="zero trade quantity"),
        pytest.param(trade(side=0.0), "unknown_side", id="no side"),
        pytest.param(trade(is_market=False, px=0.0), "not_a_market_trade", id="insurance fund"),
    ],
)
def test_a_bad_tick_is_rejected_with_its_reason(row, reason):
    clean, rejected = split_clean(ticks(quote(seq=7), row, trade(seq=8)))
    assert rejected["reason"].to_list() == [reason]
    assert clean.height == 2


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(quote(bid=10.1), id="locked quote"),
        pytest.param(quote(ts_recv=1_000, ts_event=9_000_000_000), id="received before it happened"),
        pytest.param(quote(ts_event=0), id="no event time"),
        pytest.param(quote(bid=1e-8, ask=2e-8), id="tiny price"),
        pytest.param(quote(bid=1e8, ask=1.1e8), id="large price"),
        pytest.param(trade(side=-1.0), id="sell"),
    ],
)
def test_a_good_tick_is_kept(row):
    clean, rejected = split_clean(ticks(row))
    assert (clean.height, rejected.height) == (1, 0)


def test_the_first_of_two_equal_trade_ids_is_kept_and_quotes_may_repeat_ids():
    clean, rejected = split_clean(ticks(quote(seq=5), trade(seq=5), quote(seq=5), trade(seq=5, px=11.0), trade(seq=6)))
    assert clean["seq"].to_list() == [5, 5, 5, 6]
    assert rejected.select("reason", "a").rows() == [("duplicate_trade_id", 11.0)]


def test_an_id_used_by_an_insurance_print_does_not_reject_the_market_trade():
    clean, rejected = split_clean(ticks(trade(seq=3, is_market=False), trade(seq=3)))
    assert clean.height == 1
    assert rejected["reason"].to_list() == ["not_a_market_trade"]


def test_quarantine_keeps_the_whole_rejected_row():
    _, rejected = split_clean(ticks(quote(bid=12.5, seq=77)))
    rows = quarantine_rows("XYZ", rejected)
    assert dict(rows.schema) == QUARANTINE_SCHEMA
    assert rows["symbol"].to_list() == ["XYZ"]
    assert all(part in rows["detail"][0] for part in ("12.5", "77", "10.1"))


def good_quotes(n=50):
    return [quote(bid=10 + i % 3 * 0.1, ask=10.1 + i % 3 * 0.1, seq=i, ts_recv=1_000 + i) for i in range(n)]


def good_trades(n=50):
    return [trade(px=10 + i % 3 * 0.1, seq=i, ts_recv=1_000 + i) for i in range(n)]


def test_good_quotes_and_trades_pass_their_suites():
    clean, _ = split_clean(ticks(*good_quotes(), *good_trades()))
    for result in (run_suite("quote", quote_table(clean)), run_suite("trade", trade_table(clean))):
        assert result.ok, result.failed
        assert result.rows == 50
        assert result.passed >= 6


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        pytest.param([], "expect_table_row_count_to_be_between", id="no quote at all"),
        pytest.param([quote(bid=11.0, ask=10.0)], "expect_column_pair_values_a_to_be_greater_than_b", id="crossed"),
        pytest.param([quote(bid=-1.0)], "expect_column_values_to_be_between(column=bid_px", id="negative"),
        pytest.param([quote()] * 9 + [quote(ask=900.0)], "between(column=excess_spread_bps", id="huge spread"),
        pytest.param([quote(bid=5, ask=5.1), quote()] * 9, "between(column=jump_bps", id="prices jump about"),
        pytest.param([quote(seq=9), quote(seq=1)], "between(column=update_id_step", id="ids run backwards"),
    ],
)
def test_the_quote_suite_names_what_fails(rows, names):
    result = run_suite("quote", quote_table(ticks(*rows)))
    assert not result.ok
    assert any(names in failure for failure in result.failed), result.failed


def test_the_trade_suite_fails_on_a_repeated_id_that_slipped_through():
    result = run_suite("trade", trade_table(ticks(*good_trades(), trade(seq=3))))
    assert any("expect_column_values_to_be_unique(column=trade_id" in failure for failure in result.failed)


def depth(first, last, prev, is_snapshot=False, min_px=1.0, min_qty=0.0):
    return (1_000, 900, is_snapshot, first, last, prev, 4, min_px, min_qty)


def depths(*rows):
    return depth_table(pl.DataFrame(list(rows), schema=DEPTH_SCHEMA, orient="row"))


@pytest.mark.parametrize(
    ("rows", "linked"),
    [
        pytest.param([depth(1, 4, 0), depth(6, 9, 4), depth(12, 15, 9)], [True, True], id="futures"),
        pytest.param([depth(1, 4, -1), depth(5, 9, -1), depth(11, 15, -1)], [True, False], id="spot with a gap"),
        pytest.param([depth(1, 4, 0), depth(3, 3, -1, True), depth(5, 9, 4)], [True], id="a snapshot between"),
    ],
)
def test_depth_deltas_are_linked_by_the_venues_rule(rows, linked):
    assert depths(*rows)["linked"].to_list()[-len(linked) :] == linked


def test_an_unbroken_depth_chain_passes_and_a_torn_one_fails():
    whole = [depth(10 * i + 1, 10 * i + 10, 10 * i) for i in range(100)]
    assert run_suite("depth", depths(*whole)).ok
    torn = run_suite("depth", depths(*whole[::2]))
    assert any("column=linked" in failure for failure in torn.failed)
