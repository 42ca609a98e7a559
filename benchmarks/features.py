"""P1, our side: all 25 features, one public call a tick, and the batch fold over the same events.

No peer is timed yet: ``peer`` is null and the ratio goals of P1 are neither met nor missed here. Correctness comes
first: batch rows must equal streamed rows bit for bit, or nothing is timed.
"""

import argparse
import json
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._machine import machine
from features.kernel import encode, fold, init_state, update, warm_up
from features.schema import COUNT
from market.events import Quote

Call = tuple[int, int, float, float, float, float]

EVENTS = 20_000
ROUNDS = 15
BLOCK = 100


def quotes(seed: int = 7) -> list[Call]:
    """A seeded walk of quotes on a tick grid, encoded as the kernel takes them; one in ten moves the price."""
    rng = np.random.default_rng(seed)
    ticks = 640_000 + np.cumsum(rng.choice([-1, 0, 1], EVENTS, p=[0.05, 0.9, 0.05]))
    sizes = rng.lognormal(0.0, 1.0, (EVENTS, 2)).tolist()
    stamps = (1_700_000_000_000_000_000 + np.cumsum(rng.exponential(1e7, EVENTS)).astype(np.int64)).tolist()
    return [
        encode(Quote("BTCUSDT", ts, ts, tick * 0.1, bid, (tick + 1) * 0.1, ask, i))
        for i, (ts, tick, (bid, ask)) in enumerate(zip(stamps, ticks.tolist(), sizes, strict=True))
    ]


def columns(calls: list[Call]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The same events as ``fold`` takes them."""
    kinds, ts = np.array([call[0] for call in calls], np.int8), np.array([call[1] for call in calls])
    return kinds, ts, np.array([call[2:] for call in calls])


def streamed(calls: list[Call]) -> npt.NDArray[np.float64]:
    """Rows by one public call per event."""
    state, out, rows = init_state(), np.empty(COUNT), []
    for call in calls:
        if update(state, *call, out):
            rows.append(out.copy())
    return np.array(rows)


def time_update(calls: list[Call]) -> npt.NDArray[np.float64]:
    """Mean ns per call of every block of ``BLOCK`` calls, over ``ROUNDS`` passes."""
    out, spent = np.empty(COUNT), []
    for _ in range(ROUNDS):
        state = init_state()
        for start in range(0, len(calls), BLOCK):
            begin = time.perf_counter_ns()
            for call in calls[start : start + BLOCK]:
                update(state, *call, out)
            spent.append((time.perf_counter_ns() - begin) / BLOCK)
    return np.array(spent)


def time_fold(calls: list[Call]) -> npt.NDArray[np.float64]:
    """Mean ns per event of each of ``ROUNDS`` folds."""
    stream, spent = columns(calls), []
    for _ in range(ROUNDS):
        begin = time.perf_counter_ns()
        fold(*stream)
        spent.append((time.perf_counter_ns() - begin) / len(calls))
    return np.array(spent)


def result(what: str, spent_ns: npt.NDArray[np.float64]) -> dict[str, Any]:
    """One P1 result without a peer."""
    shared = {"id": "P1", "peer": None, "peer_name": None, "unit": "ns", "ratio": None, "goal": None, "met": None}
    p50, p99 = (float(np.percentile(spent_ns, q)) for q in (50, 99))
    return shared | {"what": what, "ours": p50, "ours_p99": p99, "correct": True}


def measure() -> dict[str, Any]:
    """The report of this benchmark."""
    warm_up()
    calls = quotes()
    if fold(*columns(calls))[0].tobytes() != streamed(calls).tobytes():
        raise SystemExit("batch and streamed feature rows differ: nothing was timed")
    return {
        "benchmark": "features",
        "machine": machine(),
        "results": [
            result("25 features, one public call a tick (blocks of 100)", time_update(calls)),
            result("25 features, batch fold, per event", time_fold(calls)),
        ],
    }


def main() -> None:
    """Print the report, as one JSON object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    report = measure()
    if as_json:
        print(json.dumps(report))
        return
    for row in report["results"]:
        print(f"{row['what']}: p50 {row['ours']:,.0f} ns, p99 {row['ours_p99']:,.0f} ns")


if __name__ == "__main__":
    main()
