"""P14, features and labels: the pipeline's own path against a pandas script, and how both time and memory grow.

Both sides get one symbol's ticks as arrays and end with 25 features and NL50 labels a quote. Growth is measured in
child processes, one a size, that take a long session partition by partition as the pipeline does.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from benchmarks import _pandas_peer
from benchmarks._blocks import ROUNDS, in_turn, per_call, result
from benchmarks._machine import machine, peak_mb
from benchmarks._ticks import Ticks, generate
from features.kernel import warm_up
from features.schema import WARMUP_ROWS
from pipelines.feature_frames import feature_rows, feature_table
from pipelines.labels import nl_labels

TICKS = 200_000
PARTITION = 1_000_000
SIZES = (1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000)
LABEL_K, LATENCY_NS = 50, 10_000_000
TOLERANCE = 1e-8
LEAST_R2 = 0.99
CHECKED = 1_000


def tick_table(ticks: Ticks) -> pl.DataFrame:
    """The ticks as the pipeline stores them."""
    values = dict(zip("abcd", ticks.values.T, strict=True))
    return pl.DataFrame({"ts_event": ticks.ts, "ts_recv": ticks.ts, "kind": ticks.kinds, **values})


def ours(table: pl.DataFrame) -> tuple[pl.DataFrame, Any]:
    """Features and labels by the pipeline's functions."""
    features = feature_table(table)
    columns = (features[name].to_numpy() for name in ("ts_ns", "bid_px", "ask_px"))
    return features, nl_labels(*columns, k=LABEL_K, latency_ns=LATENCY_NS)[0]


def script(frame: pd.DataFrame) -> tuple[pd.DataFrame, Any]:
    """The same by pandas."""
    quotes = frame[frame["kind"] == 0]
    return _pandas_peer.features(frame), _pandas_peer.labels(quotes, LABEL_K, LATENCY_NS).to_numpy()


def check(table: pl.DataFrame, frame: pd.DataFrame) -> None:
    """Labels agree on every quote, features at 1,000 random ones; ours begin after the warm-up."""
    (features, labels), (expected, expected_labels) = ours(table), script(frame)
    at = np.random.default_rng(5).choice(len(labels), CHECKED, replace=False)
    found, truth = feature_rows(features)[at], expected.to_numpy()[WARMUP_ROWS:][at]
    off = float(np.max(np.abs(found - truth) / np.maximum(1.0, np.abs(truth))))
    if off > TOLERANCE or not np.array_equal(labels, expected_labels[WARMUP_ROWS:]):
        raise SystemExit(f"pandas gives other features (by {off:g}) or labels: nothing was timed")


def path_result(count: int) -> dict[str, Any]:
    """CPU time a tick of both sides on the same ``count`` ticks, in turn."""
    ticks = generate(count)
    table = tick_table(ticks)
    frame = pd.DataFrame({"kind": ticks.kinds, "ts": ticks.ts, **dict(zip("abcd", ticks.values.T, strict=True))})
    check(table, frame)
    times = per_call(in_turn(lambda _: ours(table), lambda _: script(frame), ROUNDS), count)
    what = (
        f"{count:,} ticks in memory to 25 features and NL50 labels a quote, CPU time a tick (1,000 ns: 1 s a million)"
    )
    return result("P14", what, "pandas script, whole columns", 10.0, "ns CPU", times)


def child(count: int) -> None:
    """Take ``count`` ticks partition by partition; print seconds of CPU without the generator, and peak MB."""
    warm_up()
    spent = 0.0
    for number in range(count // PARTITION):
        table = tick_table(generate(PARTITION, seed=number))
        begin = time.process_time()
        ours(table)
        spent += time.process_time() - begin
    print(json.dumps({"ticks": count, "cpu_s": spent, "peak_mb": peak_mb()}))


def growth_result(sizes: tuple[int, ...]) -> dict[str, Any]:
    """Whether CPU time grows by a straight line and memory not at all."""
    command = [sys.executable, "-m", "benchmarks.pipeline_features", "--child"]
    done = [subprocess.run([*command, str(n)], check=True, capture_output=True, text=True) for n in sizes]
    found = [json.loads(one.stdout.splitlines()[-1]) for one in done]
    n, spent, peak = (np.array([one[key] for one in found], float) for key in ("ticks", "cpu_s", "peak_mb"))
    r2 = float(np.corrcoef(n, spent)[0, 1] ** 2) if len(sizes) > 2 else None
    slope = float(np.polyfit(n, spent, 1)[0]) * 1e6 if len(sizes) > 1 else float(spent[0] / n[0]) * 1e6
    shown = ", ".join(f"{a / 1e6:.0f} M {b:.2f} s {c:.0f} MB" for a, b, c in zip(n, spent, peak, strict=True))
    met = None if r2 is None else bool(r2 >= LEAST_R2 and peak.max() < 1.2 * peak.min())
    return {
        "id": "P14",
        "what": f"growth, partitions of 1 M ticks, child processes: {shown}; {slope:.3f} s a million",
        "ours": r2,
        "peer": None,
        "peer_name": None,
        "unit": "r2 of CPU seconds on ticks",
        "ratio": None,
        "goal": LEAST_R2,
        "correct": True,
        "met": met,
        "growth": found,
    }


def main() -> None:
    """Print the report, as one JSON object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--ticks", type=int, default=SIZES[-1], help="the longest session, in ticks")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    warm_up()
    sizes = tuple(size for size in SIZES if size <= options.ticks) or (PARTITION,)
    report = {
        "benchmark": "pipeline_features",
        "machine": machine(),
        "results": [path_result(TICKS), growth_result(sizes)],
    }
    print(json.dumps(report) if options.json else json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
