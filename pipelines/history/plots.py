"""One picture per partition: its main value over the day, with every gap shaded."""

from typing import Final

import polars as pl
from matplotlib.figure import Figure

from pipelines.history.schema import clock
from pipelines.plots import COLOURS, new_figure, thinned, utc

_SHOWN: Final = {
    "trades": ("price", pl.col("px")),
    "quotes": ("mid", (pl.col("bid_px") + pl.col("ask_px")) / 2),
    "klines": ("close", pl.col("close")),
    "funding": ("funding rate", pl.col("funding_rate")),
    "open_interest": ("open interest", pl.col("open_interest")),
    "depth": ("levels so far", pl.int_range(1, pl.len() + 1)),
    "depth_bands": ("notional in all bands", pl.col("notional").sum().over("ts_event")),
    "liquidations": ("price of forced orders", pl.col("px")),
}
MOST_GAPS: Final = 200


def day_picture(kind: str, rows: pl.DataFrame, gaps: pl.DataFrame) -> Figure:
    """The value of ``_SHOWN`` over time; the longest gaps (at most 200) in red."""
    label, value = _SHOWN[kind]
    figure, (axis,) = new_figure(height=2.0)
    points = rows.select(at=clock(), value=value)[thinned(rows.height)]
    axis.plot(utc(points["at"].to_numpy()), points["value"].to_numpy(), color=COLOURS[0], lw=0.9)
    longest = gaps.sort(pl.col("last_ns") - pl.col("first_ns"), descending=True).head(MOST_GAPS)
    for first_ns, last_ns in longest.select("first_ns", "last_ns").rows():
        axis.axvspan(*utc([first_ns, last_ns]), color=COLOURS[3], alpha=0.15, lw=0)
    axis.set_ylabel(label)
    axis.tick_params(labelsize=6)
    return figure
