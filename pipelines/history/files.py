"""Bytes of a file, unpacked on the way, in blocks of whole lines; every way to be broken has its sentence."""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from pipelines.history.schema import HistoryError

Progress = Callable[[float], None]
BLOCK: Final = 1 << 24
_HEAD: Final = 1 << 16
_FIX_COPY: Final = "fetch the file again and compare its checksum with the archive's"
_MAGIC: Final = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"ARROW1": "feather",
    b"FEA1": "feather",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def container(path: Path) -> str:
    """``zip``, ``gzip``, ``feather`` or ``text``, told by the first bytes.

    Raises
    ------
    HistoryError
        The file is missing, empty, unreadable, or packed in a way that is not read here.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise HistoryError(f"{path}: cannot be read ({error.strerror})", "check the path and its permissions") from None
    if not head:
        raise HistoryError(f"{path}: the file is empty", _FIX_COPY)
    found = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "text")
    if found == "zstd":
        raise HistoryError(f"{path}: zstd is not read here", f"unpack it first: zstd -d {path.name}")
    return found


def check_sum(path: Path) -> None:
    """Compare a file with the ``.CHECKSUM`` file beside it (a sha256 and the file's name), where there is one.

    Raises
    ------
    HistoryError
        They differ, or the checksum file holds none.
    """
    beside = path.with_name(path.name + ".CHECKSUM")
    if not beside.exists():
        return
    stated = re.match(r"[0-9a-fA-F]{64}\b", beside.read_text(errors="replace"))
    if stated is None:
        raise HistoryError(f"{beside}: holds no sha256", "fetch it again, or delete it to go without")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != stated[0].lower():
        raise HistoryError(f"{path}: its sha256 is {found[:12]}…, {beside.name} states {stated[0][:12]}…", _FIX_COPY)


def head_lines(path: Path) -> list[str]:
    """The first lines of a text file, unpacked; at most 64 KiB of them, the last one possibly cut.

    Raises
    ------
    HistoryError
        As ``container``; or what it unpacks to is no text.
    """
    start = b""
    for piece in _unpacked(path, lambda _share: None):
        start += piece
        if len(start) >= _HEAD:
            break
    if b"\0" in start[:_HEAD]:
        raise HistoryError(f"{path}: holds binary data, no table", "pass CSV (.csv, .gz, .zip), feather or tape files")
    return start[:_HEAD].decode(errors="replace").splitlines()


def blocks(path: Path, progress: Progress = lambda _share: None) -> Iterator[bytes]:
    """The unpacked file in blocks that end with a line's end (a missing last one is added).

    Raises
    ------
    HistoryError
        The packed data is cut short or broken, before or after some blocks were given.
    """
    rest = b""
    for piece in _unpacked(path, progress):
        rest += piece
        if len(rest) >= BLOCK:
            cut = rest.rfind(b"\n") + 1
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
    if rest:
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def _unpacked(path: Path, progress: Progress) -> Iterator[bytes]:
    kind = container(path)
    try:
        if kind == "zip":
            yield from _zip_pieces(path, progress)
        else:
            with path.open("rb") as file:
                yield from (_gzip_pieces if kind == "gzip" else _pieces)(path, file, progress)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise HistoryError(f"{path}: the packed data is cut short or broken ({error})", _FIX_COPY) from error


def _pieces(path: Path, file: BinaryIO, progress: Progress) -> Iterator[bytes]:
    total = max(path.stat().st_size, 1)
    while piece := file.read(BLOCK):
        progress(file.tell() / total)
        yield piece


def _gzip_pieces(path: Path, file: BinaryIO, progress: Progress) -> Iterator[bytes]:
    """All members of a gzip file; one without its end mark is cut short."""
    total, unzip = max(path.stat().st_size, 1), zlib.decompressobj(31)
    while data := file.read(1 << 20):
        progress(file.tell() / total)
        while data:
            if unzip.eof:
                unzip = zlib.decompressobj(31)
            yield unzip.decompress(data)
            data = unzip.unused_data.lstrip(b"\0") if unzip.eof else b""
    if not unzip.eof:
        raise EOFError("no end mark")


def _zip_pieces(path: Path, progress: Progress) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            names = ", ".join(member.filename for member in members[:3]) or "none"
            raise HistoryError(f"{path}: expected one file inside, found {len(members)} ({names})", "unpack it first")
        with archive.open(members[0]) as file:
            done, total = 0, max(members[0].file_size, 1)
            while piece := file.read(BLOCK):
                done += len(piece)
                progress(done / total)
                yield piece
