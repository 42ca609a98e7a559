"""Decoded events of one symbol as the kernel of the whole bank takes them, in chunks that it can fold."""

from collections.abc import Sequence
from math import nan
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from features.body import BOOK_LEVELS, INTEREST, LIQUIDATION, MARK, REFERENCE
from features.kernel import encode
from features.parameters import PARAMETERS, SECOND_NS
from features.state import LEVELS
from market.book import Book, Rule
from market.events import QUOTE, TRADE, Depth, Event, Liquidation, Mark, OpenInterest, Quote, Trade

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Encoded = tuple[int, int, float, float, float, float]
_ALONE: Final = (0.0, 0.0, 0.0, 0.0)


class Chunk(msgspec.Struct, frozen=True):
    """What ``Kernel.fold`` takes: kinds [n], event clock [n], values [n, 4], and [m, 4, 10] levels of its books."""

    kinds: npt.NDArray[np.int8]
    ts_ns: Ints
    values: Floats
    levels: Floats


def encode_event(event: Event) -> Encoded | None:
    """Kind, event (else receive) time and values of one event; None where it is no signal or a ``Depth``.

    A print that is no trade against the book is no signal. Time to funding counts from the event itself.

    >>> encode_event(Mark("X", 1_000_000_000, 5, 7.5, 7.4, 0.0001, 3_000_000_000))
    (2, 1000000000, 7.5, 7.4, 0.0001, 2.0)
    """
    ts_ns = event.ts_event if event.ts_event > 0 else event.ts_recv
    match event:
        case Quote():
            return encode(event)
        case Trade():
            return encode(event) if event.is_market else None
        case Mark():
            left_s = (event.next_funding_ns - ts_ns) / SECOND_NS if event.next_funding_ns > 0 else nan
            return MARK, ts_ns, event.mark_px, event.index_px, event.funding_rate, left_s
        case OpenInterest():
            return INTEREST, ts_ns, event.open_interest, 0.0, 0.0, 0.0
        case Liquidation():
            return LIQUIDATION, ts_ns, event.px, event.qty, float(event.side), 0.0
    return None


def as_reference(quote: Quote) -> Encoded:
    """A quote of the reference symbol, as the other symbols' kernels take it."""
    return (REFERENCE, *encode(quote)[1:])


def ladder(book: Book) -> Floats | None:
    """The ten best levels of both sides, [4, 10] as the kernel takes them; None while the book may not be trusted."""
    bids, asks = book.levels(1, LEVELS), book.levels(-1, LEVELS)
    if not (book.tradable and bids and asks):
        return None
    levels = np.zeros((4, LEVELS))
    for side, found in ((0, bids), (2, asks)):
        levels[side : side + 2, : len(found)] = np.array(found, np.float64).T
    return levels


class SymbolEvents:
    """Gathers events of one symbol until ``cut``; keeps the symbol's book from frame to frame."""

    def __init__(self, symbol: str, rule: Rule) -> None:
        self.book = Book(symbol, rule)
        self._started = False
        self._rows: list[Encoded] = []
        self._levels: list[Floats] = []

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, event: Event) -> None:
        if isinstance(event, Depth):
            self._take_depth(event)
        elif (encoded := encode_event(event)) is not None:
            self._rows.append(encoded)

    def take_reference(self, encoded: Encoded) -> None:
        self._rows.append(encoded)

    def _take_depth(self, depth: Depth) -> None:
        self.book.apply(depth)
        levels = ladder(self.book)
        if levels is not None:
            self._levels.append(levels)
            self._rows.append((BOOK_LEVELS, depth.ts_event if depth.ts_event > 0 else depth.ts_recv, *_ALONE))

    def cut(self) -> Chunk:
        """What was gathered, without events that the kernel would pass over; the next chunk starts empty."""
        kinds = np.array([row[0] for row in self._rows], np.int8)
        ts_ns = np.array([row[1] for row in self._rows], np.int64)
        values = np.array([row[2:] for row in self._rows], np.float64).reshape(-1, 4)
        kept = usable(kinds, values)
        if not self._started:
            kept &= np.logical_or.accumulate(kept & np.isin(kinds, (QUOTE, TRADE)))
            self._started = bool(kept.any())
        levels = _of_books(self._levels, kept[kinds == BOOK_LEVELS])
        self._rows, self._levels = [], []
        return Chunk(kinds[kept], ts_ns[kept], values[kept], levels)


def _of_books(levels: Sequence[Floats], kept: npt.NDArray[np.bool_]) -> Floats:
    return np.stack(levels)[kept] if levels else np.zeros((0, 4, LEVELS))


def usable(kinds: npt.NDArray[np.int8], values: Floats) -> npt.NDArray[np.bool_]:
    """Which events the kernel takes rather than passes over, [n]; books are judged when they are read."""
    there = (values > PARAMETERS.min_value) & (values < PARAMETERS.max_value)
    a, b, c, d = there.T
    with np.errstate(invalid="ignore"):
        ordered = values[:, 0] <= values[:, 2]
    return np.select(
        [kinds == QUOTE, kinds == REFERENCE, np.isin(kinds, (TRADE, LIQUIDATION)), kinds == INTEREST],
        [a & b & c & d & ordered, a & c & ordered, a & b, a],
        True,
    )
