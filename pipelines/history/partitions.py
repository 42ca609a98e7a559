"""A partition, its three files, and their replacement: all are written aside first, the rows take their place last."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from pipelines.history.schema import KINDS, HistoryError
from pipelines.resources import Workspace, replacing

FOLDER: Final = "history"
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


class Partition(NamedTuple):
    """One kind of history of one symbol on one UTC day.

    >>> Partition.of("trades", "binanceusdm|BTCUSDT|2024-07-18").day_ns
    1721260800000000000
    """

    kind: str
    venue: str
    symbol: str
    day: str

    @classmethod
    def of(cls, kind: str, key: str) -> "Partition":
        """The partition that Dagster's key ``venue|symbol|day`` names.

        Raises
        ------
        HistoryError
            The key is none.
        """
        parts = key.split("|")
        if kind not in KINDS or len(parts) != 3 or not all(map(_SAFE.fullmatch, parts)) or not _DAY.fullmatch(parts[2]):
            raise HistoryError(f"history_{kind}: '{key}' names no partition", "use venue|symbol|YYYY-MM-DD")
        return cls(kind, *parts)

    @property
    def key(self) -> str:
        """``venue|symbol|day``."""
        return f"{self.venue}|{self.symbol}|{self.day}"

    @property
    def day_ns(self) -> int:
        """Start of the day, ns UTC."""
        return int(datetime.fromisoformat(self.day).replace(tzinfo=UTC).timestamp()) * 1_000_000_000

    def file(self, what: str = "") -> tuple[str, ...]:
        """Path under a workspace's home of the rows, or of ``gaps`` or ``rejected``."""
        suffix = f".{what}.parquet" if what else ".parquet"
        return FOLDER, self.kind, self.venue, self.symbol, f"{self.day}{suffix}"


def write(
    workspace: Workspace, partition: Partition, rows: pl.DataFrame, gaps: pl.DataFrame, rejected: pl.DataFrame
) -> str:
    """Replace the partition's files; returns the sha256 of the rows' file.

    All three are complete on disk before the first takes its place, and the two beside the rows name the rows they
    belong to, so a cut between the renames is seen by whoever reads them.

    Raises
    ------
    PipelineError
        The disk refuses; what stood there stays.
    """
    path, gaps_path, rejected_path = (workspace.path(*partition.file(what)) for what in ("", "gaps", "rejected"))
    with replacing(path) as part, replacing(gaps_path) as gaps_part, replacing(rejected_path) as rejected_part:
        rows.write_parquet(part, compression="zstd", compression_level=1)
        digest = _sha256(part)
        gaps.write_parquet(gaps_part, metadata={"rows_sha256": digest})
        rejected.write_parquet(rejected_part, metadata={"rows_sha256": digest})
    return digest


def read_rows(workspace: Workspace, partition: Partition) -> pl.DataFrame:
    """Rows of the partition with ``venue`` and ``symbol``; raises PipelineError when there are none."""
    rows = workspace.read_table(*partition.file())
    names = [pl.lit(partition.venue).alias("venue"), pl.lit(partition.symbol).alias("symbol")]
    return rows.select(*names, pl.all())


def read_beside(workspace: Workspace, partition: Partition, what: str) -> pl.DataFrame:
    """The ``gaps`` or ``rejected`` table that belongs to the partition's rows.

    Raises
    ------
    PipelineError
        It is absent, or belongs to rows that were being replaced when the process died.
    """
    parts = partition.file(what)
    if workspace.table_metadata(*parts).get("rows_sha256") != _sha256(workspace.path(*partition.file())):
        raise HistoryError(f"{workspace.path(*parts)}: belongs to other rows", "import the partition's files again")
    return workspace.read_table(*parts)


def present(workspace: Workspace) -> list[Partition]:
    """Partitions whose rows are there, sorted."""
    found = []
    for path in workspace.path(FOLDER).glob("*/*/*/*.parquet"):
        kind, venue, symbol = path.parts[-4:-1]
        if kind in KINDS and _DAY.fullmatch(path.stem):
            found.append(Partition(kind, venue, symbol, path.stem))
    return sorted(found)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
