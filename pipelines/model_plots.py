"""Pictures of models for the asset pages, in the style of ``pipelines.plots``."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from pipelines.drift import PSI_DRIFTED, Drift
from pipelines.evaluate import Labels, directional, reliability
from pipelines.plots import CLASS_COLOURS, COLOURS, new_figure
from trader.bundle import CLASSES, Metrics

Proba = npt.NDArray[np.floating]


def reliability_diagram(proba: Proba, y: Labels) -> Figure:
    """Probability said against share observed, one curve per class, and how often each probability was said."""
    figure, (curve, use) = new_figure(1, 2, height=3.0)
    curve.plot([0, 1], [0, 1], color="#6b7280", lw=0.8, ls="--")
    for klass, (name, colour) in enumerate(zip(CLASSES, CLASS_COLOURS, strict=True)):
        found = reliability(proba, y, klass)
        curve.plot(found.said, found.seen, marker="o", ms=3, lw=1, color=colour, label=name)
        use.hist(proba[:, klass], bins=30, range=(0, 1), histtype="step", color=colour, label=name)
    curve.set_xlabel("probability said")
    curve.set_ylabel("share observed")
    curve.legend(fontsize=7, frameon=False)
    use.set_xlabel("probability said")
    use.set_ylabel("samples")
    use.set_yscale("log")
    return figure


def coverage_curve(proba: Proba, y: Labels) -> Figure:
    """Directional accuracy (flats are errors) and coverage by threshold: each is worthless without the other."""
    figure, (accuracy,) = new_figure(height=2.6)
    thresholds = np.linspace(0.34, 0.95, 40)
    found = [directional(proba, y, float(t)) for t in thresholds]
    hit = [np.nan if a is None else a for a, _ in found]
    coverage = accuracy.twinx()
    accuracy.plot(thresholds, hit, color=COLOURS[0], label="accuracy")
    coverage.plot(thresholds, [max(c, 1e-5) for _, c in found], color=COLOURS[1], label="coverage")
    accuracy.set_xlabel("p(down) or p(up) above")
    accuracy.set_ylabel("accuracy, flats are errors", color=COLOURS[0])
    coverage.set_ylabel("share of samples", color=COLOURS[1])
    coverage.set_yscale("log")
    return figure


def confusion(proba: Proba, y: Labels) -> Figure:
    """Most probable class against outcome, as shares of each outcome."""
    table = np.zeros((3, 3))
    np.add.at(table, (y, proba.argmax(axis=1)), 1)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure, (axis,) = new_figure(height=2.6, width=3.4)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.grid(False)
    for row, column in np.ndindex(3, 3):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axis.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", color=colour)
    axis.set_xticks(range(3), CLASSES)
    axis.set_yticks(range(3), CLASSES)
    axis.set_xlabel("said")
    axis.set_ylabel("happened")
    return figure


def member_weights(weights: Mapping[str, float]) -> Figure:
    """Share of each member in the blend."""
    figure, (axis,) = new_figure(height=1.8)
    bars = axis.barh(list(weights), list(weights.values()), color=COLOURS[0])
    axis.bar_label(bars, fmt="%.2f", padding=3)
    axis.set_xlim(0, 1.1)
    axis.invert_yaxis()
    axis.set_xlabel("weight")
    return figure


def losses_by_model(metrics: Metrics) -> Figure:
    """Log loss on the test window: both priors, the members, the blend."""
    shown = {
        "train prior": metrics.baseline_logloss,
        "recent prior": metrics.recent_prior_logloss,
        **metrics.members,
        "blend": metrics.logloss,
    }
    figure, (axis,) = new_figure(height=2.2)
    colours = [COLOURS[5]] * 2 + [COLOURS[0]] * len(metrics.members) + [COLOURS[2]]
    bars = axis.barh(list(shown), list(shown.values()), color=colours)
    axis.bar_label(bars, fmt="%.4f", padding=3)
    axis.set_xlim(0, 1.15 * max(shown.values()))
    axis.invert_yaxis()
    axis.set_xlabel("log loss on the test window, nats")
    return figure


def psi_bars(drift: Drift) -> Figure:
    """PSI of every column, worst on top, beside the threshold."""
    shown = sorted(drift.psi.items(), key=lambda item: -item[1])
    figure, (axis,) = new_figure(height=0.8 + 0.17 * len(shown))
    colours = [COLOURS[3] if psi >= PSI_DRIFTED else COLOURS[0] for _, psi in shown]
    axis.barh([name for name, _ in shown], [psi for _, psi in shown], color=colours)
    axis.axvline(PSI_DRIFTED, color="#6b7280", ls="--", lw=0.8)
    axis.tick_params(axis="y", labelsize=6)
    axis.invert_yaxis()
    axis.set_xlabel("PSI, train window against the latest")
    return figure
