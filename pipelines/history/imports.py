"""Files to partitions in one go: find, read, register, then build and judge every partition they touch."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from market.errors import CryptoScalpError
from pipelines.history import catalogue
from pipelines.history.build import Built, build
from pipelines.history.catalogue import Source
from pipelines.history.names import Names
from pipelines.history.partitions import Partition
from pipelines.history.quality import verdict_of
from pipelines.history.schema import KINDS, HistoryError
from pipelines.resources import Workspace

# what, share done of it
Told = Callable[[str, float], None]
_PASSED_OVER: Final = {".part", ".md", ".txt", ".checksum", ".json", ".parquet", ".py"}


class Outcome(msgspec.Struct, frozen=True):
    """One partition as it was imported, in numbers."""

    kind: str
    venue: str
    symbol: str
    day: str
    rows: int
    rejected: int
    repeated: int
    unsorted: int
    gaps: int
    missing: int
    rejected_by_reason: dict[str, int]
    problems: list[str]
    sha256: str


class Skipped(NamedTuple):
    """A file of a folder that could not be used, and why."""

    path: str
    reason: str


class Imported(NamedTuple):
    """Sources that were read, partitions that were written, files that were left out."""

    sources: list[Source]
    partitions: list[Outcome]
    skipped: list[Skipped]


def import_paths(
    workspace: Workspace,
    paths: Sequence[Path],
    given: Names | None = None,
    kinds: Collection[str] = KINDS,
    told: Told = lambda _what, _share: None,
) -> Imported:
    """Import files, and folders with all that is below them.

    A file named here must be readable; a file found in a folder is left out, with the reason, when it is not. Nothing
    is written before every file was read.

    Raises
    ------
    CryptoScalpError
        A named file cannot be read, a folder holds nothing that can, or a partition cannot be built or written.
    """
    sources, skipped = _described(paths, given or Names(), kinds, told)
    if not sources:
        first = f" ({skipped[0].reason})" if skipped else ""
        raise HistoryError(
            f"{', '.join(map(str, paths))}: nothing to import{first}", "pass archive, tape, kline or funding files"
        )
    catalogue.add(workspace, {source.path: source for source in sources})
    wanted = _in_reading_order(sources)
    outcomes = []
    for i, partition in enumerate(wanted):
        built = build(workspace, partition)
        outcomes.append(outcome(built, verdict_of(built, workspace.settings.max_rejected_share)))
        told("partitions", (i + 1) / len(wanted))
    return Imported(sources, outcomes, skipped)


def _described(
    paths: Sequence[Path], given: Names, kinds: Collection[str], told: Told
) -> tuple[list[Source], list[Skipped]]:
    sources, skipped = [], []
    for path, named in _files(paths):
        try:
            source = catalogue.describe(path, given, kinds, partial(told, path.name))
        except CryptoScalpError as error:
            if named:
                raise
            skipped.append(Skipped(str(path), error.message))
        else:
            sources.append(source) if source.days else skipped.append(Skipped(str(path), "holds no row of these kinds"))
        told(path.name, 1.0)
    return sources, skipped


def _files(paths: Iterable[Path]) -> Iterable[tuple[Path, bool]]:
    """Every file, and whether it was named itself."""
    for path in paths:
        if path.is_dir():
            for child in sorted(path.rglob("*")):
                if child.is_file() and not child.name.startswith(".") and child.suffix.lower() not in _PASSED_OVER:
                    yield child, False
        else:
            yield path, True


def _in_reading_order(sources: Sequence[Source]) -> list[Partition]:
    """Each partition once, those of one file together, so that no file is read again and again."""
    return list(dict.fromkeys(partition for source in sources for partition in source.partitions))


def outcome(built: Built, problems: list[str]) -> Outcome:
    """The numbers of a partition that was built."""
    return Outcome(
        *built.partition,
        rows=built.rows.height,
        rejected=built.rejected.height,
        repeated=built.repeated,
        unsorted=built.unsorted,
        gaps=built.gaps.height,
        missing=int(built.gaps["missing"].sum()),
        rejected_by_reason=built.rejected_by_reason,
        problems=problems,
        sha256=built.sha256,
    )
