"""Which files hold which partitions, so that a partition can be made again from all of its sources and nothing else."""

import fcntl
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from pipelines.history.files import Progress, container
from pipelines.history.names import Names
from pipelines.history.partitions import FOLDER, Partition
from pipelines.history.read import read
from pipelines.history.schema import HistoryError, clock
from pipelines.history.tables import Key, Reading
from pipelines.resources import Workspace

FILE: Final = (FOLDER, "sources.json")


class Source(msgspec.Struct, frozen=True):
    """A file that was imported: what it looked like then, the names it was given, the days it holds by stream, and
    whether it is a tape that breaks off."""

    path: str
    size: int
    mtime_ns: int
    format: str
    names: Names
    kinds: tuple[str, ...]
    days: dict[str, list[str]]
    truncated: bool = False

    @property
    def partitions(self) -> list[Partition]:
        """Every partition the file has rows for."""
        streams = [(Key(*key.split("|")), days) for key, days in self.days.items()]
        return [Partition(key.kind, key.venue, key.symbol, day) for key, days in streams for day in days]


def load(workspace: Workspace) -> dict[str, Source]:
    """Sources by path; empty before the first import.

    Raises
    ------
    HistoryError
        The catalogue is broken.
    """
    path = workspace.path(*FILE)
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Source])
    except (OSError, msgspec.MsgspecError) as error:
        raise HistoryError(
            f"{path}: broken list of sources ({error})", "delete it and import the files again"
        ) from error


def add(workspace: Workspace, sources: Mapping[str, Source]) -> None:
    """Put ``sources`` into the catalogue; other entries stay, also when several imports run at once."""
    if not sources:
        return
    with _locked(workspace.path(FOLDER, ".sources.lock")):
        merged = load(workspace) | dict(sources)
        data = msgspec.json.format(msgspec.json.encode(dict(sorted(merged.items()))))
        workspace.write_bytes(data + b"\n", *FILE)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def describe(path: Path, names: Names, kinds: Collection[str], progress: Progress = lambda _share: None) -> Source:
    """Read ``path`` once and say what it holds; raises CryptoScalpError as ``read`` does."""
    container(path)
    absolute, stat = path.resolve(), path.stat()
    reading = _read_once(str(absolute), stat.st_size, stat.st_mtime_ns, names, tuple(kinds), progress)
    days = {
        "|".join(key): days_of(table) for key, table in reading.tables.items() if key.kind in kinds and table.height
    }
    return Source(
        path=str(absolute),
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        format=reading.format,
        names=names,
        kinds=tuple(kinds),
        days=dict(sorted(days.items())),
        truncated=reading.truncated,
    )


def days_of(table: pl.DataFrame) -> list[str]:
    """UTC days a table has rows for, sorted."""
    stamps = table.select(pl.from_epoch(clock(), time_unit="ns").dt.date().unique().sort().alias("day"))
    return [str(day) for day in stamps["day"]]


def reading_of(source: Source) -> Reading:
    """The source's rows; the last files read are remembered, since a file often holds many partitions.

    Raises
    ------
    HistoryError
        The file is gone.
    """
    try:
        stat = Path(source.path).stat()
    except OSError as error:
        fix = "bring it back, or delete its entry in history/sources.json; what was imported from it is kept"
        raise HistoryError(f"{source.path}: an imported file is gone ({error.strerror})", fix) from error
    return _read_once(source.path, stat.st_size, stat.st_mtime_ns, source.names, source.kinds, lambda _share: None)


class _Told:
    """A progress callback that is no part of the cache's key."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Told)

    def __hash__(self) -> int:
        return 0


def _read_once(
    path: str, size: int, mtime_ns: int, names: Names, kinds: tuple[str, ...], progress: Progress
) -> Reading:
    return _remembered(path, size, mtime_ns, names, kinds, _Told(progress))


@lru_cache(maxsize=2)
def _remembered(path: str, _size: int, _mtime_ns: int, names: Names, kinds: tuple[str, ...], told: _Told) -> Reading:
    return read(Path(path), names, kinds, told.progress)


def sources_of(workspace: Workspace, partition: Partition) -> list[Source]:
    """Sources that hold rows of the partition, in path order.

    Raises
    ------
    HistoryError
        None does.
    """
    stream = "|".join(Key(partition.kind, partition.venue, partition.symbol))
    found = [source for source in load(workspace).values() if partition.day in source.days.get(stream, ())]
    if not found:
        raise HistoryError(
            f"history_{partition.kind}: no imported file holds {partition.key}",
            "run `cryptoscalp history import PATH` on a file that does",
        )
    return sorted(found, key=lambda source: source.path)
