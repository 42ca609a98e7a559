"""P15: all seven risk layers on one intent, against the same checks in numpy and pandas."""

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import _risk_peer as peer
from benchmarks._machine import machine
from risk.gate import check
from risk.profiles import Limits, Profile
from risk.types import AccountView, Decision, Intent, MarketView, PositionView, Regime
from risk.var import pair_key

WARMUP, BLOCK, ROUNDS = 300, 100, 15
GOAL_US = {100: 5.0, 1_000: 20.0}
GOAL_RATIO = 50.0
EQUITY = 1e7


def build(positions: int, seed: int = 7) -> tuple[AccountView, MarketView, Limits]:
    """A book of ``positions`` long and short positions worth 40 % of equity, and limits that allow so many."""
    rng = random.Random(seed)
    symbols = [f"S{i:04d}" for i in range(positions)]
    most = 0.8 * EQUITY / positions / 100.0
    held = {s: PositionView(rng.uniform(-most, most), 100.0, 0.0, 0.0) for s in symbols}
    account = AccountView(EQUITY, EQUITY, EQUITY, held, 3, 0, True)
    pairs = ((a, b) for i, a in enumerate(symbols) for b in symbols[i + 1 :])
    market = MarketView(
        tradable=True,
        age_ms=5.0,
        bid_px=99.99,
        ask_px=100.0,
        spread_bps=1.0,
        depth_usd=2e6,
        volume_24h_usd=1e9,
        vol_day=0.02,
        vols_day={s: rng.uniform(0.01, 0.05) for s in symbols},
        correlations={pair_key(a, b): rng.uniform(-0.2, 0.6) for a, b in pairs},
        regime=Regime.NORMAL,
        alarms=(),
    )
    profile = Profile(position_x=1.0, stop_x=1.0, risk_per_trade=0.02, max_positions=positions + 1)
    return account, market, Limits(profiles=dict.fromkeys(Regime, profile))


def intents(account: AccountView, count: int, seed: int = 11) -> list[Intent]:
    """Entries of all sizes, most within the limits, some far above, some unsure."""
    rng = random.Random(seed)
    symbols = list(account.positions)
    return [
        Intent(
            symbol=rng.choice(symbols),
            side=rng.choice((1, -1)),
            qty=10 ** rng.uniform(0.0, 5.0),
            px=99.99,
            post_only=True,
            reduce_only=False,
            strategy="bench",
            reason="",
            confidence=rng.uniform(0.55, 1.0),
            stop_bps=40.0,
        )
        for _ in range(count)
    ]


def agree(ours: Decision, theirs: tuple[str, float]) -> bool:
    """Same quantity (the gate shaves a part in 10^12 off what it shrinks)."""
    return abs(ours.qty - theirs[1]) <= 1e-9 * max(1.0, theirs[1])


def timed(call: Callable[[Intent], object], wanted: Sequence[Intent]) -> list[int]:
    """Nanoseconds of each call."""
    spent = []
    for intent in wanted:
        start = time.perf_counter_ns()
        call(intent)
        spent.append(time.perf_counter_ns() - start)
    return spent


def measure(positions: int) -> dict[str, Any]:
    """One row of P15."""
    account, market, limits = build(positions)
    book, rho = peer.frame(account, market), peer.correlation_matrix(list(account.positions), market)
    wanted = intents(account, WARMUP)

    def ours(intent: Intent) -> Decision:
        return check(intent, account, market, limits)

    def theirs(intent: Intent) -> tuple[str, float]:
        return peer.judge(intent, book, rho, account, market, limits)

    correct = all(agree(ours(intent), theirs(intent)) for intent in wanted)
    pairs = [(timed(ours, wanted[:BLOCK]), timed(theirs, wanted[:BLOCK])) for _ in range(ROUNDS)]
    return report(positions, correct, pairs)


def report(positions: int, correct: bool, rounds: Sequence[tuple[list[int], list[int]]]) -> dict[str, Any]:
    """Medians of both sides and of the ratio of each round."""
    ratio = statistics.median(statistics.median(b) / statistics.median(a) for a, b in rounds)
    ours, theirs = ([ns / 1e3 for block in side for ns in block] for side in zip(*rounds, strict=True))
    p50 = statistics.median(ours)
    return {
        "id": "P15",
        "what": f"seven risk layers on one intent, {positions} positions, p50",
        "ours": p50,
        "ours_p99": statistics.quantiles(ours, n=100)[98],
        "peer": statistics.median(theirs),
        "peer_p99": statistics.quantiles(theirs, n=100)[98],
        "peer_name": "numpy and pandas",
        "unit": "us",
        "ratio": ratio,
        "goal": f"< {GOAL_US[positions]:g} us, >= {GOAL_RATIO:g}x",
        "correct": correct,
        "met": correct and p50 < GOAL_US[positions] and ratio >= GOAL_RATIO,
    }


def main() -> int:
    """Print one JSON object; 1 when the two sides disagree."""
    results = [measure(positions) for positions in GOAL_US]
    print(json.dumps({"benchmark": "risk", "machine": machine(), "results": results}))
    return 0 if all(result["correct"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
