"""Reading a tape: frames of one file, and of many files merged by receive time.

Reading never loses a whole line: a torn gzip tail ends the file early and sets ``truncated``, a bad line is counted
with its place and reason.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from market.errors import FrameError, TapeError
from market.tape.lines import Line, parse_line, split_line
from market.tape.unpack import Unpacker

__all__ = [
    "FIX_PATH",
    "Frame",
    "FrameReader",
    "Quarantined",
    "TapeFile",
    "chain",
    "merge",
    "merge_readers",
    "read_frames",
    "split_line",
]
FIX_PATH: Final = "pass a tape file (lines `recv_ns frame`, gzip), or the folder that directly holds such files"
_KEEP_REASONS: Final = 100
_NO_TAPE_AFTER: Final = 2_000
_LONGEST_LINE: Final = 1 << 23


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One received frame: ``recv_ns`` UTC, the untouched bytes, the symbol of the file it stands in (upper-case)."""

    recv_ns: int
    raw: bytes
    symbol: str


class TapeFile(msgspec.Struct, frozen=True):
    """A recording of one symbol. ``venue`` is ``binanceusdm``, ``binancecoinm``, ``binance`` (spot), ``okx`` or
    ``bybit``.

    ``others`` are the symbols of the same file that are tapes of their own (with "": frames that name no symbol).
    """

    path: Path
    venue: str
    symbol: str
    first_recv_ns: int
    others: tuple[str, ...] = ()


class Quarantined(msgspec.Struct, frozen=True):
    """A line that is not used: where it stands and why."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


class FrameReader(Iterator[Frame]):
    """Frames of one file in file order (REST answers, where kept apart, at their time), and what was wrong with it.

    ``truncated`` is True once the packed data ended or broke before its end mark (all whole lines before it were
    given); ``quarantined`` counts lines that are no frame and ``reasons`` holds the first hundred; ``late`` counts
    frames whose receive time is below the one before (kept as received); ``received`` counts lines that are or should
    be frames, without the ``answers`` of REST; ``shared`` says that the file may hold several symbols.
    """

    def __init__(self, path: Path, symbol: str = "", others: Sequence[str] = ()) -> None:
        self.path, self.symbol = path, symbol
        self.shared = False
        self.frames = self.late = self.quarantined = self.line = self.received = self.answers = 0
        self.reasons: list[Quarantined] = []
        self._others = frozenset(others)
        self._unpacker = Unpacker(path)
        self._frames = self._read()

    @property
    def truncated(self) -> bool:
        return self._unpacker.truncated

    def __iter__(self) -> "FrameReader":
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def reject(self, reason: str) -> None:
        """Count the current line as unusable."""
        self.quarantined += 1
        if len(self.reasons) < _KEEP_REASONS:
            self.reasons.append(Quarantined(self.path, self.line, reason))

    def _read(self) -> Iterator[Frame]:
        previous, symbol = 0, self.symbol
        for line in self._in_time():
            if line.recv_ns < previous:
                self.late += 1
            previous = line.recv_ns
            self.frames += 1
            yield Frame(line.recv_ns, line.raw, symbol or line.owner or "")
        if self.frames == 0:
            raise TapeError(self._why_empty(), FIX_PATH)

    def _in_time(self) -> Iterator[Line]:
        """Own lines in file order; REST answers, which a recorder writes before all frames, wait for their time."""
        answers: deque[Line] = deque()
        for line in self._own():
            if line.is_answer:
                self.answers += 1
                answers.append(line)
                continue
            while answers and answers[0].recv_ns <= line.recv_ns:
                yield answers.popleft()
            self.received += 1
            yield line
        yield from answers

    def _own(self) -> Iterator[Line]:
        for text in self._lines():
            self.line += 1
            try:
                line = parse_line(text)
            except FrameError as error:
                self.received += 1
                self.reject(str(error))
                if self.frames == 0 and self.line >= _NO_TAPE_AFTER:
                    return
                continue
            if line is None:
                continue
            self.shared = self.shared or line.owner is not None
            if not self._others or line.owner not in self._others:
                yield line

    def _why_empty(self) -> str:
        if self.reasons:
            return f"{self.path} is no tape: line {self.reasons[0].line}: {self.reasons[0].reason}"
        return f"{self.path} holds no frame" + (" before its packed data breaks off" if self.truncated else "")

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        for chunk in self._unpacker:
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield from lines
            if len(rest) > _LONGEST_LINE:
                yield rest
                rest = b""
        if rest and not self.truncated:
            yield rest


def read_frames(file: TapeFile) -> FrameReader:
    """Frames of one tape in file order; the iterator carries ``truncated``, ``quarantined``, ``reasons``, ``late``.

    Raises
    ------
    TapeError
        While iterating: the file cannot be read or has no valid line at all.
    """
    return FrameReader(file.path, file.symbol, file.others)


def chain(files: Sequence[TapeFile]) -> list[list[TapeFile]]:
    """Files grouped into one list per (venue, symbol), each ordered by first receive time."""
    chains: dict[tuple[str, str], list[TapeFile]] = {}
    for file in sorted(files, key=lambda file: (file.first_recv_ns, str(file.path))):
        chains.setdefault((file.venue, file.symbol), []).append(file)
    return [chains[key] for key in sorted(chains)]


def merge_readers(chains: Sequence[Sequence[Iterator[Frame]]]) -> Iterator[Frame]:
    """Frames of several chains by receive time; each chain keeps its own order, ties go to the earlier chain."""
    streams = [(frame for reader in readers for frame in reader) for readers in chains]
    return heapq.merge(*streams, key=lambda frame: frame.recv_ns) if len(streams) > 1 else streams[0]


def merge(files: Sequence[TapeFile]) -> Iterator[Frame]:
    """Frames of all files by receive time (stable); the files of one symbol follow each other as one stream.

    Frames out of order inside one file stay in the order they were received.
    """
    return merge_readers([[read_frames(file) for file in files] for files in chain(files)]) if files else iter(())
