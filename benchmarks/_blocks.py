"""Two sides timed in turn, block by block: noise that lasts longer than a block meets both alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Side = Callable[[int], object]
"""Does block number so-and-so; both sides do the same work in it."""

WARM_UP = 300
BLOCK = 100
ROUNDS = 15


def in_turn(ours: Side, peer: Side, rounds: int, clock: Callable[[], int] = time.process_time_ns) -> list[list[int]]:
    """Nanoseconds (of CPU, unless told otherwise) of each side in each of ``rounds`` blocks."""
    spent: list[list[int]] = [[], []]
    for block in range(rounds):
        for times, side in zip(spent, (ours, peer), strict=True):
            begin = clock()
            side(block)
            times.append(clock() - begin)
    return spent


def per_call(spent: Sequence[Sequence[int]], calls: int) -> dict[str, Any]:
    """p50 and p99 of a call of both sides, and the median of the ratios of blocks."""
    ours, peer = (np.array(times) / calls for times in spent)
    return {
        "ours": float(np.percentile(ours, 50)),
        "ours_p99": float(np.percentile(ours, 99)),
        "peer": float(np.percentile(peer, 50)),
        "peer_p99": float(np.percentile(peer, 99)),
        "ratio": statistics.median((peer / ours).tolist()),
    }


def result(name: str, what: str, peer_name: str, goal: float, unit: str, times: dict[str, Any]) -> dict[str, Any]:
    """A result of both sides, whose outputs were found equal before."""
    met = times["ratio"] >= goal
    stated = {"id": name, "what": what, "peer_name": peer_name, "unit": unit, "goal": goal}
    return stated | times | {"correct": True, "met": bool(met)}


def without_peer(name: str, what: str, peer_name: str, goal: float, unit: str) -> dict[str, Any]:
    """A result whose peer is not installed."""
    shown = {"ours": None, "peer": None, "ratio": None, "correct": True, "met": None}
    text = f"{what}: not measured, {peer_name} is missing; fix: make peers"
    return {"id": name, "what": text, "peer_name": peer_name, "unit": unit, "goal": goal} | shown
