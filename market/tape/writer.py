"""Writing a tape so that a crash loses at most its last moments, and a reader never sees a half-written one."""

import os
import zlib
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from market.errors import TapeError
from market.tape.frames import FrameReader

_FLUSH_BYTES: Final = 1 << 18
_FLUSH_NS: Final = 1_000_000_000
_LEVEL: Final = 4


def tape_name(symbol: str, recv_ns: int) -> str:
    """File name of the tape of ``symbol`` on the UTC day of ``recv_ns``.

    >>> tape_name("BTCUSDT", 1721347020984480942)
    'btcusdt_20240718.gz'
    """
    return f"{symbol.lower()}_{datetime.fromtimestamp(recv_ns // 1_000_000_000, UTC):%Y%m%d}.gz"


class TapeWriter:
    """Appends frames to ``<path>.part`` and renames it to ``path`` on ``close``; same frames, same bytes.

    Data reaches the operating system every second of receive time or 256 KiB, whichever is first. A ``.part`` left by a
    crash is continued (unless ``resume`` is False): its whole lines are kept, its torn tail is cut. Leaving a ``with``
    block by an exception keeps the ``.part`` and gives it no name.

    Raises
    ------
    TapeError
        ``path`` exists already, or cannot be written (no disk, no permission).
    """

    def __init__(self, path: Path, resume: bool = True) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        if path.exists():
            raise TapeError(
                f"{path} exists already", "a finished tape is never overwritten: choose another folder or move it"
            )
        self._pending = bytearray()
        self._flushed_ns = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._buffer = bytearray(_whole_lines(self.part) if resume else b"")
            self._zip = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
            fresh = self.part.with_name(self.part.name + ".new")
            self._file = fresh.open("wb", buffering=0)
            self.flush()
            fresh.replace(self.part)
        except OSError as error:
            raise self._failure(error) from error

    def write(self, recv_ns: int, raw: bytes) -> None:
        """Append one frame as received. ``raw`` must hold no newline (JSON frames never do)."""
        self._buffer += b"%d %s\n" % (recv_ns, raw)
        if len(self._buffer) >= _FLUSH_BYTES or recv_ns - self._flushed_ns >= _FLUSH_NS:
            self._flushed_ns = recv_ns
            self.flush()

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        if self._buffer:
            self._pending += self._zip.compress(self._buffer) + self._zip.flush(zlib.Z_SYNC_FLUSH)
            self._buffer.clear()
        self._send()

    def _send(self) -> None:
        """What the disk refuses stays pending, so that a later flush goes on where this one stopped."""
        try:
            while self._pending:
                del self._pending[: self._file.write(self._pending)]
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Finish the gzip stream, make it durable and give the file its name. Closing twice is harmless."""
        if self._file.closed:
            return
        self.flush()
        self._pending += self._zip.flush()
        self._send()
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self.part.replace(self.path)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> TapeError:
        return TapeError(f"{self.part} cannot be written: {error.strerror}", "free disk space or choose another folder")

    def __enter__(self) -> "TapeWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.flush()
            self._file.close()


def _whole_lines(part: Path) -> bytes:
    """Lines of an interrupted tape that are complete, without its torn tail."""
    if not part.exists():
        return b""
    try:
        return b"".join(b"%d %s\n" % (frame.recv_ns, frame.raw) for frame in FrameReader(part))
    except TapeError:
        return b""
