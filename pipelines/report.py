"""The run report: one offline HTML file that leads with the verdict, then shows what people look for, as plots."""

import html
from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from pipelines.resources import replacing
from pipelines.run_observer import RunObserver

Floats = npt.NDArray[np.float64]
PROVES_NOTHING = (
    "A few minutes of data prove nothing about profit: this run shows that the machinery works and can be replayed, "
    "not that it earns money."
)
_CSS = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1060px;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{margin-bottom:.2rem}h2{margin-top:2.2rem;border-bottom:1px solid #d8dee4}
.verdict{background:#fff8e1;border-left:4px solid #e6a700;padding:.7rem 1rem;margin:1rem 0}
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.2rem .8rem;border-bottom:1px solid #eaeef2;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}.grid{display:grid;grid-template-columns:1fr
1fr;gap:1rem} figure{margin:0}figcaption{color:#57606a;font-size:13px}
"""


def drawdown(equity: Floats) -> Floats:
    """Fall from the running peak as a positive ratio, same shape as ``equity``.

    >>> drawdown(np.array([100.0, 110.0, 99.0])).round(2).tolist()
    [0.0, 0.0, 0.1]
    """
    peak = np.maximum.accumulate(equity)
    return (peak - equity) / peak


def equity_figure(observed: RunObserver) -> Figure:
    """Equity and drawdown over the run, in seconds since its start."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    if observed.equity:
        ts, equity = (np.array(column) for column in zip(*observed.equity, strict=True))
        seconds = (ts - ts[0]) / 1e9
        top.plot(seconds, equity, color="#0969da")
        below.fill_between(seconds, -100 * drawdown(equity), color="#cf222e", alpha=0.5)
    top.ticklabel_format(axis="y", useOffset=False)
    top.set_ylabel("equity, USDT")
    below.set_ylabel("drawdown, %")
    below.set_xlabel("seconds since start")
    return figure


def calibration_figure(proba: Floats, y: npt.NDArray[np.integer]) -> Figure:
    """How often what was forecast with probability p happened, over all three classes, in bins of 0.1."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="#8c959f", linestyle="--")
    p = proba.ravel()
    hit = (y[:, None] == np.arange(3)).ravel()
    bins = np.clip((p * 10).astype(int), 0, 9)
    for name, mask in (("all classes", np.ones(len(p), bool)), ("down and up", np.tile([True, False, True], len(y)))):
        points = [(p[mask & (bins == b)].mean(), hit[mask & (bins == b)].mean()) for b in np.unique(bins[mask])]
        if points:
            axis.plot(*zip(*points, strict=True), marker="o", label=name)
    axis.set_xlabel("forecast probability")
    axis.set_ylabel("observed frequency")
    axis.legend()
    return figure


def latency_figure(scored_ns: Sequence[int], order_ns: Sequence[int]) -> Figure:
    """Histogram of tick to score and tick to order on a logarithmic axis."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axis = figure.subplots()
    for name, values in (("tick to score", scored_ns), ("tick to order on the wire", order_ns)):
        if len(values):
            us = np.array(values) / 1e3
            axis.hist(us, bins=np.geomspace(max(us.min(), 1), us.max() + 1, 50).tolist(), alpha=0.6, label=name)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("µs")
    axis.legend()
    return figure


def bars_figure(values: Mapping[str, float], xlabel: str) -> Figure:
    """Horizontal bars, in the given order from the top."""
    figure = Figure(figsize=(5, max(1.5, 0.4 * len(values) + 1)), layout="constrained")
    axis = figure.subplots()
    axis.barh(list(values)[::-1], list(values.values())[::-1], color="#0969da")
    axis.set_xlabel(xlabel)
    return figure


def run_figures(observed: RunObserver) -> list[tuple[str, str, Figure]]:
    """What every run is looked at for: money, time, refusals."""
    latency = latency_figure([s.tick_to_score_ns for s in observed.scores], observed.tick_to_order_ns)
    return [
        ("Equity and drawdown", "Marked at the mid, fees included.", equity_figure(observed)),
        ("Latency", "From the tick's receipt.", latency),
        ("Denials by layer", "Refused by each risk layer.", bars_figure(observed.denials, "intents refused")),
    ]


def verdict(summary: Mapping[str, Any], observed: RunObserver) -> str:
    """The run in two sentences, bad news included."""
    trader, replay = summary["trader"], summary["replay"]
    fall = 100 * float(drawdown(np.array([e for _, e in observed.equity])).max()) if observed.equity else 0.0
    same = "not one differed" if replay["differing"] == 0 else f"{replay['differing']} DIFFERED"
    return (
        f"{trader['fills']} fills, {trader['net_pnl']:+.2f} USDT after {trader['fees']:.2f} USDT of fees, "
        f"largest fall {fall:.3f} %. {replay['decisions']:,} decisions were replayed and {same}."
    )


def write_report(
    path: Path, summary: Mapping[str, Any], figures: Sequence[tuple[str, str, Figure]], verdict: str
) -> None:
    """Write the report atomically. ``figures`` are (title, caption, figure)."""
    cells = "".join(
        f"<figure><h3>{html.escape(title)}</h3>{_image(figure)}<figcaption>{html.escape(caption)}</figcaption></figure>"
        for title, caption, figure in figures
    )
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>CryptoScalp run</title><style>{_CSS}</style>
<h1>CryptoScalp run</h1><p class="verdict">{html.escape(verdict)} {html.escape(PROVES_NOTHING)}</p>
<h2>What happened</h2><div class="grid">{cells}</div><h2>Figures</h2>{_table(summary)}</html>"""
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")


def _image(figure: Figure) -> str:
    buffer = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "cryptoscalp"}):
        figure.savefig(buffer, format="png", dpi=110)
    return f'<img alt="" src="data:image/png;base64,{b64encode(buffer.getvalue()).decode()}">'


def _table(summary: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td class=n>{html.escape(text)}</td></tr>" for name, text in flatten(summary)
    )
    return f"<table>{rows}</table>"


def flatten(summary: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested summary as (dotted name, text) rows.

    >>> flatten({"a": {"b": 1, "c": 0.5}, "d": [1, 2]})
    [('a.b', '1'), ('a.c', '0.5'), ('d', '1, 2')]
    """
    rows: list[tuple[str, str]] = []
    for key, value in summary.items():
        if isinstance(value, Mapping):
            rows += flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            rows.append((f"{prefix}{key}", ", ".join(str(v) for v in value)))
        else:
            rows.append((f"{prefix}{key}", f"{value:.6g}" if isinstance(value, float) else str(value)))
    return rows
