"""Market regime from mid price, volatility and the event clock: detectors vote, hysteresis keeps it from flickering.

- *trend*: distance of a fast from a slow average of log price, divided by the standard deviation it has for a random
  walk of the current volatility (``tau`` 30 s and 300 s): a z-score. The same of slow against long (1,800 s) tells a
  run.
- *volatility*: daily volatility against its own long average (above a floor), or above a fixed level.
- *crash*: fall from the highest price of the last one to two minutes, in basis points and in standard deviations.

A crash counts at once; every other change must persist for ``dwell_s``. A crash that ends leads into RECOVERY, which
lasts.
"""

from math import exp, isfinite, log, sqrt
from typing import Final

import msgspec

from risk.types import Regime
from trader.streaming import SECOND_NS, Extremes, ewma, init_extremes, update_extremes

_DAY_S: Final = 86_400.0


class RegimeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds of the votes; ``_enter`` above ``_leave`` is the hysteresis. ``vol_*_day`` are daily volatilities."""

    bucket_ms: int = 250
    fast_s: float = 30.0
    slow_s: float = 300.0
    long_s: float = 1_800.0
    trend_enter: float = 2.5
    trend_leave: float = 1.0
    run_enter: float = 2.0
    vol_ratio_enter: float = 2.0
    vol_ratio_leave: float = 1.4
    vol_floor_day: float = 0.015
    vol_enter_day: float = 0.05
    vol_leave_day: float = 0.04
    crash_window_s: float = 60.0
    crash_bps: float = 150.0
    crash_sigmas: float = 6.0
    recovery_s: float = 300.0
    dwell_s: float = 5.0
    forget_s: float = 600.0


PARAMS: Final = RegimeParams()


class RegimeState(msgspec.Struct, frozen=True):
    """What is remembered: averages of log mid, ``ts_ns`` of the last bucket; no ``window`` before the first price."""

    ts_ns: int
    fast: float
    slow: float
    long: float
    vol_base: float | None
    window: Extremes | None
    regime: Regime
    candidate: Regime
    candidate_ns: int
    crash_ns: int | None


def init_regime() -> RegimeState:
    """The state before the first price: NORMAL."""
    return RegimeState(0, 0.0, 0.0, 0.0, None, None, Regime.NORMAL, Regime.NORMAL, 0, None)


def update_regime(
    state: RegimeState, mid_px: float, vol_day: float | None, ts_ns: int, params: RegimeParams = PARAMS
) -> tuple[RegimeState, Regime]:
    """Take in one mid price at event time ``ts_ns``; at most one evaluation per bucket.

    ``vol_day`` is realized volatility scaled to one day; while it is None (or broken) only price falls are judged.
    Broken prices are ignored. A clock set back by less than ``forget_s`` is waited out; a longer step either way begins
    anew, in NORMAL.
    """
    age_ns, forget_ns = ts_ns - state.ts_ns, params.forget_s * SECOND_NS
    if -forget_ns <= age_ns < params.bucket_ms * 1_000_000 or not 0.0 < mid_px < float("inf"):
        return state, state.regime
    if state.window is None or abs(age_ns) > forget_ns:
        state = _restart(mid_px, ts_ns)
        return state, state.regime
    state = _observe(state, state.window, log(mid_px), mid_px, vol_day, ts_ns, params)
    return state, state.regime


def _restart(mid_px: float, ts_ns: int) -> RegimeState:
    px = log(mid_px)
    return RegimeState(ts_ns, px, px, px, None, init_extremes(mid_px, ts_ns), Regime.NORMAL, Regime.NORMAL, ts_ns, None)


def _observe(
    state: RegimeState,
    window: Extremes,
    px: float,
    mid_px: float,
    vol_day: float | None,
    ts_ns: int,
    params: RegimeParams,
) -> RegimeState:
    age_s = (ts_ns - state.ts_ns) / SECOND_NS
    vol = vol_day if vol_day is not None and isfinite(vol_day) and vol_day > 0 else None
    seen = RegimeState(
        ts_ns,
        px + (state.fast - px) * exp(-age_s / params.fast_s),
        px + (state.slow - px) * exp(-age_s / params.slow_s),
        px + (state.long - px) * exp(-age_s / params.long_s),
        ewma(state.vol_base, vol, age_s, params.long_s),
        update_extremes(window, mid_px, ts_ns, int(params.crash_window_s * SECOND_NS)),
        state.regime,
        state.candidate,
        state.candidate_ns,
        state.crash_ns,
    )
    return _switch(seen, _vote(seen, mid_px, vol, params), params)


def _vote(state: RegimeState, mid_px: float, vol: float | None, params: RegimeParams) -> Regime:
    """The regime the detectors see now, given the regime we are in (thresholds to stay are lower than to enter)."""
    if _crashing(state, mid_px, vol, params):
        return Regime.CRASH
    if state.crash_ns is not None and state.ts_ns - state.crash_ns < params.recovery_s * SECOND_NS:
        return Regime.RECOVERY
    if vol is None:
        return Regime.NORMAL
    if _volatile(state, vol, params):
        return Regime.VOLATILE
    # what a crash did to the averages is no trend: they are begun anew on the way out
    return Regime.NORMAL if state.regime is Regime.RECOVERY else _trending(state, vol, params)


def _crashing(state: RegimeState, mid_px: float, vol: float | None, params: RegimeParams) -> bool:
    fall_bps = state.window.fall_bps(mid_px) if state.window is not None else 0.0
    if state.regime is Regime.CRASH:
        return fall_bps >= params.crash_bps / 2
    # a crash lifts the volatility estimate at once, so its size is judged by what was usual before
    usual = 0.0 if vol is None or state.vol_base is None else min(vol, state.vol_base)
    sigma_bps = usual * sqrt(params.crash_window_s / _DAY_S) * 10_000.0
    return fall_bps >= params.crash_bps and fall_bps >= params.crash_sigmas * sigma_bps


def _volatile(state: RegimeState, vol: float, params: RegimeParams) -> bool:
    inside = state.regime is Regime.VOLATILE
    ratio = params.vol_ratio_leave if inside else params.vol_ratio_enter
    level = params.vol_leave_day if inside else params.vol_enter_day
    risen = state.vol_base is not None and vol >= max(params.vol_floor_day, ratio * state.vol_base)
    return vol >= level or risen


def _trending(state: RegimeState, vol: float, params: RegimeParams) -> Regime:
    inside = state.regime in (Regime.TRENDING, Regime.BULL_RUN)
    threshold = params.trend_leave if inside else params.trend_enter
    trend = _z(state.fast - state.slow, vol, params.fast_s, params.slow_s)
    run = _z(state.slow - state.long, vol, params.slow_s, params.long_s)
    if abs(trend) < threshold:
        return Regime.NORMAL
    return Regime.BULL_RUN if trend > 0 and run >= params.run_enter else Regime.TRENDING


def _z(distance: float, vol_day: float, short_s: float, long_s: float) -> float:
    """Distance of two exponential averages over its deviation in Brownian motion: var = v^2 (l - s)^2 / (2 (l + s))."""
    return distance / (vol_day * (long_s - short_s) / sqrt(2.0 * (long_s + short_s) * _DAY_S))


def _switch(state: RegimeState, vote: Regime, params: RegimeParams) -> RegimeState:
    """Adopt a vote: a crash at once, anything else when it has persisted."""
    if vote is Regime.CRASH:
        return _in(state, vote, state.ts_ns)
    if vote is not state.candidate:
        return msgspec.structs.replace(state, candidate=vote, candidate_ns=state.ts_ns)
    if vote is not state.regime and state.ts_ns - state.candidate_ns >= params.dwell_s * SECOND_NS:
        return _in(state, vote, state.crash_ns)
    return state


def _in(state: RegimeState, regime: Regime, crash_ns: int | None) -> RegimeState:
    settled = state.regime is Regime.RECOVERY and regime is not Regime.CRASH
    return msgspec.structs.replace(
        state,
        regime=regime,
        candidate=regime,
        candidate_ns=state.ts_ns,
        crash_ns=crash_ns,
        slow=state.fast if settled else state.slow,
        long=state.fast if settled else state.long,
    )
