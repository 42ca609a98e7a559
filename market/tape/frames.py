"""Reading a tape: frames of one file, and of many files merged by receive time.

Reading never loses a whole line: a torn gzip tail ends the file early and sets ``truncated``, a bad line is counted
with its place and reason.
"""

import heapq
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from market.errors import FrameError, TapeError
from market.units import time_ns

FIX_PATH: Final = "pass a tape file (gzip lines `recv_ns frame`), or the folder that directly holds such files"
_CHUNK: Final = 1 << 18
_KEEP_REASONS: Final = 100
_NO_TAPE_AFTER: Final = 2_000
_LONGEST_LINE: Final = 1 << 23
_GZIP: Final = b"\x1f\x8b"


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One received frame: ``recv_ns`` UTC, the untouched bytes, the symbol of the file it stands in (upper-case)."""

    recv_ns: int
    raw: bytes
    symbol: str


class TapeFile(msgspec.Struct, frozen=True):
    """A recording of one symbol. ``venue`` is ``binanceusdm``, ``binancecoinm`` or ``binance`` (spot)."""

    path: Path
    venue: str
    symbol: str
    first_recv_ns: int


class Quarantined(msgspec.Struct, frozen=True):
    """A line that is not used: where it stands and why."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


class FrameReader(Iterator[Frame]):
    """Frames of one file in file order, and what was wrong with it so far.

    ``truncated`` is True once the compressed data ended or broke before its end mark (all whole lines before it were
    given); ``quarantined`` counts lines that are no ``int json`` and ``reasons`` holds the first hundred; ``late``
    counts frames whose receive time is below the one before (kept as received).
    """

    def __init__(self, path: Path, symbol: str = "") -> None:
        self.path, self.symbol = path, symbol
        self.truncated = False
        self.frames = self.late = self.quarantined = self.line = 0
        self.reasons: list[Quarantined] = []
        self._frames = self._read()

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
        for line in self._lines():
            self.line += 1
            try:
                recv_ns, raw = split_line(line)
            except FrameError as error:
                self.reject(str(error))
                if self.frames == 0 and self.line >= _NO_TAPE_AFTER:
                    break
                continue
            if recv_ns < previous:
                self.late += 1
            previous = recv_ns
            self.frames += 1
            yield Frame(recv_ns, raw, symbol)
        if self.frames == 0:
            raise TapeError(self._why_empty(), FIX_PATH)

    def _why_empty(self) -> str:
        if self.reasons:
            return f"{self.path} is no tape: line {self.reasons[0].line}: {self.reasons[0].reason}"
        return f"{self.path} holds no frame" + (" before its gzip data breaks off" if self.truncated else "")

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        for chunk in self._chunks():
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield from lines
            if len(rest) > _LONGEST_LINE:
                yield rest
                rest = b""
        if rest and not self.truncated:
            yield rest

    def _chunks(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                head = file.read(_CHUNK)
                if head[:2] == _GZIP:
                    yield from self._inflate(head, file)
                else:
                    yield head
                    yield from iter(lambda: file.read(_CHUNK), b"")
        except OSError as error:
            raise TapeError(
                f"{self.path} cannot be read: {error.strerror}", "check the path and its permissions"
            ) from None

    def _inflate(self, data: bytes, file: BinaryIO) -> Iterator[bytes]:
        """Text of all gzip members; ``truncated`` when the last one has no end or something breaks on the way."""
        unzip = zlib.decompressobj(31)
        while data:
            try:
                yield unzip.decompress(data)
            except zlib.error:
                self.truncated = True
                return
            data = unzip.unused_data.lstrip(b"\0") if unzip.eof else b""
            data = data or file.read(_CHUNK)
            if unzip.eof and data:
                unzip = zlib.decompressobj(31)
        self.truncated = not unzip.eof


def split_line(line: bytes) -> tuple[int, bytes]:
    """Receive time (ns; s, ms and µs are recognised) and frame of one tape line.

    Raises
    ------
    FrameError
        The line is not ``int json``.

    >>> split_line(b'1680652700423575 {"u":1}')
    (1680652700423575000, b'{"u":1}')
    """
    stamp, _, raw = line.partition(b" ")
    if not stamp.isdigit():
        raise FrameError("no receive time before the frame" if line else "empty line")
    raw = raw.strip()
    if raw[:1] not in (b"{", b"[") or raw[-1:] not in (b"}", b"]"):
        raise FrameError("the frame after the receive time is no whole JSON object")
    if len(stamp) > 19:
        raise FrameError("receive time is out of range")
    value = int(stamp)
    return (value if 10**17 <= value < 2**63 else time_ns(value)), raw


def read_frames(file: TapeFile) -> FrameReader:
    """Frames of one tape in file order; the iterator carries ``truncated``, ``quarantined``, ``reasons``, ``late``.

    Raises
    ------
    TapeError
        While iterating: the file cannot be read or has no valid line at all.
    """
    return FrameReader(file.path, file.symbol)


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
