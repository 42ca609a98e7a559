"""A partition from its sources: join, judge, find gaps, replace. The assets and the command line both come here."""

from collections import Counter
from typing import NamedTuple

import polars as pl

from pipelines.history import catalogue, partitions
from pipelines.history.gaps import find_gaps
from pipelines.history.partitions import Partition
from pipelines.history.rules import SOURCE, drop_bookkeeping, judge
from pipelines.history.schema import DAY_NS, SCHEMAS, HistoryError, clock
from pipelines.history.tables import LINE, REJECTED_SCHEMA, Key
from pipelines.resources import Workspace


class Built(NamedTuple):
    """A partition as it was written, and what happened on the way."""

    partition: Partition
    rows: pl.DataFrame
    gaps: pl.DataFrame
    rejected: pl.DataFrame
    repeated: int
    unsorted: int
    sources: tuple[str, ...]
    sha256: str

    @property
    def rejected_by_reason(self) -> dict[str, int]:
        """Rejected rows by reason."""
        return dict(Counter(self.rejected["reason"].to_list()))


def build(workspace: Workspace, partition: Partition) -> Built:
    """Make the partition from every imported file that holds some of it, and replace it.

    The same sources give the same bytes. Whatever fails, what stood there before stays.

    Raises
    ------
    CryptoScalpError
        No source holds it, a source cannot be read any more, not one row is usable, or the disk refuses.
    """
    sources = catalogue.sources_of(workspace, partition)
    taken = [_of_day(source, partition) for source in sources]
    judged = judge(partition.kind, pl.concat([rows for rows, _ in taken]))
    if judged.rows.is_empty():
        reason = judged.rejected["reason"][0] if judged.rejected.height else "no row"
        raise HistoryError(
            f"history_{partition.kind}: no usable row of {partition.key} in {sources[0].path} ({reason})",
            "compare the file with its source and import it again",
        )
    every = pl.concat([judged.rows, judged.rejected.drop("reason")])
    gaps = find_gaps(partition.kind, every, partition.day_ns)
    rejected = pl.concat([*(bad for _, bad in taken), _rejected(judged.rejected)]).sort("source", "line")
    rows = drop_bookkeeping(judged.rows, partition.kind)
    digest = partitions.write(workspace, partition, rows, gaps, rejected)
    paths = tuple(source.path for source in sources)
    return Built(partition, rows, gaps, rejected, judged.repeated, judged.unsorted, paths, digest)


def _of_day(source: catalogue.Source, partition: Partition) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of one source that fall into the partition, and its unreadable ones: those without a time go with the
    stream's first day there."""
    key = Key(partition.kind, partition.venue, partition.symbol)
    reading = catalogue.reading_of(source)
    empty = pl.DataFrame(schema={**SCHEMAS[key.kind], LINE: pl.Int64})
    inside = clock().is_between(partition.day_ns, partition.day_ns + DAY_NS, closed="left")
    rows = reading.tables.get(key, empty).filter(inside).with_columns(pl.lit(source.path).alias(SOURCE))
    bad = reading.rejected.get(key, pl.DataFrame(schema=REJECTED_SCHEMA))
    days = source.days["|".join(key)]
    known = {day for day in days if day == partition.day}
    at_home = pl.from_epoch("ts_ns", time_unit="ns").dt.date().cast(pl.String).is_in(days)
    here = pl.col("ts_ns").is_between(partition.day_ns, partition.day_ns + DAY_NS, closed="left")
    lost = ~at_home if known and days[0] == partition.day else pl.lit(False)
    return rows, bad.filter(here | lost)


def _rejected(rows: pl.DataFrame) -> pl.DataFrame:
    detail = pl.struct(pl.exclude(SOURCE, LINE, "reason")).struct.json_encode()
    return rows.select(clock().alias("ts_ns"), SOURCE, LINE, "reason", detail.alias("detail"))
