"""Append-only, checksummed journal: the second half of what replay needs (the tape is the first).

A file is ``MAGIC`` and then records of ``length u32 | crc32 u32 | msgpack``. A crash can tear only the last record: the
reader stops there and says so, and ``repair`` cuts it off.
"""

import errno
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from trader.errors import JournalError
from trader.records import Record

MAGIC = b"CSJRNL01"
_HEAD = struct.Struct("<II")
_MAX_RECORD = 1 << 20
_SCAN = 2 << 20
_encoder = msgspec.msgpack.Encoder(decimal_format="string")
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    """Canonical bytes of a record: equal records give equal bytes, floats keep all 64 bits."""
    return _encoder.encode(record)


class Run(msgspec.Struct, frozen=True):
    """Where one run lives on disk."""

    folder: Path

    @property
    def journal(self) -> Path:
        return self.folder / "journal.cslog"

    @property
    def tape(self) -> Path:
        return self.folder / "tape"


class JournalWriter:
    """Appends records to ``path``; each ``append`` reaches the operating system before it returns.

    Raises
    ------
    JournalError
        When ``path`` exists already: a journal is never overwritten.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = path.open("xb", buffering=0)
        except FileExistsError:
            raise JournalError(f"{path} exists already", "start with another run folder, or replay this one") from None
        self._file.write(MAGIC)

    def append(self, record: Record) -> None:
        payload = encode(record)
        data = _HEAD.pack(len(payload), zlib.crc32(payload)) + payload
        if self._file.write(data) != len(data):
            # an unbuffered file may take a part: the reader then sees a torn tail
            raise OSError(errno.ENOSPC, "only a part of a record could be written", str(self._file.name))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "JournalWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class JournalReader:
    """Iterates the records of ``path``; after the iteration ``torn_at`` is the offset of a torn tail, or None.

    Raises
    ------
    JournalError
        When the file is missing or no journal, or when a record before the tail fails its checksum (named by offset).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn_at: int | None = None

    def __iter__(self) -> Iterator[Record]:
        return (record for record, _ in self.records())

    def records(self) -> Iterator[tuple[Record, bytes]]:
        """Every whole record with its bytes as written."""
        return ((_decoder.decode(payload), payload) for _, payload in self.payloads())

    def payloads(self) -> Iterator[tuple[int, bytes]]:
        """(offset, payload) of every whole record."""
        data = self._read()
        at = len(MAGIC)
        while at < len(data):
            payload = _payload_at(data, at)
            if payload is None:
                self._refuse_unless_tail(data, at)
                return
            yield at, payload
            at += _HEAD.size + len(payload)

    def _read(self) -> bytes:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            raise JournalError(
                f"no journal at {self.path}", "run `cryptoscalp trade` first, or pass its run folder"
            ) from None
        if not data.startswith(MAGIC):
            raise JournalError(f"{self.path} is no journal", "pass the file or folder that `cryptoscalp trade` wrote")
        return data

    def _refuse_unless_tail(self, data: bytes, at: int) -> None:
        """A bad record is a torn tail only when no whole record follows it anywhere."""
        if any(_payload_at(data, offset) is not None for offset in range(at + 1, min(len(data), at + _SCAN))):
            raise JournalError(
                f"{self.path}: the record at byte {at} fails its checksum",
                "restore this file from a copy; it was altered",
            )
        self.torn_at = at


def _payload_at(data: bytes, at: int) -> bytes | None:
    """The whole record at ``at``, or None when it is cut short or fails its checksum."""
    if at + _HEAD.size > len(data):
        return None
    length, crc = _HEAD.unpack_from(data, at)
    if not 0 < length <= _MAX_RECORD:
        return None
    payload = data[at + _HEAD.size : at + _HEAD.size + length]
    return payload if len(payload) == length and zlib.crc32(payload) == crc else None


def repair(path: Path) -> int:
    """Cut a torn tail off ``path``; returns the number of bytes cut (0 when the journal was whole)."""
    reader = JournalReader(path)
    for _ in reader.payloads():
        pass
    if reader.torn_at is None:
        return 0
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(reader.torn_at)
    return size - reader.torn_at
