"""What a reader returns: tables by kind, venue and symbol, and the rows that could not be read."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from pipelines.history.names import Names, require, venue_of_symbol
from pipelines.history.schema import REQUIRED, SCHEMAS, HistoryError, clock, complete

LINE: Final = "line"
REJECTED_SCHEMA: Final[dict[str, Any]] = {
    "ts_ns": pl.Int64,
    "source": pl.String,
    "line": pl.Int64,
    "reason": pl.String,
    "detail": pl.String,
}
DETAIL_CHARS: Final = 500


class Key(NamedTuple):
    """One stream of history."""

    kind: str
    venue: str
    symbol: str


class Reading(NamedTuple):
    """A file's rows by stream (columns of the schema and ``line``) and its unreadable rows (``REJECTED_SCHEMA``)."""

    format: str
    tables: Mapping[Key, pl.DataFrame]
    rejected: Mapping[Key, pl.DataFrame]
    truncated: bool = False


class Collector:
    """Gathers pieces of one file and files them by stream."""

    def __init__(self, path: Path, names: Names) -> None:
        self.path, self._names = path, names
        self._good: dict[Key, list[pl.DataFrame]] = {}
        self._bad: dict[Key, list[pl.DataFrame]] = {}

    def take(self, kind: str, rows: pl.DataFrame) -> None:
        """Rows with ``venue``, ``symbol``, the schema's columns, ``line``, ``why`` and ``detail``; in file order."""
        named = rows.with_columns(
            pl.col(LINE).cast(pl.Int64), self._venue().alias("venue"), self._symbol().alias("symbol")
        )
        judged = named.with_columns(reason=pl.coalesce("why", self._foreign(), *unusable(kind)))
        for (venue, symbol), part in judged.partition_by("venue", "symbol", as_dict=True).items():
            key = Key(kind, *self._checked(str(venue or ""), str(symbol or "")))
            self._good.setdefault(key, []).append(part.filter(pl.col("reason").is_null()).select(*SCHEMAS[kind], LINE))
            self._bad.setdefault(key, []).append(rejected_rows(part.filter(pl.col("reason").is_not_null()), self.path))

    def _venue(self) -> pl.Expr:
        return pl.lit(self._names.venue) if self._names.venue else pl.col("venue")

    def _symbol(self) -> pl.Expr:
        """Rows of another symbol than the file's are filed, as rejected, under the file's."""
        return pl.lit(self._names.symbol) if self._names.fixed else pl.col("symbol").fill_null(self._names.symbol)

    def _foreign(self) -> pl.Expr:
        foreign = pl.lit(self._names.fixed) & (pl.col("row_symbol") != self._names.symbol)
        return pl.when(foreign).then(pl.lit("other_symbol"))

    def _checked(self, venue: str, symbol: str) -> tuple[str, str]:
        names = require(Names(venue_of_symbol(venue, symbol), symbol), self.path)
        return names.venue, names.symbol

    def reading(self, layout: str, truncated: bool = False) -> Reading:
        """Everything taken.

        Raises
        ------
        HistoryError
            Not one row can be used.
        """
        tables = {key: pl.concat(parts) for key, parts in self._good.items()}
        rejected = {key: pl.concat(parts) for key, parts in self._bad.items()}
        if not any(table.height for table in tables.values()):
            raise HistoryError(*self._why_nothing(layout, list(rejected.values())))
        return Reading(
            layout, {key: with_interval(key, table, self.path) for key, table in tables.items()}, rejected, truncated
        )

    def _why_nothing(self, layout: str, rejected: list[pl.DataFrame]) -> tuple[str, str]:
        bad = pl.concat(rejected) if rejected else pl.DataFrame(schema=REJECTED_SCHEMA)
        if bad.is_empty():
            return f"{self.path}: {layout} without a single row", "pass a file that holds rows"
        first = bad.row(0, named=True)
        return (
            f"{self.path}:{first['line']}: none of {bad.height} rows can be used, the first because of "
            f"{first['reason']}: {first['detail'][:120]}",
            "compare the file with its source; pass --symbol and --venue only where they are right",
        )


def unusable(kind: str) -> Iterable[pl.Expr]:
    """Reasons of rows whose time or required values could not be read."""
    stamp = clock()
    yield pl.when(stamp.is_null() | (stamp <= 0)).then(pl.lit("unreadable_time"))
    for name in REQUIRED[kind]:
        yield pl.when(pl.col(name).is_null()).then(pl.lit(f"unreadable_{name}"))


def rejected_rows(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Rows with ``reason``, ``line`` and perhaps ``detail`` in the form of a rejected table; without a detail, the row
    itself as JSON, so that nothing is lost."""
    whole = pl.struct(pl.exclude("why", "detail", "reason", "row_symbol")).struct.json_encode()
    detail = pl.coalesce("detail", whole) if "detail" in rows.columns else whole
    return rows.select(
        clock().fill_null(0).alias("ts_ns"),
        pl.lit(str(path)).alias("source"),
        pl.col(LINE).cast(pl.Int64),
        "reason",
        detail.str.head(DETAIL_CHARS).alias("detail"),
    )


def shaped(
    kind: str, columns: Mapping[str, pl.Expr], venue: pl.Expr | None = None, symbol: pl.Expr | None = None
) -> list[pl.Expr]:
    """The columns that ``Collector.take`` wants, but ``line``, ``why`` and ``detail``."""
    names = {
        "venue": pl.lit(None) if venue is None else venue,
        "symbol": pl.lit(None) if symbol is None else symbol,
        "row_symbol": pl.lit(None) if symbol is None else symbol,
    }
    return [*complete(kind, dict(columns)), *(expr.cast(pl.String).alias(name) for name, expr in names.items())]


def with_interval(key: Key, table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Bars without a stated interval get the most common distance of their times.

    Raises
    ------
    HistoryError
        There is only one bar, so its interval cannot be told.
    """
    if key.kind != "klines" or not table["interval_ns"].has_nulls():
        return table
    steps = table["ts_event"].unique().sort().diff().drop_nulls()
    if steps.is_empty():
        raise HistoryError(f"{path}: one bar alone does not tell its interval", "pass a file with two bars or more")
    return table.with_columns(pl.col("interval_ns").fill_null(int(steps.mode().min())))  # type: ignore[arg-type]
