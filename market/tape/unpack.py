"""The bytes of a recording whatever it is packed in: text, gzip (one or many members), zstd, or a zip of one file.

Told by the first bytes, never by the name. A packing that ends or breaks before its end mark is read up to there.
"""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final
from zipfile import BadZipFile, ZipFile

from market.errors import TapeError

_CHUNK: Final = 1 << 18
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZIP: Final = b"PK\x03\x04"
_BROKEN: Final = (zlib.error, BadZipFile, EOFError)
Broken = tuple[type[Exception], ...]


class Unpacker:
    """Iterates over chunks of a file's text; ``truncated`` says afterwards that the packing ended too early."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.truncated = False

    def __iter__(self) -> Iterator[bytes]:
        """Chunks in order.

        Raises
        ------
        TapeError
            The file cannot be opened or read.
        """
        try:
            with self.path.open("rb") as file:
                yield from self._chunks(file)
        except OSError as error:
            fix = "check the path and its permissions"
            raise TapeError(f"{self.path} cannot be read: {error.strerror}", fix) from None

    def _chunks(self, file: BinaryIO) -> Iterator[bytes]:
        head = file.read(_CHUNK)
        if head[:2] == _GZIP:
            yield from self._inflate(head, file, lambda: zlib.decompressobj(31), _BROKEN)
        elif head[:4] == _ZSTD:
            yield from self._inflate(head, file, *_zstd(self.path))
        elif head[:4] == _ZIP:
            yield from self._unzip()
        else:
            yield head
            yield from iter(lambda: file.read(_CHUNK), b"")

    def _inflate(self, data: bytes, file: BinaryIO, start: Callable[[], Any], broken: Broken) -> Iterator[bytes]:
        """Text of all gzip members or zstd frames, which may follow each other, padded with zeros."""
        unpack = start()
        while data:
            try:
                yield unpack.decompress(data)
            except broken:
                self.truncated = True
                return
            data = unpack.unused_data.lstrip(b"\0") if unpack.eof else b""
            data = data or file.read(_CHUNK)
            if unpack.eof and data:
                unpack = start()
        self.truncated = not unpack.eof

    def _unzip(self) -> Iterator[bytes]:
        try:
            with ZipFile(self.path) as archive:
                names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
                if len(names) != 1:
                    fix = "unpack it and pass the files"
                    raise TapeError(f"{self.path} packs {len(names)} files, a tape is one", fix)
                with archive.open(names[0]) as member:
                    yield from iter(lambda: member.read(_CHUNK), b"")
        except _BROKEN:
            self.truncated = True


def _zstd(path: Path) -> tuple[Callable[[], Any], Broken]:
    try:
        import zstandard  # only recordings of others need it
    except ImportError:
        fix = "pip install zstandard, or unpack the file with the zstd program"
        raise TapeError(f"{path} is packed with zstd, which is not installed", fix) from None
    return zstandard.ZstdDecompressor().decompressobj, (zstandard.ZstdError,)
