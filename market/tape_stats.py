"""What a tape holds and whether it can be believed: counts, sequence breaks, clock skew, book against ticker."""

from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from market.codecs import decode_all, event_type, exact_tops
from market.errors import FrameError
from market.events import Event
from market.recording import Recording
from market.tape import Frame, FrameReader, Quarantined, TapeFile, chain, read_frames, scan
from market.truth import BookVsTicker

NEW_RECORDING_NS: Final = 3_600_000_000_000


class Spread(msgspec.Struct):
    """Smallest, median and largest of a set of numbers; None when the set is empty."""

    min: float | None = None
    median: float | None = None
    max: float | None = None


class TapeStats(msgspec.Struct):
    """Facts of a tape or of a folder read as one chained stream per symbol.

    ``frames`` counts all frames received (REST answers that a recorder kept apart stand in ``by_type`` only),
    ``quarantined`` those of them that could not be read; ``depth_events`` are deltas; ``chain_breaks`` are deltas that
    do not continue the one before (ids, not clocks); ``crossed`` deltas after which the book stood crossed; trade ids
    count per symbol and recording, and can be missing only where the venue's count up without holes (Binance, OKX
    ``trades-all``). A silence of an hour starts a new recording. A recording without any snapshot is judged by its
    deltas alone, at the prices they mention.
    """

    frames: int = 0
    by_type: dict[str, int] = msgspec.field(default_factory=dict)
    symbols: list[str] = msgspec.field(default_factory=list)
    first_recv_ns: int | None = None
    last_recv_ns: int | None = None
    depth_events: int = 0
    depth_applied: int = 0
    chain_breaks: int = 0
    crossed: int = 0
    trades: int = 0
    trade_ids_duplicate: int = 0
    trade_ids_missing: int = 0
    recv_minus_event_ms: Spread = msgspec.field(default_factory=Spread)
    quarantined: int = 0
    book_vs_ticker: BookVsTicker = msgspec.field(default_factory=BookVsTicker)


class Report(msgspec.Struct):
    """``stats`` and what a person should know beside them: unreadable lines, torn files, files left out."""

    stats: TapeStats
    reasons: list[Quarantined]
    notes: list[str]


def tape_stats(path: Path) -> Report:
    """Read a tape file or folder whole and judge it.

    Raises
    ------
    TapeError
        ``path`` is missing, empty or holds no tape.
    """
    tapes, ignored = scan(path)
    report = Report(TapeStats(), [], [f"left out: {error.message}" for error in ignored])
    delays, types = array("q"), Counter[str]()
    for files in chain(tapes):
        _read_chain(files, report, delays, types)
    stats = report.stats
    stats.symbols = sorted({file.symbol for file in tapes})
    stats.by_type = dict(sorted(types.items()))
    if delays:
        ms = np.frombuffer(delays, np.int64) / 1e6
        stats.recv_minus_event_ms = Spread(float(ms.min()), float(np.median(ms)), float(ms.max()))
    return report


def _read_chain(files: Sequence[TapeFile], report: Report, delays: "array[int]", types: Counter[str]) -> None:
    stats, previous_ns = report.stats, 0
    recording = Recording(files[0].venue, files[0].symbol)
    codec = _Codec(files[0].venue)
    for file in files:
        reader = read_frames(file)
        for frame in reader:
            if previous_ns and frame.recv_ns - previous_ns >= NEW_RECORDING_NS:
                recording.finish(stats, report.notes)
                recording = Recording(file.venue, file.symbol)
            previous_ns = frame.recv_ns
            events = codec.read(frame, recording, reader, types, stats)
            if events is None:
                continue
            delays.extend([frame.recv_ns - event.ts_event for event in events if event.ts_event])
            _widen(stats, frame.recv_ns)
        _add_reading(file, reader, report)
    recording.finish(stats, report.notes)


class _Codec:
    """What reads one venue's frames."""

    def __init__(self, venue: str) -> None:
        self.decode, self.event_type, self.exact_tops = decode_all(venue), event_type(venue), exact_tops(venue)

    def read(
        self, frame: Frame, recording: Recording, reader: FrameReader, types: Counter[str], stats: TapeStats
    ) -> Sequence[Event] | None:
        """The frame's events, given to ``recording``; None when the frame is quarantined."""
        try:
            events, name = self.decode(frame.raw, frame.recv_ns), self.event_type(frame.raw)
            recording.take(name, events, lambda: self.exact_tops(frame.raw), stats)
        except FrameError as error:
            reader.reject(str(error))
            return None
        types[name] += 1
        return events


def _add_reading(file: TapeFile, reader: FrameReader, report: Report) -> None:
    report.stats.quarantined += reader.quarantined
    report.stats.frames += reader.received
    report.reasons += reader.reasons
    report.notes += [f"{file.path} is torn: its packed data breaks off"] if reader.truncated else []
    report.notes += [f"{file.path}: {reader.late} receive times run backwards"] if reader.late else []
    report.notes += [f"{file.path}: {reader.answers} answers of REST, not counted as frames"] if reader.answers else []


def _widen(stats: TapeStats, recv_ns: int) -> None:
    stats.first_recv_ns = recv_ns if stats.first_recv_ns is None else min(stats.first_recv_ns, recv_ns)
    stats.last_recv_ns = recv_ns if stats.last_recv_ns is None else max(stats.last_recv_ns, recv_ns)
