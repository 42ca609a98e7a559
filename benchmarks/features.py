"""P1, P2, P3 and P13: features live and in replay against river, TA-Lib and NautilusTrader; memory with all of them.

Correctness comes first: rows must equal a pandas computation and the peers' own at 1,000 random ticks, and replay must
equal live bit for bit, or nothing is timed.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks import _pandas_peer
from benchmarks._blocks import BLOCK, ROUNDS, WARM_UP, in_turn, per_call, result, without_peer
from benchmarks._machine import machine
from benchmarks._ticks import Call, Ticks, generate
from features.bank import bank_kernel
from features.body import EVENT
from features.compiled import Kernel
from features.kernel import SERVED
from features.schema import COUNT, WARMUP_ROWS

Floats = npt.NDArray[np.float64]
Update = Callable[..., Any]

TOLERANCE = 1e-8
CHECKED = 1_000
CONVERGED = 8_000
"""Ticks after which averages that TA-Lib begins otherwise have forgotten how."""
TIMED = 4 * ROUNDS
REPLAYED = 20_000
SYMBOLS, FED, MOST_MB = 100, 3_000, 400.0
TICK = "25 features, CPU time of one public call a tick (1/5 trades); ours: by the address of the event, as decoded"


class Live(NamedTuple):
    """A kernel's cheapest call and the addresses of ``ticks`` as it takes them; ``held`` is what lies there."""

    update: Callable[[int], bool]
    addresses: list[int]
    row: Floats
    held: tuple[object, ...]


def live(kernel: Kernel, ticks: Ticks) -> Live:
    """``kernel`` with a fresh state, about to take ``ticks``."""
    events = np.zeros(len(ticks.ts), EVENT)
    events["kind"], events["ts_ns"] = ticks.kinds, ticks.ts
    for name, column in zip("abcd", ticks.values.T, strict=True):
        events[name] = column
    start, state = events.ctypes.data, kernel.init_state()
    addresses = [start + EVENT.itemsize * i for i in range(len(events))]
    return Live(kernel.updater(state), addresses, kernel.row(state), (events, state))


def require(is_right: bool, what: str) -> None:
    """End without a number when a computation is wrong."""
    if not is_right:
        raise SystemExit(f"{what}: nothing was timed")


def error(found: Floats, truth: Floats) -> float:
    """Largest difference, relative where the truth exceeds 1."""
    return float(np.max(np.abs(found - truth) / np.maximum(1.0, np.abs(truth))))


def check_replay(kernel: Kernel, ticks: Ticks) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Rows by replay, after proof that one call a tick gives the same bits."""
    rows, index = kernel.fold(*ticks)
    side, streamed = live(kernel, ticks), []
    for address in side.addresses:
        if side.update(address):
            streamed.append(side.row.copy())
    require(rows.tobytes() == np.array(streamed).tobytes(), "replayed and live rows differ")
    return rows, index


def check_pandas(ticks: Ticks, rows: Floats) -> None:
    """1,000 random rows equal those of a pandas script that shares no formula with the kernel."""
    frame = pd.DataFrame({"kind": ticks.kinds, "ts": ticks.ts, **dict(zip("abcd", ticks.values.T, strict=True))})
    truth = _pandas_peer.features(frame).to_numpy()[WARMUP_ROWS:]
    at = np.random.default_rng(1).choice(len(rows), CHECKED, replace=False)
    require(error(rows[at], truth[at]) < TOLERANCE, f"features differ from pandas by more than {TOLERANCE:g}")


def check_peer(calls: Sequence[Call], update: Update, rows: Floats, index: npt.NDArray[np.int64], name: str) -> None:
    """1,000 random rows of the peer equal ours."""
    theirs = [update(*call) for call in calls]
    at = np.random.default_rng(2).choice(np.flatnonzero(index >= CONVERGED), CHECKED, replace=False)
    found = np.array([theirs[tick] for tick in index[at].tolist()], float)
    require(error(found, rows[at]) < TOLERANCE, f"{name} gives other features")


def against(ticks: Ticks, peer: Update, begun: int) -> dict[str, Any]:
    """Both sides take the same ticks from the ``begun``-th on, block by block, after all before it."""
    calls, ours = ticks.calls(), live(SERVED, ticks)
    update, addresses = ours.update, ours.addresses
    for call, address in zip(calls[: begun + WARM_UP], addresses, strict=False):
        peer(*call)
        update(address)
    start = begun + WARM_UP

    def our_block(block: int) -> None:
        for address in addresses[start + block * BLOCK : start + (block + 1) * BLOCK]:
            update(address)

    def peer_block(block: int) -> None:
        for kind, ts_ns, a, b, c, d in calls[start + block * BLOCK : start + (block + 1) * BLOCK]:
            peer(kind, ts_ns, a, b, c, d)

    return per_call(in_turn(our_block, peer_block, TIMED), BLOCK)


def live_results(ticks: Ticks) -> list[dict[str, Any]]:
    """P1: against river and both ways to use talib.stream."""
    rows, index = check_replay(SERVED, ticks)
    check_pandas(ticks, rows)
    calls, rows_out = ticks.calls(), []
    for name, what, goal, make in _live_peers():
        if make is None:
            rows_out.append(without_peer("P1", TICK, name, goal, "ns"))
            continue
        check_peer(calls, make().update, rows, index, name)
        rows_out.append(result("P1", f"{TICK}; {what}", name, goal, "ns", against(ticks, make().update, CONVERGED)))
    return rows_out


def _live_peers() -> list[tuple[str, str, float, Callable[[], Any] | None]]:
    river = arrays = handles = None
    if is_there("river"):
        from benchmarks._river_peer import RiverFeatures as river  # type: ignore[assignment]
    if is_there("talib"):
        from benchmarks._talib_peer import OnArrays as arrays  # type: ignore[assignment]
        from benchmarks._talib_peer import WithHandles as handles  # type: ignore[assignment]
    rest = "numpy and math for the other 16"
    return [
        ("river", "peer: river's statistics where it has them, others written in its way; all 25 equal", 100.0, river),
        ("talib.stream on arrays", f"peer: 6 calls on 400 bars for 9 of the 25, {rest}; all equal", 180.0, arrays),
        ("talib.stream handles", f"peer: 6 handles of TA-Lib 0.8 peek at the bar for 9, {rest}", 180.0, handles),
    ]


def is_there(module: str) -> bool:
    """Whether a peer is installed."""
    return importlib.util.find_spec(module) is not None


def replay_result(ticks: Ticks) -> dict[str, Any]:
    """P2: CPU time of a whole replay on both sides, the same 20,000 ticks in each of the rounds."""
    what = (
        f"replay of {REPLAYED:,} quotes and trades, CPU time a tick; ours: fold to rows of 25 features in a kept array"
    )
    name = "NautilusTrader 1.221 BacktestEngine.run, no-op strategy"
    if not is_there("nautilus_trader"):
        return without_peer("P2", what, name, 70.0, "ns CPU")
    from benchmarks._nautilus_peer import engine_of

    part = ticks.part(0, REPLAYED)
    engine, room = engine_of(part), (np.empty((REPLAYED, COUNT)), np.empty(REPLAYED, np.int64))

    def ours(_block: int) -> None:
        SERVED.fold(*part, out=room)

    def peer(_block: int) -> None:
        engine.run()

    ours(0)
    engine.run()
    require(engine.iteration == REPLAYED, "the engine did not take every tick")
    spent: list[list[int]] = [[], []]
    for _ in range(ROUNDS):
        engine.reset()
        once = in_turn(ours, peer, 1)
        for times, found in zip(spent, once, strict=True):
            times += found
    engine.dispose()
    text = f"{what}; peer: the engine's run alone, objects made and sorted before"
    return result("P2", text, name, 70.0, "ns CPU", per_call(spent, REPLAYED))


def bank_results(ticks: Ticks) -> list[dict[str, Any]]:
    """P3: the whole bank at every tick against twenty calls of TA-Lib."""
    kernel = bank_kernel()
    rows, _ = check_replay(kernel, ticks.part(0, CONVERGED))
    require(bool(np.isfinite(rows).all()), "the bank gives numbers that are not finite")
    count = len(kernel.plan.features)
    what = f"{count:,} live indicators, CPU time of one public call a tick (1/5 trades), by the address of the event"
    names = ("talib.stream on arrays", "talib.stream handles")
    if not is_there("talib"):
        return [without_peer("P3", what, name, 25.0, "ns") for name in names]
    from benchmarks._talib_peer import CLASSIC_BARS, Classic

    high, low, close = np.random.default_rng(3).normal(0.0, 1e-2, (3, 64)).cumsum(axis=1) + [[101.0], [99.0], [100.0]]
    quantity = np.random.default_rng(4).lognormal(size=64)
    bars = np.array([np.maximum(high, close), np.minimum(low, close), close, quantity])
    peer = Classic(bars)
    said = (
        f"peer: 20 classic indicators, calls on arrays of {CLASSIC_BARS} bars",
        "peer: 20 handles peek at the running bar",
    )
    sides = zip(names, said, (peer.on_arrays, peer.with_handles), strict=True)
    return [result("P3", f"{what}; {text}", n, 25.0, "ns", _bank_times(kernel, ticks, call)) for n, text, call in sides]


def _bank_times(kernel: Kernel, ticks: Ticks, call: Callable[[], None]) -> dict[str, Any]:
    side = live(kernel, ticks)
    update, addresses = side.update, side.addresses
    for address in addresses[: CONVERGED + WARM_UP]:
        update(address)
    for _ in range(WARM_UP):
        call()
    start = CONVERGED + WARM_UP

    def ours(block: int) -> None:
        for address in addresses[start + block * BLOCK : start + (block + 1) * BLOCK]:
            update(address)

    def peer(_block: int) -> None:
        for _ in range(BLOCK):
            call()

    return per_call(in_turn(ours, peer, TIMED), BLOCK)


def memory_result() -> dict[str, Any]:
    """P13: peak memory of a child process; one before it, so that nothing is compiled in the one that counts."""
    command = [sys.executable, "-m", "benchmarks._trader_memory"]
    subprocess.run([*command, "1", "100"], check=True, capture_output=True)
    done = subprocess.run([*command, str(SYMBOLS), str(FED)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    each = (found["peak"] - found["one"]) / (SYMBOLS - 1)
    parts = (
        f"modules {found['modules']:.0f} MB, with kernels and one symbol {found['one']:.0f} MB, {each:.2f} MB a symbol"
    )
    return {
        "id": "P13",
        "what": f"peak resident memory, trader's modules, {SYMBOLS} symbols with the served row and "
        f"{found['features']:,} of the bank, {FED:,} ticks each; {parts}",
        "ours": found["peak"],
        "peer": None,
        "peer_name": None,
        "unit": "MB",
        "ratio": None,
        "goal": MOST_MB,
        "correct": True,
        "met": bool(found["peak"] < MOST_MB),
    }


def measure() -> dict[str, Any]:
    """The report of this benchmark."""
    ticks = generate(REPLAYED)
    results = [*live_results(ticks), replay_result(ticks), *bank_results(ticks), memory_result()]
    return {"benchmark": "features", "machine": machine(), "results": results}


def main() -> None:
    """Print the report, as one JSON object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    report = measure()
    print(json.dumps(report) if as_json else json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
