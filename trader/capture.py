"""Writes what the sockets said, untouched, without ever holding up the trader.

Frames go into a queue; one thread drains it into a tape per symbol and UTC day, and into a next one when a tape has
grown large. A finished tape has its SHA-256 beside it, as ``sha256sum -c`` reads it. A tape that a crash left open is
finished first: its whole lines are kept, its torn tail is cut.
"""

import hashlib
import queue
import threading
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Final

from market.errors import TapeError
from market.tape import FrameReader, TapeWriter, tape_name

_CLOSE: Final = ("", 0, b"")
_DAY_NS: Final = 86_400_000_000_000
_TORN: Final = ".torn"
_PART: Final = ".part"
MOST_WAITING: Final = 2_000_000
MOST_BYTES: Final = 128 << 20


class Recorder:
    """``write`` queues and returns; ``close`` waits until all is on disk. ``most_bytes`` bounds one tape file.

    A disk that refuses, or cannot keep up, stops the recording and not the trader: ``error`` then says why,
    ``on_error`` was called once from the recorder's thread, and all that was written stays.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES, on_error: Callable[[], None] = lambda: None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.error: OSError | None = None
        self.finished: list[Path] = []
        self.written = 0
        self._folder, self._most_bytes, self._on_error = folder, most_bytes, on_error
        self._queue: queue.SimpleQueue[tuple[str, int, bytes]] = queue.SimpleQueue()
        self._writers: dict[str, tuple[int, TapeWriter]] = {}
        self._size: dict[str, int] = {}
        self._thread = threading.Thread(target=self._drain, name="recorder")
        self._thread.start()

    def write(self, symbol: str, recv_ns: int, raw: bytes) -> None:
        """Take one frame; returns at once."""
        self._queue.put((symbol, recv_ns, raw))

    @property
    def waiting(self) -> int:
        """Frames taken and not yet handed to the disk."""
        return self._queue.qsize()

    def close(self) -> None:
        """Write out what waits, finish every tape."""
        self._queue.put(_CLOSE)
        self._thread.join()

    def _drain(self) -> None:
        self._guard(self._repair)
        while (item := self._queue.get()) is not _CLOSE:
            if self.error is None:
                self._guard(self._write, *item)
        for symbol in list(self._writers):
            self._guard(self._finish, symbol)

    def _guard(self, work: Callable[..., None], *about: object) -> None:
        """A full disk stops the recording, not the trader: the engine sees ``error`` and takes no new risk."""
        try:
            work(*about)
        except TapeError as error:
            self._fail(OSError(error.message))
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if self.error is None:
            self.error = error
            self._on_error()

    def _repair(self) -> None:
        self.finished += repair(self._folder)

    def _write(self, symbol: str, recv_ns: int, raw: bytes) -> None:
        day = recv_ns // _DAY_NS
        held = self._writers.get(symbol)
        if held is None or held[0] != day or self._size[symbol] >= self._most_bytes:
            held = self._next(symbol, recv_ns)
        held[1].write(recv_ns, raw)
        self.written += 1
        if self.written % 4096 == 0:
            self._measure()

    def _next(self, symbol: str, recv_ns: int) -> tuple[int, TapeWriter]:
        if symbol in self._writers:
            self._finish(symbol)
        held = recv_ns // _DAY_NS, TapeWriter(free_path(self._folder / tape_name(symbol, recv_ns)))
        self._writers[symbol], self._size[symbol] = held, 0
        return held

    def _measure(self) -> None:
        """Sizes on disk, and whether the disk keeps up at all."""
        for symbol, (_, writer) in self._writers.items():
            self._size[symbol] = writer.part.stat().st_size
        if self.waiting > MOST_WAITING:
            raise OSError(f"{self._folder} is too slow: {self.waiting} frames wait to be written")

    def _finish(self, symbol: str) -> None:
        _, writer = self._writers.pop(symbol)
        writer.close()
        write_checksum(writer.path)
        self.finished.append(writer.path)


def free_path(path: Path) -> Path:
    """``path``, or ``<stem>_2.gz``, ``<stem>_3.gz`` …: the first that no tape has."""
    count, free = 1, path
    while free.exists() or free.with_name(free.name + _PART).exists():
        count += 1
        free = path.with_name(f"{path.stem}_{count}{path.suffix}")
    return free


def write_checksum(tape: Path) -> Path:
    """Write ``<tape>.sha256`` beside a finished tape; visible whole or not at all."""
    digest = hashlib.sha256()
    with tape.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    path = tape.with_name(tape.name + ".sha256")
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(f"{digest.hexdigest()}  {tape.name}\n")
    fresh.replace(path)
    return path


def repair(folder: Path) -> list[Path]:
    """Finish the tapes that a crash left open in ``folder``; returns them. Interrupted itself, it starts over."""
    for part in sorted(folder.glob(f"*.gz{_PART}")):
        torn = part.with_name(part.name.removesuffix(_PART) + _TORN)
        if torn.exists():
            part.unlink()  # an unfinished copy of it
        else:
            part.replace(torn)
    return [tape for torn in sorted(folder.glob(f"*.gz{_TORN}")) for tape in _finish_torn(torn)]


def _finish_torn(torn: Path) -> list[Path]:
    path = torn.with_name(torn.name.removesuffix(_TORN))
    if not path.exists():
        frames = FrameReader(torn)
        try:
            first = next(frames)
        except TapeError:
            torn.replace(torn.with_name(f"{torn.name}.unreadable.{torn.stat().st_mtime_ns}"))
            return []
        with TapeWriter(path, resume=False) as tape:
            for frame in chain((first,), frames):
                tape.write(frame.recv_ns, frame.raw)
    write_checksum(path)
    torn.unlink()
    return [path]
