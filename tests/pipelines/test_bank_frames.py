"""Rows of the bank from a tape: the same whether folded in chunks or at once, thinned evenly, labelled for good."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bank import kernel_of
from features.body import BOOK_LEVELS, INTEREST, LIQUIDATION, MARK, REFERENCE
from market.book import Book
from market.codecs import decode_all
from market.events import QUOTE, TRADE, Depth, Liquidation, Mark, OpenInterest, Quote, Trade
from market.simulator.generator import generate
from market.tape import session_frames, sessions
from pipelines.bank_events import SymbolEvents, as_reference, encode_event, ladder, usable
from pipelines.bank_frames import Outcomes, Thinned, bank_frames
from pipelines.labels import nl_labels

NAMES = ("return_1s_bps", "reference_momentum_1s_bps", "basis_bps", "flow_1s", "to_minute")
KERNEL = kernel_of(NAMES)
MS = 1_000_000


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tapes")
    generate(folder, 3, minutes=0.7)
    (found,) = sessions(folder)
    return found


def frames_of(session, most=100_000):
    frames, unreadable = bank_frames(session, "BTC", most=most, label_k=20, latency_ns=10 * MS, kernel=KERNEL)
    assert unreadable == 0
    return {frame.symbol: frame for frame in frames}


@pytest.fixture(scope="module")
def frames(session):
    return frames_of(session)


def gathered(session, symbol, reference):
    """Every event of one symbol and of the reference, at once."""
    events, decode = SymbolEvents(symbol, "futures"), decode_all(session.venue)
    for frame in session_frames(session):
        for event in decode(frame.raw, frame.recv_ns):
            if (event.symbol or frame.symbol) == symbol:
                events.take(event)
            elif isinstance(event, Quote) and event.symbol == reference:
                events.take_reference(as_reference(event))
    return events.cut()


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_chunks_give_the_rows_of_one_fold(session, frames, symbol):
    chunk, frame = gathered(session, symbol, "BTCUSDT"), frames[symbol]
    rows, index = KERNEL.fold(chunk.kinds, chunk.ts_ns, chunk.values, None, chunk.levels)
    clock = np.maximum.accumulate(chunk.ts_ns)[index]
    bid_px, _, ask_px, _ = chunk.values[index].T
    label, end_ns = nl_labels(clock, bid_px, ask_px, k=20, latency_ns=10 * MS)
    known = label >= 0
    assert len(chunk.kinds) > 4_096 if symbol == "ETHUSDT" else len(chunk.kinds) > 1_000
    assert frame.rows.tobytes() == rows[known].astype(np.float32).tobytes()
    assert (frame.decisions, frame.stride) == (len(rows), 1)
    np.testing.assert_array_equal(frame.ts_ns, clock[known])
    np.testing.assert_array_equal(frame.label, label[known])
    np.testing.assert_array_equal(frame.end_ns, end_ns[known])


def test_other_symbols_see_the_reference_and_it_sees_none(frames):
    column = NAMES.index("reference_momentum_1s_bps")
    assert np.abs(frames["ETHUSDT"].rows[:, column]).max() > 0.1
    assert not frames["BTCUSDT"].rows[:, column].any()


def test_marks_reach_the_kernel(frames):
    assert all(frame.rows[:, NAMES.index("basis_bps")].any() for frame in frames.values())


def test_few_rows_are_every_so_many_of_all(session, frames):
    for symbol, few in frames_of(session, most=150).items():
        whole = frames[symbol]
        assert 150 <= len(few.rows) <= 300
        assert few.stride & (few.stride - 1) == 0 and few.stride > 1
        np.testing.assert_array_equal(few.rows, whole.rows[:: few.stride])
        np.testing.assert_array_equal(few.label, whole.label[:: few.stride])


@pytest.mark.parametrize("seed", range(5))
def test_outcomes_in_pieces_are_those_of_all_quotes(seed):
    rng = np.random.default_rng(seed)
    ts_ns = np.cumsum(rng.integers(0, 12, 900) * (rng.random(900) < 0.6)) * MS
    bid_px = 100.0 + np.cumsum(rng.integers(-1, 2, 900)) * 0.1
    quotes = np.column_stack([bid_px, np.ones(900), bid_px + 0.1])
    outcomes, found, at = Outcomes(15, 10 * MS), [], 0
    while at < 900:
        size = int(rng.integers(1, 60))
        found.append(outcomes.add(ts_ns[at : at + size], quotes[at : at + size]))
        at += size
    found.append(outcomes.finish())
    label, end_ns = nl_labels(ts_ns, quotes[:, 0], quotes[:, 2], k=15, latency_ns=10 * MS)
    for whole, pieces in zip((ts_ns, end_ns, label), zip(*found, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 9))
def test_thinning_keeps_every_so_many_and_never_too_many(sizes, most):
    kept, at = Thinned(most), 0
    for size in sizes:
        kept.add(np.arange(at, at + size))
        at += size
        (held,) = kept.columns()
        np.testing.assert_array_equal(held, np.arange(0, at, kept.stride))
        assert len(held) <= 2 * most


ODD = st.sampled_from([np.nan, 0.0, -1.0, np.inf, 1e-300, 1e300, 1.0, 2.0])
KINDS = st.sampled_from([QUOTE, TRADE, MARK, REFERENCE, INTEREST, LIQUIDATION])


@settings(deadline=None)
@given(st.lists(st.tuples(KINDS, ODD, ODD, ODD, ODD), min_size=1, max_size=20))
def test_what_is_left_out_is_what_the_kernel_passes_over(events):
    kinds = np.array([event[0] for event in events], np.int8)
    values = np.array([event[1:] for event in events], np.float64)
    state = KERNEL.init_state()
    KERNEL.fold(np.array([TRADE], np.int8), np.zeros(1, np.int64), np.ones((1, 4)), state)
    KERNEL.fold(kinds, np.zeros(len(kinds), np.int64), values, state)
    assert int(state["events"][0]) == 1 + int(usable(kinds, values).sum())


def test_nothing_comes_before_the_first_quote_or_trade():
    events = SymbolEvents("X", "futures")
    events.take(Mark("X", 1, 1, 7.5, 7.4, 0.0001, 9))
    events.take(Trade("X", 2, 2, 7.5, 1.0, 1, 1, 1.0, True))
    events.take(OpenInterest("X", 3, 3, 10.0, np.nan))
    assert events.cut().kinds.tolist() == [TRADE, INTEREST]
    events.take(Mark("X", 4, 4, 7.5, 7.4, 0.0001, 9))
    assert events.cut().kinds.tolist() == [MARK]


@pytest.mark.parametrize(
    ("event", "encoded"),
    [
        (Quote("X", 5, 9, 1.0, 2.0, 3.0, 4.0, 1), (QUOTE, 5, 1.0, 2.0, 3.0, 4.0)),
        (Quote("X", 0, 9, 1.0, 2.0, 3.0, 4.0, 1), (QUOTE, 9, 1.0, 2.0, 3.0, 4.0)),
        (Trade("X", 5, 9, 1.5, 2.5, -1, 1, 2.5, True), (TRADE, 5, 1.5, 2.5, -1.0, 0.0)),
        (Trade("X", 5, 9, 1.5, 2.5, -1, 1, 2.5, False), None),
        (OpenInterest("X", 5, 9, 7.0, np.nan), (INTEREST, 5, 7.0, 0.0, 0.0, 0.0)),
        (Liquidation("X", 5, 9, 1.5, 2.5, -1), (LIQUIDATION, 5, 1.5, 2.5, -1.0, 0.0)),
        (Mark("X", 10**9, 9, 7.5, 7.4, 1e-4, 4 * 10**9), (MARK, 10**9, 7.5, 7.4, 1e-4, 3.0)),
    ],
)
def test_events_are_encoded_as_the_kernel_takes_them(event, encoded):
    assert encode_event(event) == encoded


def test_a_mark_that_is_silent_on_funding_tells_no_time():
    assert np.isnan(encode_event(Mark("X", 1, 1, 7.5, 7.4, np.nan, 0))[-1])


def test_a_ladder_is_the_best_levels_and_none_while_the_book_is_not_trusted():
    book = Book("X", "okx")
    assert ladder(book) is None
    bids, asks = [(f"{100 - i}", f"{i + 1}") for i in range(12)], [("101", "5")]
    book.apply(Depth("X", 1, 1, True, 7, 7, -1, bids, asks))
    levels = ladder(book)
    np.testing.assert_array_equal(levels[0], 100.0 - np.arange(10))
    np.testing.assert_array_equal(levels[1], 1.0 + np.arange(10))
    assert (levels[2, 0], levels[3, 0], levels[2:, 1:].any()) == (101.0, 5.0, False)
    book.reset("test")
    assert ladder(book) is None


def test_books_come_as_levels_after_each_change():
    events = SymbolEvents("X", "okx")
    events.take(Quote("X", 1, 1, 99.0, 1.0, 101.0, 1.0, 1))
    events.take(Depth("X", 2, 2, True, 7, 7, -1, [("99", "1")], [("101", "5")]))
    events.take(Depth("X", 3, 3, False, 8, 8, 7, [("100", "2")], []))
    chunk = events.cut()
    assert chunk.kinds.tolist() == [QUOTE, BOOK_LEVELS, BOOK_LEVELS]
    assert chunk.levels[:, 0, 0].tolist() == [99.0, 100.0]
