"""Every served feature against an independent batch computation of its stated definition."""

import numpy as np
import pytest

from features.kernel import fold
from features.schema import INDEX, NAMES
from tests.features.oracle import Oracle
from tests.features.streams import MS, SECOND, START_NS, Stream, constant, market, pick

TOLERANCE = 1e-8


def errors(stream, ticks, seed=0):
    """Largest error of every feature, relative where the value exceeds 1, over random decision points."""
    rows, index = fold(*stream)
    picked = np.random.default_rng(seed).choice(len(index), min(ticks, len(index)), replace=False)
    oracle = Oracle(stream)
    expected = [oracle.row(index[i]) for i in picked]
    truth = np.array([[row[name] for name in NAMES] for row in expected])
    return np.max(np.abs(rows[picked] - truth) / np.maximum(1.0, np.abs(truth)), axis=0)


@pytest.fixture(scope="module")
def thousand_ticks():
    return errors(market(1, 25_000), 1_000)


@pytest.mark.parametrize("name", NAMES)
def test_feature_equals_batch_oracle_at_a_thousand_random_ticks(thousand_ticks, name):
    assert thousand_ticks[INDEX[name]] < TOLERANCE


@pytest.mark.parametrize("px, qty", [(1e-8, 1e8), (1e8, 1e-8), (1e-8, 1e-8), (1e8, 1e8)])
def test_oracle_holds_at_extreme_prices_and_quantities(px, qty):
    assert errors(market(2, 8_000, px, qty), 40).max() < TOLERANCE


def test_oracle_holds_after_a_million_events():
    stream = market(3, 1_000_000)
    rows, index = fold(*stream)
    late, oracle = index[-1], Oracle(stream)
    truth = np.array([oracle.row(late)[name] for name in NAMES])
    np.testing.assert_allclose(rows[-1], truth, rtol=TOLERANCE, atol=TOLERANCE)


def test_oracle_holds_over_a_million_equal_timestamps():
    stream = market(4, 1_100_000)
    stream.ts[100_000:] = stream.ts[100_000]
    rows, index = fold(*stream)
    truth = Oracle(stream).row(index[-1])
    np.testing.assert_allclose(rows[-1], [truth[name] for name in NAMES], rtol=TOLERANCE, atol=TOLERANCE)


def test_oracle_holds_across_a_gap_of_an_hour():
    stream = market(5, 6_000)
    stream.ts[3_000:] += 3_600 * SECOND
    assert errors(stream, 200).max() < TOLERANCE


def test_oracle_holds_where_trades_stop():
    stream = market(6, 20_000)
    quotes = stream.kinds == 0
    keep = quotes | (np.arange(20_000) < 4_000)
    assert errors(pick(stream, keep), 200).max() < TOLERANCE


def test_oracle_holds_for_slow_markets_with_a_quote_every_few_seconds():
    assert errors(market(7, 4_000, mean_ms=3_000.0), 200).max() < TOLERANCE


def test_oracle_holds_in_a_market_that_never_moves():
    assert errors(constant(2_000), 50).max() < TOLERANCE


def test_oracle_holds_from_the_first_row_on():
    stream = market(8, 2_000)
    rows, index = fold(*stream)
    truth = Oracle(stream).row(index[0])
    np.testing.assert_allclose(rows[0], [truth[name] for name in NAMES], rtol=TOLERANCE, atol=TOLERANCE)


def test_oracle_sees_a_wrong_window():
    """The comparison has teeth: the same row one bar later is far off."""
    stream = market(9, 4_000)
    rows, index = fold(*stream)
    shifted = Stream(
        stream.kinds, np.where(stream.ts > START_NS + SECOND, stream.ts + 150 * MS, stream.ts), stream.values
    )
    truth = Oracle(shifted).row(index[100])
    assert np.abs(rows[100] - [truth[name] for name in NAMES]).max() > 1e-3
