"""Pictures of data quality: reliability over time, anomaly scores by split."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from pipelines.plots import COLOURS, Floats, new_figure, thinned, time_axis, utc


def scores_over_time(table: pl.DataFrame) -> Figure:
    """Reliability of every source (columns ts_ns, source, symbol, score), one panel per symbol."""
    symbols = table["symbol"].unique().sort().to_list()
    figure, axes = new_figure(max(len(symbols), 1), height=1.7)
    for axis, symbol in zip(axes, symbols, strict=False):
        parts = table.filter(pl.col("symbol") == symbol).partition_by("source", as_dict=True)
        for i, ((source,), part) in enumerate(sorted(parts.items())):
            at = thinned(part.height)
            axis.plot(
                utc(part["ts_ns"].to_numpy()[at]),
                part["score"].to_numpy()[at],
                color=COLOURS[i % 6],
                lw=1,
                label=source,
            )
        axis.set_ylim(-0.02, 1.05)
        axis.set_ylabel(symbol)
        axis.legend(loc="lower right", fontsize=6, frameon=False)
        time_axis(axis)
    return figure


def score_histograms(scores: Mapping[str, Floats], limit: float) -> Figure:
    """Anomaly scores by split, as shares, and the limit."""
    figure, (axis,) = new_figure()
    edges = np.linspace(0.0, 1.0, 101)
    for colour, (name, values) in zip(COLOURS, scores.items(), strict=False):
        weights = np.full(len(values), 1.0 / max(len(values), 1))
        axis.hist(values, list(edges), weights=weights, histtype="step", color=colour, label=name)
    axis.axvline(limit, color=COLOURS[3], lw=1, ls="--", label="limit")
    axis.set_yscale("log")
    axis.set_xlabel("anomaly score")
    axis.set_ylabel("share of rows")
    axis.legend(fontsize=7, frameon=False)
    return figure
