"""Ten planted leaks are caught, each under its own cause, on a generated market; the clean pipeline raises no alarm."""

import msgspec
import numpy as np
import polars as pl
import pytest

from features.kernel import SERVED
from features.schema import NAMES
from market.simulator.generator import generate
from pipelines.candidate import dataset_scaler
from pipelines.dataset import CALIBRATE, TEST, TRAIN
from pipelines.leak_market import (
    LeakCheckError,
    events_of,
    folded,
    kernel_columns,
    load_function,
    names_of,
    nl_label,
    of_user,
    quotes_of,
    read_market,
    training_set,
)
from pipelines.leaks import CAUSES, check_dataset, check_label, check_rows, check_scaler
from pipelines.members import Samples, fit_scaler

LATENCY_NS = 10_000_000
SHARES = (0.6, 0.15)
MINUTES = 1.5


def market_of(folder, seed):
    generate(folder, seed, minutes=MINUTES)
    return read_market(folder, 3_000)


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return market_of(tmp_path_factory.mktemp("market"), 1)


@pytest.fixture(scope="module")
def events(market):
    return events_of(market["BTCUSDT"])


@pytest.fixture(scope="module")
def dataset(market):
    return training_set(market, 20, LATENCY_NS, SHARES)


# -- planted in a function from events to rows ------------------------------------------------------------------------


def mid(e):
    return 0.5 * (e.bid_px + e.ask_px)


def imbalance(e):
    return (e.bid_qty - e.ask_qty) / (e.bid_qty + e.ask_qty)


def next_trade_px(e):
    trades = pl.DataFrame({"ts": e.ts_ns, "trade_px": e.px}).drop_nulls().filter(pl.col("trade_px").is_not_nan())
    return pl.DataFrame({"ts": e.ts_ns}).join_asof(trades, on="ts", strategy="forward")["trade_px"].to_numpy()


def bar_volume(e):
    bars = pl.DataFrame({"second": e.ts_ns // 1_000_000_000, "qty": np.nan_to_num(e.qty)})
    return bars.select(pl.col("qty").sum().over("second"))["qty"].to_numpy()


def bar_close(e):
    return pl.DataFrame({"bar": e.ts_ns // 500_000_000, "mid": mid(e)}).select(pl.last("mid").over("bar")).to_numpy()


def encoded_hour(e):
    table = pl.DataFrame({"group": e.ts_ns // 1_000_000 % 7, "up": np.diff(mid(e), prepend=np.nan) > 0})
    return table.select(pl.col("up").mean().over("group")).to_numpy()


def future_return(e, ahead=10):
    px = mid(e)
    return np.append(px[ahead:], np.full(min(ahead, len(px)), px[-1]))[: len(px)] / px - 1


PLANTED = {
    "whole_file_normalization": [
        lambda e: imbalance(e) - np.nanmean(imbalance(e)),
        lambda e: (mid(e) - np.nanmin(mid(e))) / max(np.ptp(mid(e)[np.isfinite(mid(e))]), 1e-9),
    ],
    "future_column": [lambda e: np.append(e.bid_qty[1:], np.nan), future_return],
    "centred_window": [
        lambda e: pl.Series(mid(e)).rolling_mean(9, center=True).to_numpy(),
        lambda e: np.convolve(np.nan_to_num(imbalance(e)), np.ones(21), "full")[10 : 10 + len(e.ts_ns)],
    ],
    "forward_join": [next_trade_px, lambda e: next_trade_px(e) / mid(e)],
    "bar_start": [bar_volume, bar_close],
    "target_encoding": [encoded_hour],
    "whole_file": [lambda e: pl.Series(imbalance(e)).rank().to_numpy()],
}
CASES = [(cause, function) for cause, functions in PLANTED.items() for function in functions]


@pytest.mark.parametrize(("cause", "leaking"), CASES)
def test_planted_function_is_caught_under_its_own_cause(events, cause, leaking):
    def user(e):
        return {"honest": imbalance(e), "planted": leaking(e).ravel(), "past": np.cumsum(np.nan_to_num(e.qty))}

    names = names_of(user, events, "user")
    (found,) = check_rows("user", of_user(user, "user"), events, events.ts_ns, names, cuts=100)
    assert (found.feature, found.cause) == ("planted", cause)
    assert found.value != found.honest and found.fix in str(found)


def test_rows_that_wait_for_later_events_are_named(events):
    def user(e):
        return imbalance(e)[:-1:2], np.arange(0, len(e.ts_ns) - 1, 2)

    (found,) = check_rows("user", of_user(user, "user"), events, events.ts_ns, ["rows of two"], cuts=50)
    assert (found.feature, found.cause) == ("rows", "waiting_rows")


# -- planted in labels -------------------------------------------------------------------------------------------------


def from_decision(ts_ns, bid_px, ask_px, k=20):
    """Counts from the price at the decision, as though an order took no time."""
    px = bid_px + ask_px
    told = np.searchsorted(ts_ns, ts_ns + LATENCY_NS, side="right") - 1 + k
    there = told < len(px)
    return np.where(there, np.sign(px[np.minimum(told, len(px) - 1)] - px), -9), np.minimum(told, len(px))


def known_early(ts_ns, bid_px, ask_px):
    label, known = nl_label(20, LATENCY_NS)(ts_ns, bid_px, ask_px)
    return label, np.where(known < len(ts_ns), known - 1, len(ts_ns))


@pytest.mark.parametrize("label", [from_decision, known_early, nl_label(20, 0)])
def test_label_a_step_early_is_caught(market, label):
    (found,) = check_label("label", label, quotes_of(market["BTCUSDT"]), LATENCY_NS)
    assert found.cause == "early_label"
    assert found.value != found.honest


# -- planted in a training set -----------------------------------------------------------------------------------------


def changed(dataset, **arrays):
    return msgspec.structs.replace(dataset, **arrays)


def unpurged(dataset):
    """As though the purge had forgotten the last train samples."""
    end_ns = dataset.end_ns.copy()
    end_ns[np.flatnonzero(dataset.split == TRAIN)[-1]] = dataset.ts_ns[dataset.split == TEST].min() + 1
    return changed(dataset, end_ns=end_ns)


def shuffled(dataset):
    return changed(dataset, split=np.random.default_rng(0).permutation(dataset.split))


def repeated(dataset):
    """A train sample once more, as a test sample at a test sample's time."""
    one = int(np.flatnonzero(dataset.split == TRAIN)[0])
    other = np.flatnonzero((dataset.split == TEST) & (dataset.symbol_id == dataset.symbol_id[one]))[-1]
    ends = dataset.ends.copy()
    ends[other] = ends[one]
    return changed(dataset, ends=ends)


def with_outcome(dataset):
    """A column that holds the outcome under a little noise."""
    rows = dataset.rows.copy()
    rows[dataset.ends, 3] = dataset.y + np.random.default_rng(0).normal(0, 0.2, len(dataset.y))
    return changed(dataset, rows=rows)


def instant(dataset):
    return changed(dataset, end_ns=dataset.ts_ns + LATENCY_NS // 2)


@pytest.mark.parametrize(
    ("plant", "cause", "feature"),
    [
        (unpurged, "unpurged_split", "train split"),
        (shuffled, "shuffled_split", "train split"),
        (repeated, "duplicated_rows", "train and test split"),
        (with_outcome, "future_column", NAMES[3]),
        (instant, "early_label", "label"),
    ],
)
def test_planted_training_set_is_caught_under_its_own_cause(dataset, plant, cause, feature):
    (found,) = check_dataset(plant(dataset), LATENCY_NS, NAMES)
    assert (found.cause, found.feature) == (cause, feature)


def test_calibrate_split_must_be_purged_too(dataset):
    end_ns = dataset.end_ns.copy()
    end_ns[np.flatnonzero(dataset.split == CALIBRATE)[0]] = dataset.ts_ns[dataset.split == TEST].min()
    (found,) = check_dataset(changed(dataset, end_ns=end_ns), LATENCY_NS)
    assert (found.cause, found.feature) == ("unpurged_split", "calibrate split")


def test_scaler_fitted_on_the_whole_file_is_caught(dataset):
    def fit(dataset):
        return fit_scaler(Samples(dataset.rows[:, None], dataset.y[:0]))

    found = check_scaler(dataset, fit, NAMES)
    assert {each.cause for each in found} == {"whole_file_normalization"}
    assert len(found) == len(NAMES)


# -- clean -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_clean_pipeline_raises_no_alarm(tmp_path, seed):
    market = market_of(tmp_path, seed)
    dataset = training_set(market, 20, LATENCY_NS, SHARES)
    assert check_dataset(dataset, LATENCY_NS, NAMES) == ()
    assert check_scaler(dataset, dataset_scaler, NAMES) == ()
    for chunk in market.values():
        assert check_rows("", folded(SERVED), kernel_columns(chunk), chunk.ts_ns, NAMES, cuts=60, seed=seed) == ()
        assert check_label("", nl_label(20, LATENCY_NS), quotes_of(chunk), LATENCY_NS, cuts=60, seed=seed) == ()


def test_honest_function_of_a_user_is_clean(events):
    def user(e):
        px = pl.Series(e.px).fill_nan(None).forward_fill()
        return {"mean": pl.Series(mid(e)).rolling_mean(9), "last": px, "bar": e.ts_ns // 1_000_000_000}

    assert check_rows("user", of_user(user, "user"), events, events.ts_ns, ["mean", "last", "bar"], cuts=100) == ()


# -- what cannot be checked --------------------------------------------------------------------------------------------


def test_function_that_gives_fewer_rows_without_saying_when_is_refused(events):
    with pytest.raises(LeakCheckError, match="does not say when each is known"):
        names_of(lambda e: mid(e)[1:], events, "user")


def test_function_that_fails_is_one_error(events):
    with pytest.raises(LeakCheckError, match="ZeroDivisionError"):
        names_of(lambda e: 1 / 0, events, "user")


@pytest.mark.parametrize(
    ("code", "error"), [("def other(e): ...", "no function rows"), ("import nowhere_at_all", "ModuleNotFoundError")]
)
def test_file_without_the_function_is_one_error(tmp_path, code, error):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(LeakCheckError, match=error):
        load_function(f"{tmp_path / 'mine.py'}:rows")


def test_file_that_is_not_there_is_one_error(tmp_path):
    with pytest.raises(LeakCheckError, match="no such file"):
        load_function(f"{tmp_path / 'none.py'}:rows")


def test_every_cause_says_why_and_what_to_do():
    assert all(len(why) > 20 and len(fix) > 20 for why, fix in CAUSES.values())
