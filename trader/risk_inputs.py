"""Volatility and correlation for the gate, streamed: one state for all symbols on one grid of event time.

Each symbol's last mid is sampled at every grid step (previous-tick sampling); squares and products of the log returns
decay with a half-life. Volatility is realized volatility scaled to one day: ``sqrt(mean squared return * steps per
day)``.
"""

from collections.abc import Sequence
from itertools import combinations
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
    steps: dict[str, float]
    weights: dict[str, float]
    products: dict[str, float]
    vols_day: dict[str, float]
    correlations: dict[str, float]


def init_inputs(params: RiskInputParams | None = None) -> RiskInputs:
    """The state before the first price: nothing is known."""
    return RiskInputs(params or RiskInputParams(), None, {}, {}, {}, {}, {}, {}, {})


def update_inputs(state: RiskInputs, symbol: str, mid_px: float, ts_ns: int) -> None:
    """Take in one mid price at event time ``ts_ns``; estimates move only when the grid steps.

    Broken prices are ignored; time that runs backwards counts as the newest time seen.
    """
    if not 0.0 < mid_px < float("inf"):
        return
    step = ts_ns // (state.params.grid_ms * 1_000_000)
    if state.step is None:
        state.step = step
    elif step > state.step:
        _advance(state, step - state.step)
        state.step = step
    state.mids[symbol] = log(mid_px)


def vol_day(state: RiskInputs, symbol: str) -> float | None:
    """Realized volatility of ``symbol`` scaled to one day (a ratio); None until warmed."""
    return state.vols_day.get(symbol)


def _advance(state: RiskInputs, steps: int) -> None:
    """Close ``steps`` grid cells: the first carries the return, later ones were silent."""
    if steps * state.params.grid_ms > state.params.forget_s * 1_000:
        for memory in (state.sampled, state.steps, state.weights, state.products):
            memory.clear()
    returns = {s: px - state.sampled[s] for s, px in state.mids.items() if s in state.sampled}
    state.sampled.update(state.mids)
    for a in returns:
        state.steps[a] = state.steps.get(a, 0.0) + steps
    keys = [(a, a, a) for a in returns] + [(pair_key(a, b), a, b) for a, b in combinations(sorted(returns), 2)]
    keep = 0.5 ** (state.params.grid_ms / 1_000 / state.params.half_life_s)
    for key, a, b in keys:
        _decay(state, key, returns[a] * returns[b], keep, steps)
    _publish(state, keys)


def _decay(state: RiskInputs, key: str, product: float, keep: float, steps: int) -> None:
    silent = keep ** (steps - 1)
    weight, total = state.weights.get(key, 0.0), state.products.get(key, 0.0)
    first_weight, first_total = keep * weight + 1.0 - keep, keep * total + (1.0 - keep) * product
    # silent cells have return zero: they weigh, but add nothing
    state.weights[key] = silent * first_weight + 1.0 - silent
    state.products[key] = silent * first_total


def _publish(state: RiskInputs, keys: Sequence[tuple[str, str, str]]) -> None:
    warm = {s for s, steps in state.steps.items() if steps >= state.params.warmup_steps}
    per_day = _DAY_NS / (state.params.grid_ms * 1_000_000)
    means = {key: state.products[key] / state.weights[key] for key, a, b in keys if a in warm and b in warm}
    state.vols_day = {a: sqrt(means[key] * per_day) for key, a, b in keys if a == b and key in means}
    state.correlations = {key: _rho(means[key], means[a], means[b]) for key, a, b in keys if a != b and key in means}


def _rho(product: float, square_a: float, square_b: float) -> float:
    scale = sqrt(square_a * square_b)
    return max(-1.0, min(1.0, product / scale)) if scale > 0 else 0.0
