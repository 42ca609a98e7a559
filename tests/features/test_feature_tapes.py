"""Batch equals stream on every recorded tape, for the served row and the whole bank, and the oracles agree on them."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from features.bank import BANK, BANK_INDEX, bank_kernel
from features.body import BOOK_LEVELS, INTEREST, LIQUIDATION, MARK, REFERENCE
from features.kernel import SERVED, encode
from features.schema import WARMUP_ROWS
from features.state import LEVELS
from market.book import Book
from market.codecs import decode_all
from market.errors import TapeError
from market.events import QUOTE, TRADE, Depth, Liquidation, Mark, OpenInterest, Quote, Trade
from market.sequence import rule_of
from market.tape import session_frames, sessions
from tests.features.oracles.compare import errors, wrong
from tests.features.oracles.history import History
from tests.features.streams import Stream, one_by_one, pick, pieces, run, run_late

ROOT = Path(__file__).parents[2]
DATA_DIR = Path(os.environ.get("DATA_DIR", ROOT.parent / "shared" / "data"))

pytestmark = [
    pytest.mark.data,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not DATA_DIR.is_dir(), reason=f"no recorded tapes in {DATA_DIR}"),
]
KERNELS = {"served": lambda: SERVED, "bank": bank_kernel}


def recorded():
    """One parameter per session and symbol of every folder that holds tapes."""
    found = []
    for folder in sorted(DATA_DIR.iterdir()) if DATA_DIR.is_dir() else []:
        try:
            held = sessions(folder) if folder.is_dir() else []
        except TapeError:
            continue
        for number, session in enumerate(held):
            name = f"{folder.name}-{session.venue}-{number}"
            found += [pytest.param(session, symbol, id=f"{name}-{symbol}") for symbol in session.symbols]
    return found


def encoded(event, symbol, reference):
    """Arguments of ``update`` after the address, or None for what the kernel does not take."""
    if event.symbol not in (symbol, reference):
        return None
    if event.symbol == reference:
        return (REFERENCE, *encode(event)[1:]) if isinstance(event, Quote) else None
    if isinstance(event, Quote) or (isinstance(event, Trade) and event.is_market):
        return encode(event)
    ts_ns = event.ts_event if event.ts_event > 0 else event.ts_recv
    if isinstance(event, Mark):
        due_s = (event.next_funding_ns - ts_ns) / 1e9
        return MARK, ts_ns, event.mark_px, event.index_px, event.funding_rate, due_s
    if isinstance(event, Liquidation):
        return LIQUIDATION, ts_ns, event.px, event.qty, float(event.side), 0.0
    if isinstance(event, OpenInterest):
        return INTEREST, ts_ns, event.open_interest, 0.0, 0.0, 0.0
    return None


def ten_levels(book):
    """``[4, 10]``: bid prices and quantities, ask prices and quantities, best first, absent ones 0."""
    sides = np.zeros((4, LEVELS))
    for at, side in ((0, 1), (2, -1)):
        found = [(float(px), float(qty)) for px, qty in book.levels(side, LEVELS)]
        sides[at : at + 2, : len(found)] = np.array(found).reshape(-1, 2).T
    return sides


@functools.lru_cache(maxsize=2)
def stream_of(session, symbol):
    """All the recording tells of ``symbol``, from its first quote or trade on; another symbol is its reference."""
    reference = next((other for other in session.symbols if other != symbol), None)
    decode, book, told, levels = decode_all(session.venue), Book(symbol, rule_of(session.venue)), [], []
    for frame in session_frames(session):
        for event in decode(frame.raw, frame.recv_ns):
            if isinstance(event, Depth) and (event.symbol or frame.symbol) == symbol:
                book.apply(event)
                if told and book.tradable and event.ts_event > 0:
                    told.append((BOOK_LEVELS, event.ts_event, 0.0, 0.0, 0.0, 0.0))
                    levels.append(ten_levels(book))
                continue
            arguments = None if isinstance(event, Depth) else encoded(event, symbol, reference)
            if arguments is not None and (told or arguments[0] in (QUOTE, TRADE)):
                told.append(arguments)
    kinds, ts = np.array([row[0] for row in told], np.int8), np.array([row[1] for row in told], np.int64)
    values = np.array([row[2:] for row in told]).reshape(-1, 4)
    return Stream(kinds, ts, values, np.array(levels).reshape(-1, 4, LEVELS))


@pytest.mark.parametrize(("session", "symbol"), recorded())
@pytest.mark.parametrize("name", ["served", pytest.param("bank", marks=pytest.mark.slow)])
def test_recorded_tape_folds_to_what_update_gives_event_by_event(session, symbol, name):
    """Rows, their events, and after each stretch the whole state."""
    kernel = KERNELS[name]()
    folded, updated = kernel.init_state(), kernel.init_state()
    for piece in pieces(stream_of(session, symbol)):
        rows, index = run(kernel, piece, folded)
        again, at = one_by_one(kernel, piece, updated)
        assert rows.tobytes() == again.tobytes()
        assert index.tolist() == at.tolist()
        assert folded.tobytes() == updated.tobytes()
        assert np.isfinite(rows).all()


def usable(stream):
    """Without what the kernel leaves out: quotes and books that are crossed or say 0."""
    px_a, qty_a, px_b, _ = stream.values.T
    book = np.isin(stream.kinds, (QUOTE, REFERENCE))
    quotes = (stream.values > 0.0).all(axis=1) & (px_a <= px_b)
    taken = (px_a > 0.0) & (qty_a > 0.0)
    kept = np.where(book, quotes, np.where(np.isin(stream.kinds, (TRADE, LIQUIDATION)), taken, True))
    tops = stream.levels[:, :, 0]
    kept[stream.kinds == BOOK_LEVELS] = (tops[:, 0] > 0.0) & (tops[:, 2] > 0.0) & (tops[:, 0] < tops[:, 2])
    return pick(stream, kept)


@pytest.mark.parametrize(("session", "symbol"), recorded())
def test_oracles_agree_on_recorded_tape(session, symbol):
    """At the end of the recording, and after a third of it."""
    whole = usable(stream_of(session, symbol))
    for stream in (whole, pick(whole, slice(0, len(whole.kinds) // 3))):
        rows, index = run_late(bank_kernel(), stream)
        if len(rows):
            assert wrong(errors(History(stream), BANK, BANK_INDEX, rows, index, [len(rows) - 1])) == {}


def test_recordings_hold_rows_of_several_kinds_of_event():
    """What is proven above is proven on something."""
    kinds = [stream_of(*parameter.values).kinds for parameter in recorded()]
    assert max(np.count_nonzero(of == QUOTE) for of in kinds) > 10 * WARMUP_ROWS
    assert {QUOTE, TRADE} <= set(np.concatenate(kinds).tolist())
