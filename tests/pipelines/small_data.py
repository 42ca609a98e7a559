"""A small training set with something to learn."""

import numpy as np

from features.schema import COUNT, INDEX, SCHEMA_ID, WINDOW
from pipelines.dataset import Dataset, SymbolRows, build_dataset

LABEL_K = 5
STEP_NS = 20_000_000
START_NS = 1_600_000_000_000_000_000


def symbol_rows(symbol: str, n: int, seed: int, *, learnable: bool = True, start_ns: int = START_NS) -> SymbolRows:
    """Noise of many scales in schema order; the outcome follows imbalance now and flow over the last rows."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, COUNT)) * np.logspace(-2, 2, COUNT)
    rows[:, INDEX["imbalance"]] = rng.uniform(-1, 1, n)
    rows[:, INDEX["flow_100ms"]] = rng.uniform(-1, 1, n)
    past = np.convolve(rows[:, INDEX["flow_100ms"]], np.ones(8), "full")[:n]
    drive = 2 * rows[:, INDEX["imbalance"]] + past if learnable else np.zeros(n)
    label = np.digitize(drive + rng.logistic(size=n), [-1.5, 1.5]).astype(np.int8)
    ts_ns = start_ns + np.arange(n, dtype=np.int64) * STEP_NS
    return SymbolRows(symbol, rows.astype(np.float32), ts_ns, label, ts_ns + LABEL_K * STEP_NS)


def make_dataset(n: int = 2_400, seed: int = 0, *, learnable: bool = True, start_ns: int = START_NS) -> Dataset:
    """Two symbols, split and purged as the pipeline does it."""
    parts = [symbol_rows(name, n // 2, seed + i, learnable=learnable, start_ns=start_ns) for i, name in enumerate("AB")]
    return build_dataset(
        parts, schema_id=SCHEMA_ID, window=WINDOW, train_share=0.6, calibrate_share=0.15, max_samples=40_000
    )
