"""Nothing looks ahead: served row, bank, labels, normalization; and what does is caught and named."""

import numpy as np
import polars as pl
import pytest

from features.bank import BANK_NAMES, bank_kernel
from features.body import BOOK_LEVELS
from features.kernel import SERVED
from features.leak import ROWS, find_leaks
from features.schema import NAMES
from features.state import LEVELS
from pipelines.labels import NEVER_NS, nl_labels
from pipelines.members import Samples, fit_scaler, scale
from tests.features.streams import START_NS, full_market, market

pytestmark = pytest.mark.timeout(900)  # the whole bank compiles for a minute or more where it was not compiled before

CUTS = 200


def columns_of(stream):
    """The stream as columns of one length: a book stands in every row, though only those of ``BOOK_LEVELS`` count."""
    books = np.zeros((stream.kinds.size, 4, LEVELS))
    books[stream.kinds == BOOK_LEVELS] = stream.levels
    return stream.kinds, stream.ts, stream.values, books


def folded(kernel):
    """The feature rows, and the quotes they came with."""
    return lambda kinds, ts, values, books: kernel.fold(kinds, ts, values, None, books[kinds == BOOK_LEVELS])


@pytest.mark.parametrize("stream", [market(20, 6_000), full_market(21, 6_000)], ids=["quotes and trades", "all kinds"])
def test_served_row_never_looks_ahead(stream):
    assert find_leaks(folded(SERVED), columns_of(stream), NAMES, cuts=CUTS) == ()


def test_bank_never_looks_ahead():
    columns = columns_of(full_market(22, 5_000, mean_ms=60.0))
    assert find_leaks(folded(bank_kernel()), columns, BANK_NAMES, cuts=CUTS) == ()


def top_of_book(n=3_000, seed=23):
    quotes = market(seed, 2 * n)
    at = np.flatnonzero(quotes.kinds == 0)[:n]
    return np.maximum.accumulate(quotes.ts[at]), quotes.values[at, 0], quotes.values[at, 2]


def labelled(k=20, latency_ns=10_000_000, early=0):
    """Labels, and the quote after which each is said to be known: ``early`` quotes before it is."""

    def compute(ts_ns, bid_px, ask_px):
        label, end_ns = nl_labels(ts_ns, bid_px, ask_px, k=k, latency_ns=latency_ns)
        reference = np.searchsorted(ts_ns, ts_ns + latency_ns, side="right") - 1
        known = np.where(end_ns < NEVER_NS, reference + k - early, len(ts_ns))
        return label, known

    return compute


@pytest.mark.parametrize("k", [1, 20, 200])
def test_labels_need_nothing_after_the_quote_that_ends_them(k):
    assert find_leaks(labelled(k), top_of_book(), ["label"], cuts=CUTS) == ()


def test_label_that_is_said_to_be_known_a_quote_early_is_caught():
    found = find_leaks(labelled(early=1), top_of_book(), ["label"], cuts=CUTS)
    assert {leak.feature for leak in found} <= {ROWS, "label"} and found
    assert found[0].events == found[0].event + 1


def normalized(train):
    """Rows scaled by what the first ``train`` of them show; those are known when the last of them is."""

    def compute(rows):
        scaler = fit_scaler(Samples(rows[:train, None], np.zeros(len(rows[:train]), np.int8)))
        return scale(scaler, rows), np.maximum(np.arange(len(rows)), train - 1)

    return compute


@pytest.fixture(scope="module")
def rows():
    stream = market(24, 3_000)
    return SERVED.fold(stream.kinds, stream.ts, stream.values)[0].astype(np.float32)


def test_scaler_of_the_train_split_needs_nothing_after_it(rows):
    assert find_leaks(normalized(1_000), (rows,), NAMES, cuts=CUTS) == ()


def test_scaler_of_the_whole_file_is_caught_in_every_column(rows):
    def compute(rows):
        return scale(fit_scaler(Samples(rows[:, None], np.zeros(len(rows), np.int8))), rows)

    assert [leak.feature for leak in find_leaks(compute, (rows,), NAMES, cuts=5)] == list(NAMES)


# -- planted in a table ------------------------------------------------------------------------------------------------


def table(n=500):
    rng = np.random.default_rng(25)
    return START_NS + np.arange(n), 100 + np.cumsum(rng.normal(size=n)), rng.normal(size=n)


def of_table(*columns):
    """A compute of polars expressions over the columns ts, px and flow."""

    def compute(ts, px, flow):
        return pl.DataFrame({"ts": ts, "px": px, "flow": flow}).select(*columns).to_numpy()

    return compute


PX, FLOW = pl.col("px"), pl.col("flow")
HONEST = {
    "mean": PX.rolling_mean(9),
    "past": FLOW.shift(3),
    "expanding": PX - PX.cum_sum() / pl.int_range(1, pl.len() + 1),
}
PLANTED = {
    "centred window": PX.rolling_mean(9, center=True),
    "whole-file normalization": (PX - PX.mean()) / PX.std(),
    "future column": FLOW.shift(-1),
    "filled backwards": pl.when(FLOW > 1.5).then(FLOW).backward_fill(),
    "rank over the file": FLOW.rank(),
    "joined by nearest": PX.reverse().cum_max().reverse(),
}


def test_honest_columns_of_a_table_are_clean():
    columns = [column.alias(name) for name, column in HONEST.items()]
    assert find_leaks(of_table(*columns), table(), list(HONEST), cuts=CUTS) == ()


@pytest.mark.parametrize("name", PLANTED)
def test_planted_leak_is_caught_and_named_among_honest_columns(name):
    names = [*list(HONEST)[:2], name, "expanding"]
    columns = [(HONEST | PLANTED)[of].alias(of) for of in names]
    (leak,) = find_leaks(of_table(*columns), table(), names, cuts=CUTS)
    assert leak.feature == name
    assert leak.event < leak.events
    assert leak.whole != leak.cut


def test_leak_tells_the_first_row_both_values_and_where_the_input_was_cut():
    (leak,) = find_leaks(lambda px: np.append(px[1:], 0.0), (np.arange(1.0, 9.0),), ["next"])
    assert (leak.row, leak.event, leak.events, leak.whole, leak.cut) == (0, 0, 1, 2.0, 0.0)
    assert str(leak) == "next: row 0, known after event 0, is 2.0, but 0.0 when the input ends after event 0"


def test_row_that_waits_for_a_later_event_is_caught():
    """Every second event is a row, once the next one has come."""
    (leak,) = find_leaks(lambda px: (px[:-1:2], np.arange(0, len(px) - 1, 2)), (np.arange(50.0),))
    assert (leak.feature, leak.row, leak.event, leak.events) == (ROWS, 0, 0, 1)
    assert leak.whole == 0.0 and np.isnan(leak.cut)


def test_one_step_of_look_ahead_in_a_single_row_is_found_where_it_lies():
    def compute(px):
        rows = px.copy()
        if len(px) > 100:
            rows[99] = px[100]
        return rows

    (leak,) = find_leaks(compute, (np.arange(200.0),), cuts=CUTS)
    assert (leak.feature, leak.row, leak.events, leak.whole, leak.cut) == ("column 0", 99, 100, 100.0, 99.0)


def test_differences_within_the_tolerance_are_none():
    def compute(px):
        return px + 1e-12 * len(px)

    assert find_leaks(compute, (np.arange(50.0),))
    assert find_leaks(compute, (np.arange(50.0),), tolerance=1e-9) == ()


@pytest.mark.parametrize("inputs", [(), (np.arange(1.0),), (np.arange(5.0), np.arange(4.0))])
def test_inputs_of_different_length_or_none_are_refused(inputs):
    with pytest.raises(ValueError, match="at least two, all of one length"):
        find_leaks(lambda *columns: columns[0], inputs)
