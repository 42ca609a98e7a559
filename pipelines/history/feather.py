"""Feather files in freqtrade's layout: ``date, open, high, low, close, volume``; funding rates stand in ``open``."""

from pathlib import Path
from typing import Final

import polars as pl

from pipelines.history.layouts import FIX_FORMAT
from pipelines.history.names import Names, freqtrade_type
from pipelines.history.schema import HistoryError
from pipelines.history.tables import LINE, Collector, Reading, shaped

_COLUMNS: Final = ("date", "open", "high", "low", "close", "volume")


def read_feather(path: Path, names: Names) -> Reading:
    """Klines, or funding rates where only ``open`` is ever other than zero.

    Raises
    ------
    HistoryError
        The file is broken, of another layout, or holds candles of the mark price, which nobody traded at.
    """
    rows = _table(path)
    if freqtrade_type(path.name) == "mark":
        raise HistoryError(f"{path}: candles of the mark price are no trades", "pass the -futures file of the symbol")
    funding = rows.height > 0 and rows.select(pl.sum_horizontal(pl.col(*_COLUMNS[2:]).abs().sum()) == 0).item()
    time = {"ts_event": pl.col("date").dt.epoch("ns")}
    if funding:
        kind, columns = "funding", {**time, "funding_rate": pl.col("open"), "is_settled": pl.lit(True)}
    else:
        kind, columns = "klines", {**time, **{name: pl.col(name) for name in _COLUMNS[1:]}}
    collector = Collector(path, names)
    nothing = [pl.lit(None, pl.String).alias(name) for name in ("why", "detail")]
    if rows.height:
        collector.take(kind, rows.with_row_index(LINE, 1).select(*shaped(kind, columns), LINE, *nothing))
    return collector.reading("freqtrade feather")


def _table(path: Path) -> pl.DataFrame:
    try:
        rows = pl.read_ipc(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise HistoryError(
            f"{path}: broken feather file ({str(error)[:120]})", "write or fetch the file again"
        ) from error
    missing = [name for name in _COLUMNS if name not in rows.columns]
    if missing:
        raise HistoryError(f"{path}: looks like freqtrade feather but has no column {', '.join(missing)}", FIX_FORMAT)
    if not isinstance(rows.schema["date"], pl.Datetime):
        raise HistoryError(f"{path}: column date holds {rows.schema['date']}, not times", FIX_FORMAT)
    return rows.select("date", pl.col(*_COLUMNS[1:]).cast(pl.Float64, strict=False))
