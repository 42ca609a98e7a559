"""The kernel's rows beside the oracles' values: how far off is which feature at most."""

import functools
import importlib
from pathlib import Path

import numpy as np

TOLERANCE = 1e-8


@functools.cache
def every_oracle():
    """What all modules of this folder call ``ORACLES``; two for one output are an error."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        module = importlib.import_module(f"tests.features.oracles.{path.stem}")
        for key, oracle in getattr(module, "ORACLES", {}).items():
            assert key not in found, f"{path.name}: {key} has an oracle already"
            found[key] = oracle
    return found


def error(value, truth):
    """Absolute, and relative where the value exceeds 1; NaN and infinities count as infinitely wrong."""
    off = abs(value - truth) / max(1.0, abs(truth))
    return off if np.isfinite(off) else np.inf


def errors(history, features, columns, rows, index, picked):
    """Largest error of each feature by name, over the picked rows; ``columns`` is where each name stands in a row."""
    oracles, worst = every_oracle(), dict.fromkeys((feature.name for feature in features), 0.0)
    for row in sorted(picked):
        for feature in features:
            truth = oracles[feature.family, feature.output](history, feature, int(index[row]))
            worst[feature.name] = max(worst[feature.name], error(rows[row, columns[feature.name]], truth))
    return worst


def wrong(worst):
    """Features that are off by more than rounding, and by how much."""
    return {name: off for name, off in worst.items() if off >= TOLERANCE}
