"""CSV of a known layout to tables: fast where all cells are right, line by line in a block where one is not."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from pipelines.history.files import Progress, blocks
from pipelines.history.layouts import Layout, Recognised
from pipelines.history.names import Names
from pipelines.history.tables import LINE, Collector, Reading, shaped

_EXTRA: Final = ("why", "detail")


def read_csv(path: Path, found: Recognised, names: Names, progress: Progress = lambda _share: None) -> Reading:
    """All rows of ``path``.

    Raises
    ------
    HistoryError
        The file breaks off, names no venue or symbol, or not one row can be used.
    """
    collector = Collector(path, names)
    for rows in _parsed(path, found, progress):
        for table in found.layout.tables:
            picked = rows if table.where is None else rows.filter(table.where | pl.col("why").is_not_null())
            if picked.height:
                columns = shaped(table.kind, table.columns, found.layout.venue, found.layout.symbol)
                collector.take(table.kind, picked.select(*columns, LINE, *_EXTRA))
    return collector.reading(found.layout.name)


def _parsed(path: Path, found: Recognised, progress: Progress) -> Iterator[pl.DataFrame]:
    """Blocks of typed rows with their line numbers."""
    line, skip = 1, found.skip
    for block in blocks(path, progress):
        while skip and block:
            _, _, block = block.partition(b"\n")
            line, skip = line + 1, skip - 1
        if block:
            yield parse_block(block, found, line)
            line += block.count(b"\n")


def parse_block(block: bytes, found: Recognised, first_line: int) -> pl.DataFrame:
    """The layout's columns, typed, with ``line``; ``why`` and ``detail`` are set on rows that could not be read."""
    names = unique_names(found)
    wanted = found.layout.columns
    schema = {name: wanted.get(name, pl.String) for name in names}
    at = [i for i, name in enumerate(names) if name in wanted]
    try:
        rows = pl.read_csv(io.BytesIO(block), has_header=False, schema=schema, columns=at, quote_char=None)
    except pl.exceptions.PolarsError:
        return _line_by_line(block, names, found.layout, first_line)
    nothing = [pl.lit(None, pl.String).alias(name) for name in _EXTRA]
    numbered = rows.with_row_index(LINE, first_line).with_columns(pl.col(LINE).cast(pl.Int64), *nothing)
    return numbered.filter(~pl.all_horizontal(pl.col(*wanted).is_null()))


def unique_names(found: Recognised) -> list[str]:
    """Column names of the file; a name that comes again is not used."""
    return [f"_{i}" if name in found.header[:i] else name for i, name in enumerate(found.header)]


def _line_by_line(block: bytes, names: list[str], layout: Layout, first_line: int) -> pl.DataFrame:
    """Rows with a wrong number of cells or a cell of the wrong type keep their text and get a reason."""
    lines = block.decode(errors="replace").splitlines()
    numbered = [(first_line + i, text, text.split(",")) for i, text in enumerate(lines) if text.strip()]
    width = len(names)
    cells = [[cell.strip().strip('"') for cell in row[:width]] + [""] * (width - len(row)) for _, _, row in numbered]
    raw = pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String), orient="row").select(*layout.columns)
    typed = [pl.col(name).cast(dtype, strict=False) for name, dtype in layout.columns.items()]
    bad = [
        pl.when((pl.col(name) != "") & pl.col(name).cast(dtype, strict=False).is_null()).then(
            pl.lit(f"unreadable_{name}")
        )
        for name, dtype in layout.columns.items()
    ]
    wrong = ["wrong_number_of_cells" if len(row) != width else None for _, _, row in numbered]
    reasons = pl.DataFrame({"wrong": pl.Series(wrong, dtype=pl.String)}).hstack(raw.select(why=pl.coalesce(*bad)))
    return (
        raw.select(*typed)
        .with_columns(pl.Series(LINE, [number for number, _, _ in numbered], pl.Int64))
        .hstack(reasons.select(why=pl.coalesce("wrong", "why")))
        .hstack([pl.Series("detail", [text for _, text, _ in numbered], pl.String)])
        .with_columns(detail=pl.when(pl.col("why").is_not_null()).then("detail"))
    )
