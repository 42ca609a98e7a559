"""Evidently's drift report: the train window against the latest one, features and predictions, by PSI.

PSI above 0.2 calls a column drifted (the usual rule of thumb of credit scoring). Ticks are autocorrelated and a few
minutes are one regime, so columns drift on healthy data: the report informs and is attached, it refuses no model.
"""

import os
import warnings
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd

from pipelines.resources import replacing

PSI_DRIFTED: Final = 0.2
DRIFT_SHARE: Final = 0.3
MOST_ROWS: Final = 5_000


class Drift(msgspec.Struct, frozen=True):
    """Share of columns drifted, and PSI by column."""

    share: float
    psi: dict[str, float]

    @property
    def drifted(self) -> list[str]:
        """Columns above the threshold, worst first."""
        found = [name for name, psi in self.psi.items() if psi >= PSI_DRIFTED]
        return sorted(found, key=lambda name: -self.psi[name])


def measure_drift(reference: pd.DataFrame, current: pd.DataFrame) -> tuple[Drift, Any]:
    """The figures, and Evidently's own report (for :func:`save_report`). Both frames have the same numeric columns."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        # deprecations inside Evidently and what it imports are nobody's business here
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        columns = DataDefinition(numerical_columns=list(reference.columns))
        preset = DataDriftPreset(num_method="psi", num_threshold=PSI_DRIFTED, drift_share=DRIFT_SHARE)
        sides = [Dataset.from_pandas(thin(frame), data_definition=columns) for frame in (current, reference)]
        report = Report([preset]).run(*sides)
    return _figures(report.dict()), report


def thin(frame: pd.DataFrame, most: int = MOST_ROWS) -> pd.DataFrame:
    """At most ``most`` rows, evenly spread: neighbouring ticks repeat each other."""
    if len(frame) <= most:
        return frame
    return frame.iloc[np.arange(most) * len(frame) // most]


def _figures(report: dict[str, Any]) -> Drift:
    psi, share = {}, float("nan")
    for metric in report["metrics"]:
        kind = metric["config"]["type"].rsplit(":", 1)[-1]
        if kind == "ValueDrift":
            psi[metric["config"]["column"]] = float(metric["value"])
        elif kind == "DriftedColumnsCount":
            share = float(metric["value"]["share"])
    return Drift(share, psi)


def save_report(report: Any, html: Path, json: Path) -> None:
    """Write Evidently's page (it needs no network) and its figures, each atomically."""
    with replacing(html) as part:
        report.save_html(str(part))
    with replacing(json) as part:
        report.save_json(str(part))
