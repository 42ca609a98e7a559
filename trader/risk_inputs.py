"""Volatility and correlation for the gate, streamed: one state for all symbols on one grid of event time.

Each symbol's last mid is sampled at every grid step (previous-tick sampling); squares and products of the log returns
decay with a half-life. Volatility is realized volatility scaled to one day: ``sqrt(mean squared return * steps per
day)``.
"""

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import log, sqrt
from typing import Final

import msgspec

from risk.var import pair_key
from trader.streaming import SECOND_NS

_DAY_NS: Final = 86_400 * SECOND_NS


class RiskInputParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Grid, memory, and how many steps must be seen before anything is said. A gap above ``forget_s`` starts afresh."""

    grid_ms: int = 1_000
    half_life_s: float = 300.0
    warmup_steps: int = 30
    forget_s: float = 300.0


class RiskInputs(msgspec.Struct):
    """Streaming state, changed in place by ``update_inputs``. ``vols_day`` and ``correlations`` hold only what is warm.

    Both dicts are replaced, never changed, so a caller may keep one as a snapshot.
    """

    params: RiskInputParams
    step: int | None
    mids: dict[str, float]
    sampled: dict[str, float]
    seen: dict[str, int]
    steps: dict[str, int]
    pairs: dict[str, tuple[str, str]]
    weights: dict[str, float]
    products: dict[str, float]
    vols_day: dict[str, float]
    correlations: dict[str, float]


def init_inputs(params: RiskInputParams | None = None) -> RiskInputs:
    """The state before the first price: nothing is known."""
    return RiskInputs(params or RiskInputParams(), None, {}, {}, {}, {}, {}, {}, {}, {}, {})


def update_inputs(state: RiskInputs, symbol: str, mid_px: float, ts_ns: int) -> None:
    """Take in one mid price at event time ``ts_ns``; estimates move only when the grid steps.

    Broken prices are ignored. A clock set back by less than ``forget_s`` counts as the newest time seen; a longer step
    either way begins anew, and so does a symbol that was silent for longer.
    """
    if not 0.0 < mid_px < float("inf"):
        return
    step, forget = ts_ns // (state.params.grid_ms * 1_000_000), _forget_steps(state)
    if state.step is None or abs(step - state.step) > forget:
        _forget(state, tuple(state.mids))
        state.step = step
    elif step > state.step:
        _forget(state, [s for s, seen in state.seen.items() if step - seen > forget])
        _advance(state, step - state.step)
        state.step = step
    state.mids[symbol] = log(mid_px)
    state.seen[symbol] = state.step


def vol_day(state: RiskInputs, symbol: str) -> float | None:
    """Realized volatility of ``symbol`` scaled to one day (a ratio); None until warmed."""
    return state.vols_day.get(symbol)


def _forget_steps(state: RiskInputs) -> float:
    return state.params.forget_s * 1_000 / state.params.grid_ms


def _forget(state: RiskInputs, symbols: Sequence[str]) -> None:
    if not symbols:
        return
    for symbol in symbols:
        for by_symbol in (state.mids, state.sampled, state.steps, state.seen):
            by_symbol.pop(symbol, None)
    gone = [key for key, pair in state.pairs.items() if pair[0] in symbols or pair[1] in symbols]
    for key in gone:
        del state.pairs[key], state.weights[key], state.products[key]
    state.vols_day = {s: vol for s, vol in state.vols_day.items() if s not in symbols}
    state.correlations = {key: rho for key, rho in state.correlations.items() if key in state.pairs}


def _advance(state: RiskInputs, steps: int) -> None:
    """Close ``steps`` grid cells: the first carries the returns, the others were silent."""
    returns = {s: px - state.sampled[s] for s, px in state.mids.items() if s in state.sampled}
    state.sampled.update(state.mids)
    keep = 0.5 ** (state.params.grid_ms / 1_000 / state.params.half_life_s)
    silent = keep ** (steps - 1)
    for symbol in returns:
        state.steps[symbol] = state.steps.get(symbol, 0) + steps
    for a, b in combinations_with_replacement(sorted(returns), 2):
        key = pair_key(a, b)
        state.pairs[key] = (a, b)
        _decay(state, key, returns[a] * returns[b], keep, silent)
    _publish(state)


def _decay(state: RiskInputs, key: str, product: float, keep: float, silent: float) -> None:
    weight, total = state.weights.get(key, 0.0), state.products.get(key, 0.0)
    # silent cells have return zero: they weigh, but add nothing
    state.weights[key] = silent * (keep * weight + 1.0 - keep) + 1.0 - silent
    state.products[key] = silent * (keep * total + (1.0 - keep) * product)


def _publish(state: RiskInputs) -> None:
    warm = {s for s, steps in state.steps.items() if steps >= state.params.warmup_steps}
    per_day = _DAY_NS / (state.params.grid_ms * 1_000_000)
    means = {p: state.products[key] / state.weights[key] for key, p in state.pairs.items() if warm.issuperset(p)}
    state.vols_day = {a: sqrt(mean * per_day) for (a, b), mean in means.items() if a == b}
    state.correlations = {
        pair_key(a, b): _rho(mean, means[a, a], means[b, b]) for (a, b), mean in means.items() if a != b
    }


def _rho(product: float, square_a: float, square_b: float) -> float:
    scale = sqrt(square_a * square_b)
    return max(-1.0, min(1.0, product / scale)) if scale > 0 else 0.0
