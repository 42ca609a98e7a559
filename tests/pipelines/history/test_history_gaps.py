"""What is missing is found exactly, and nothing is called missing that is not."""

import random

import polars as pl
import pytest

from pipelines.history.gaps import find_gaps
from pipelines.history.schema import DAY_NS, MINUTE_NS, SCHEMAS

DAY0 = 1_721_260_800 * 10**9
SECOND = 10**9


def table(kind, rows):
    return pl.DataFrame(rows, schema_overrides={k: v for k, v in SCHEMAS[kind].items() if k in rows[0]}).select(
        *(pl.col(name) if name in rows[0] else pl.lit(None, dtype).alias(name) for name, dtype in SCHEMAS[kind].items())
    )


def found(kind, rows, reason):
    gaps = find_gaps(kind, table(kind, rows), DAY0)
    return gaps.filter(pl.col("reason") == reason)


def trades(ids, step_ns=SECOND, aggregate=False):
    return [
        {"ts_event": DAY0 + i * step_ns, "ts_recv": 0, "trade_id": number, "is_aggregate": aggregate}
        for i, number in enumerate(ids)
    ]


def bars(opens, interval_ns=MINUTE_NS):
    return [{"ts_event": DAY0 + at * interval_ns, "ts_recv": 0, "interval_ns": interval_ns} for at in opens]


def deltas(chain, step_ns=SECOND):
    return [
        {
            "ts_event": DAY0 + i * step_ns,
            "ts_recv": 0,
            "is_snapshot": False,
            "first_id": first,
            "last_id": last,
            "prev_id": prev,
        }
        for i, (first, last, prev) in enumerate(chain)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_every_planted_hole_of_trade_ids_is_found_with_its_size(seed):
    draw = random.Random(seed)
    dropped = set(draw.sample(range(1, 999), 40))
    ids = [number for number in range(1_000) if number not in dropped]
    gaps = found("trades", trades(ids), "missing_ids")
    missing = {n for a, b in gaps.select("after_id", "before_id").rows() for n in range(a + 1, b)}
    assert missing == dropped
    assert gaps["missing"].sum() == 40


def test_singles_and_aggregates_have_numbers_of_their_own():
    rows = trades(range(100, 150)) + trades(range(5_000, 5_050), aggregate=True)
    assert found("trades", rows, "missing_ids").is_empty()


def test_out_of_order_ids_are_not_missing():
    ids = list(range(100))
    random.Random(3).shuffle(ids)
    assert found("trades", trades(ids), "missing_ids").is_empty()


def test_missing_bars_are_counted_at_the_edges_and_inside():
    gaps = found("klines", bars([m for m in range(10, 1_440) if m not in (700, 701, 702, 900)]), "missing_bars")
    spans = [
        ((a - DAY0) // MINUTE_NS, (b - DAY0) // MINUTE_NS, n)
        for a, b, n in gaps.select("first_ns", "last_ns", "missing").rows()
    ]
    assert spans == [(0, 10, 10), (700, 703, 3), (900, 901, 1)]


def test_a_full_day_of_bars_has_no_gap_and_intervals_do_not_mix():
    both = bars(range(1_440)) + bars(range(24), 60 * MINUTE_NS)
    assert find_gaps("klines", table("klines", both), DAY0).is_empty()
    gaps = found("klines", bars(range(1_440)) + bars(range(20), 60 * MINUTE_NS), "missing_bars")
    assert gaps.select("stream", "missing").rows() == [("3600s", 4)]


def test_bars_off_the_grid_of_midnight_keep_their_own():
    rows = [
        {"ts_event": DAY0 + 30 * SECOND + m * MINUTE_NS, "ts_recv": 0, "interval_ns": MINUTE_NS} for m in range(1_440)
    ]
    assert find_gaps("klines", table("klines", rows), DAY0).is_empty()


def test_silence_is_from_the_last_word_to_the_next_and_to_the_ends_of_the_day():
    rows = trades(range(3_600)) + [
        {**row, "ts_event": row["ts_event"] + 2 * 3_600 * SECOND, "trade_id": row["trade_id"] + 3_600}
        for row in trades(range(3_600))
    ]
    gaps = found("trades", rows, "silence").select("first_ns", "last_ns").rows()
    assert gaps == [
        (DAY0 + 3_599 * SECOND, DAY0 + 7_200 * SECOND),
        (DAY0 + 10_799 * SECOND, DAY0 + DAY_NS),
    ]


def test_a_slow_market_is_not_silent():
    assert found("trades", trades(range(288), step_ns=5 * MINUTE_NS), "silence").is_empty()


@pytest.mark.parametrize(
    ("chain", "missing"),
    [
        pytest.param([(1, 5, 0), (7, 9, 5), (11, 12, 9)], [], id="futures chained by name"),
        pytest.param([(1, 5, 0), (11, 12, 9)], [None], id="futures with a delta lost"),
        pytest.param([(1, 5, None), (6, 9, None), (10, 10, None)], [], id="spot in sequence"),
        pytest.param([(1, 5, None), (10, 10, None)], [4], id="spot with four updates lost"),
        pytest.param([(1, 5, None), (3, 9, None)], [], id="spot overlapping"),
    ],
)
def test_depth_chains(chain, missing):
    assert found("depth", deltas(chain), "missing_ids")["missing"].to_list() == missing


@pytest.mark.parametrize(
    ("hours", "stated", "gaps"),
    [
        ((0, 8, 16), 8, 0),
        ((0, 16), 8, 1),
        ((0, 4, 8, 12, 16, 20), 4, 0),
        ((0, 4, 12, 16, 20), 4, 1),
        ((0, 4, 8, 16, 20), None, 1),
        ((8,), None, 0),
    ],
)
def test_settlements_follow_their_own_interval(hours, stated, gaps):
    rows = [
        {
            "ts_event": DAY0 + hour * 60 * MINUTE_NS + 7_000_000,
            "ts_recv": 0,
            "interval_ns": None if stated is None else stated * 60 * MINUTE_NS,
            "is_settled": True,
        }
        for hour in hours
    ]
    assert found("funding", rows, "silence").height == gaps
