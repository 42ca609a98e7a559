"""Recordings as sessions: stretches in which something was received at least every ``gap_s`` seconds."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from market.tape.find import find_tapes
from market.tape.frames import Frame, TapeFile, merge, read_frames


class Session(msgspec.Struct, frozen=True):
    """One stretch of recording of one venue; bounds are inclusive receive times (ns UTC), ``symbols`` sorted."""

    files: tuple[TapeFile, ...]
    venue: str
    symbols: tuple[str, ...]
    first_ns: int
    last_ns: int
    frames: int


def sessions(path: Path, gap_s: float = 3600.0) -> list[Session]:
    """Sessions of a tape or a folder of tapes, oldest first. Venues are never mixed in one session.

    Raises
    ------
    TapeError
        As ``find_tapes``.
    """
    stamps = [(file, _receive_times(file)) for file in find_tapes(path)]
    found = []
    for venue in sorted({file.venue for file, _ in stamps}):
        own = [(file, times) for file, times in stamps if file.venue == venue]
        found += [_session(venue, own, first, last) for first, last in _stretches(own, gap_s)]
    return sorted(found, key=lambda session: session.first_ns)


def session_frames(session: Session) -> Iterator[Frame]:
    """Frames of the session merged by receive time; frames of its files outside its bounds are left out."""
    return (frame for frame in merge(session.files) if session.first_ns <= frame.recv_ns <= session.last_ns)


def _receive_times(file: TapeFile) -> NDArray[np.int64]:
    return np.sort(np.fromiter((frame.recv_ns for frame in read_frames(file)), np.int64))


def _stretches(stamps: list[tuple[TapeFile, NDArray[np.int64]]], gap_s: float) -> list[tuple[int, int]]:
    times = np.sort(np.concatenate([times for _, times in stamps]))
    cuts = np.flatnonzero(np.diff(times) >= gap_s * 1e9) + 1
    edges = [0, *cuts.tolist(), len(times)]
    return [(int(times[start]), int(times[end - 1])) for start, end in pairwise(edges)]


def _session(venue: str, stamps: list[tuple[TapeFile, NDArray[np.int64]]], first: int, last: int) -> Session:
    counts = [(file, _within(times, first, last)) for file, times in stamps]
    files = tuple(file for file, count in counts if count)
    symbols = tuple(sorted({file.symbol for file in files}))
    return Session(files, venue, symbols, first, last, sum(count for _, count in counts))


def _within(times: NDArray[np.int64], first: int, last: int) -> int:
    return int(np.searchsorted(times, last, "right") - np.searchsorted(times, first, "left"))
