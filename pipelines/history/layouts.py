"""What a CSV can look like, and which layout a file has: told by its header, or by the look of its first row."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from pipelines.history.cells import cell_class
from pipelines.history.schema import HistoryError

INT, NUM, TEXT = pl.Int64, pl.Float64, pl.String
FIX_FORMAT: Final = (
    "pass Binance Vision, Tardis, recorder, kline, funding or open-interest files as their source wrote them"
)


class Table(NamedTuple):
    """Rows of one kind inside a layout: target column to expression over the layout's columns; ``where`` picks rows."""

    kind: str
    columns: Mapping[str, pl.Expr]
    where: pl.Expr | None = None


class Layout(NamedTuple):
    """A CSV format.

    Attributes
    ----------
    columns
        Header names that must be there, with the type their cells have; others in the file are ignored.
    cells
        Pattern over the letters of ``cells.cell_class`` that the first row of a file without header matches; the
        layout's columns then stand first, in their order. Empty: this format always has a header.
    venue, symbol
        Expressions where the rows themselves say it.
    market
        Venue that alone writes this format, where that is so.
    header_market
        Venue that alone writes this format with a header.
    """

    name: str
    columns: Mapping[str, Any]
    tables: tuple[Table, ...]
    cells: str = ""
    venue: pl.Expr | None = None
    symbol: pl.Expr | None = None
    market: str = ""
    header_market: str = ""


class Recognised(NamedTuple):
    """A layout found in a file: its column names in file order, the number of lines before the first row, and the
    venue that the look of the file gives away ("" when several write it so)."""

    layout: Layout
    header: tuple[str, ...]
    skip: int
    market: str


def recognise(lines: Sequence[str], layouts: Sequence[Layout], path: object) -> Recognised:
    """Layout of a file from its first lines; lines that begin with ``#`` come before the header.

    Raises
    ------
    HistoryError
        No layout fits; the sentence names the nearest one and the columns that are missing.
    """
    skip = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if skip is None:
        raise HistoryError(f"{path}: no row before line {len(lines) + 1}", "pass a file that holds rows")
    first = tuple(cell.strip().strip('"').removeprefix("\ufeff") for cell in lines[skip].split(","))
    fitting = [layout for layout in layouts if set(layout.columns) <= set(first)]
    if fitting:
        layout = max(fitting, key=lambda layout: len(layout.columns))
        return Recognised(layout, first, skip + 1, layout.market or layout.header_market)
    looks = "".join(map(cell_class, first))
    for layout in layouts:
        if layout.cells and re.fullmatch(layout.cells, looks):
            # only spot files end with "was this the best price match"
            market = layout.market or ("binance" if looks.endswith("bb") else "")
            return Recognised(layout, _headless(layout, len(first)), skip, market)
    raise _unknown(first, skip + 1, layouts, path)


def _headless(layout: Layout, cells: int) -> tuple[str, ...]:
    names = tuple(layout.columns)[:cells]
    return names + tuple(f"_{i}" for i in range(len(names), cells))


def _unknown(first: tuple[str, ...], line: int, layouts: Sequence[Layout], path: object) -> HistoryError:
    nearest = max(layouts, key=lambda layout: len(set(layout.columns) & set(first)) / len(layout.columns))
    missing = [name for name in nearest.columns if name not in first]
    if len(missing) < len(nearest.columns):
        return HistoryError(
            f"{path}:{line}: looks like {nearest.name} but has no column {', '.join(missing)}", FIX_FORMAT
        )
    shown = ",".join(first)[:120]
    return HistoryError(f"{path}:{line}: no known format begins with '{shown}'", FIX_FORMAT)
