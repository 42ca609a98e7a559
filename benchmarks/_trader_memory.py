"""Peak memory of a process like the trader's: its modules, and symbols whose books, quotes and whole bank are live.

``python -m benchmarks._trader_memory SYMBOLS EVENTS`` prints one JSON object, MB.
"""

import json
import sys

import msgspec
import numpy as np
import numpy.typing as npt

import trader.service
from benchmarks._machine import peak_mb
from benchmarks._ticks import generate
from features.bank import bank_kernel
from features.compiled import Kernel
from features.kernel import encode, warm_up
from market.events import QUOTE, Quote, Trade
from market.instruments import btcusdt_example
from trader.market_state import MarketState

Event = Quote | Trade
SERVICE = trader.service.__name__
LEVELS_EVERY = 10


class Symbol:
    """What the trader keeps of a symbol: its market state, and the whole bank beside the served row."""

    def __init__(self, name: str, kernel: Kernel) -> None:
        self.market = MarketState(msgspec.structs.replace(btcusdt_example(), symbol=name))
        self.kernel, self.state = kernel, kernel.init_state()
        self.at = self.state.ctypes.data

    def feed(self, events: list[Event], levels: npt.NDArray[np.float64]) -> None:
        """Every event into both; the ten best levels with every tenth."""
        update, update_levels = self.kernel.update, self.kernel.update_levels
        for number, event in enumerate(events):
            kind, ts_ns, a, b, c, d = encode(event)
            self.market._apply(event)
            update(self.at, kind, ts_ns, a, b, c, d)
            if number % LEVELS_EVERY == 0:
                update_levels(self.at, ts_ns, levels)


def market(events: int) -> list[Event]:
    """Generated quotes and trades as typed events."""
    return [
        Quote("", ts, ts, a, b, c, d, i) if kind == QUOTE else Trade("", ts, ts, a, b, int(c), i, b, True)
        for i, (kind, ts, a, b, c, d) in enumerate(generate(events).calls())
    ]


def book() -> npt.NDArray[np.float64]:
    """Ten levels of both sides."""
    sizes = np.random.default_rng(0).lognormal(0.0, 1.0, (2, 10))
    steps = 0.1 * np.arange(10)
    return np.array([64_000.0 - steps, sizes[0], 64_000.1 + steps, sizes[1]])


def main() -> None:
    """Build, feed, tell."""
    symbols, count = int(sys.argv[1]), int(sys.argv[2])
    report = {"modules": peak_mb()}
    kernel = bank_kernel()
    warm_up()
    one = Symbol("ONE", kernel)
    events, levels = market(count), book()
    one.feed(events, levels)
    report["one"] = peak_mb()
    states = [one, *(Symbol(f"S{number}USDT", kernel) for number in range(symbols - 1))]
    for state in states[1:]:
        state.feed(events, levels)
    if not all(np.isfinite(kernel.row(state.state)).all() for state in states):
        raise SystemExit("a feature is not finite")
    report["peak"] = peak_mb()
    print(json.dumps(report | {"symbols": symbols, "features": len(kernel.plan.features), "service": SERVICE}))


if __name__ == "__main__":
    main()
