"""Small pictures for the asset pages: PNG inside Markdown, so they travel with the event log, no server needed."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

COLOURS: Final = ("#2f6db5", "#d9822b", "#3a9a5b", "#b5484b", "#7b5ea7", "#6b7280")
CLASS_COLOURS: Final = ("#b5484b", "#9aa3ad", "#3a9a5b")
MOST_POINTS: Final = 1_500
_RC: Final = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 8,
}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def new_figure(
    rows: int = 1, columns: int = 1, *, height: float = 2.2, width: float = 7.0
) -> tuple[Figure, list[Axes]]:
    """A figure in the project's style with its axes in reading order."""
    import matplotlib as mpl

    with mpl.rc_context(_RC):
        figure = Figure(figsize=(width, height * rows), layout="constrained", dpi=90)
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def markdown(figure: Figure, title: str) -> str:
    """Markdown image with the PNG inside; hand it to ``MetadataValue.md``."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(png(figure)).decode()})"


def utc(ts_ns: npt.ArrayLike) -> npt.NDArray[np.datetime64]:
    """Nanoseconds as numpy datetimes, which matplotlib understands."""
    return np.asarray(ts_ns, np.int64).astype("datetime64[ns]")


def time_axis(axis: Axes) -> None:
    """Few, short dates along the bottom."""
    locator = AutoDateLocator(minticks=3, maxticks=7)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def thinned(n: int, most: int = MOST_POINTS) -> npt.NDArray[np.int64]:
    """At most ``most`` indices spread evenly over ``range(n)``, the last one included."""
    return np.unique(np.linspace(0, max(n - 1, 0), min(n, most)).astype(np.int64))


def tick_rate_and_mid(series: Mapping[str, tuple[Ints, Ints, Floats]]) -> Figure:
    """Ticks per second, and the mid in basis points from its start: per symbol (all ts_ns, quote ts_ns, mid_px)."""
    figure, (rate, mid) = new_figure(2, height=1.8)
    for colour, (symbol, (ts_ns, quote_ns, mid_px)) in zip(_cycle(len(series)), series.items(), strict=True):
        counts, edges = np.histogram(ts_ns / 1e9, bins=120)
        rate.plot(utc(edges[:-1] * 1e9), counts / max(edges[1] - edges[0], 1e-9), color=colour, lw=0.9, label=symbol)
        if len(mid_px):
            at = thinned(len(mid_px))
            mid.plot(utc(quote_ns[at]), 1e4 * (mid_px[at] / mid_px[0] - 1), color=colour, lw=0.9, label=symbol)
    rate.set_ylabel("ticks per second")
    mid.set_ylabel("mid, bps from start")
    rate.legend(loc="upper right", fontsize=7, frameon=False)
    for axis in (rate, mid):
        time_axis(axis)
    return figure


def _cycle(n: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(n)]


def counts_by_name(counts: Mapping[str, int], xlabel: str) -> Figure:
    """Horizontal bars of named counts, largest on top; says so when there is nothing to show."""
    shown = sorted(counts.items(), key=lambda item: item[1])
    figure, (axis,) = new_figure(height=0.6 + 0.28 * max(len(shown), 1))
    if not shown:
        axis.text(0.5, 0.5, "none", ha="center", va="center", transform=axis.transAxes)
        axis.set_axis_off()
        return figure
    bars = axis.barh([name for name, _ in shown], [count for _, count in shown], color=COLOURS[0])
    axis.bar_label(bars, padding=3)
    axis.set_xlabel(xlabel)
    return figure


def feature_histograms(rows: Floats, names: Sequence[str]) -> Figure:
    """One small histogram per feature between its 0.5 and 99.5 percentiles."""
    columns = 5
    figure, axes = new_figure(-(-len(names) // columns), columns, height=1.15, width=8.0)
    for axis, name, values in zip(axes, names, rows.T, strict=False):
        low, high = np.percentile(values, [0.5, 99.5])
        spread = (low, high) if high > low else (low - 1, high + 1)
        axis.hist(values, bins=40, range=spread, color=COLOURS[0])
        axis.set_title(name, fontsize=6)
        axis.tick_params(labelsize=5)
        axis.set_yticks([])
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    return figure


def correlation_heatmap(rows: Floats, names: Sequence[str]) -> Figure:
    """Pearson correlation of every pair of columns; constant columns show as zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = np.nan_to_num(np.corrcoef(rows.T))
    figure, (axis,) = new_figure(height=5.2, width=6.2)
    image = axis.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    axis.grid(False)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=5)
    axis.set_yticks(range(len(names)), names, fontsize=5)
    figure.colorbar(image, ax=axis, shrink=0.7)
    return figure


def class_balance(series: Mapping[str, tuple[Ints, npt.NDArray[np.int8]]], bins: int = 60) -> Figure:
    """Share of down, flat and up over time, one panel per symbol: (ts_ns, label); unknown labels are left out."""
    figure, axes = new_figure(max(len(series), 1), height=1.7)
    for axis, (symbol, (ts_ns, label)) in zip(axes, series.items(), strict=True):
        known = label >= 0
        if known.any():
            _stack(axis, ts_ns[known], label[known], bins)
        axis.set_ylabel(symbol)
        time_axis(axis)
    axes[0].legend(loc="upper right", fontsize=7, ncols=3, frameon=True)
    return figure


def _stack(axis: Axes, ts_ns: Ints, label: npt.NDArray[np.int8], bins: int) -> None:
    edges = np.linspace(ts_ns[0], ts_ns[-1] + 1, bins + 1)
    counts = np.stack([np.histogram(ts_ns[label == c], edges)[0] for c in range(3)]).astype(np.float64)
    total = counts.sum(axis=0)
    filled = total > 0
    shares = counts[:, filled] / total[filled]
    axis.stackplot(utc(edges[:-1][filled]), shares, colors=CLASS_COLOURS, labels=("down", "flat", "up"), alpha=0.85)
    axis.set_ylim(0, 1)
