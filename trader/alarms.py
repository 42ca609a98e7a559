"""Emergency indicators of one symbol, by the names that ``risk.types.MarketView.alarms`` carries.

| name | raised when | |---|---| | crash | the mid has fallen ``crash_bps`` from its high of the last
``crash_window_s`` (to twice that) | | flash_crash | the mid has moved ``flash_bps``, down or up, within
``flash_window_s`` (to twice that) | | volatility_spike | daily volatility is ``vol_ratio`` times its long average,
and at least ``vol_floor_day`` | | liquidity_crisis | for ``liquidity_s`` the spread is ``spread_ratio`` times the
usual, or the depth ``depth_ratio`` of it | | manipulation_suspected | ``wall_strikes`` displayed sizes of
``wall_ratio`` times the usual vanished untraded lately | | system_instability | ``fault_count`` faults (gaps,
rejects, refused scores, broken quotes) lately, or ``max_lag_ms`` late |

An alarm stays raised for ``hold_s`` after its condition was last true.
"""

from typing import Final

import msgspec

from trader.detectors import AlarmParams as AlarmParams
from trader.detectors import Average, Falls, Faults, Liquidity, Walls, faulted, fell, spiked, spoofed, thinned
from trader.detectors import Sample as Sample
from trader.streaming import SECOND_NS

NAMES: Final = (
    "crash",
    "flash_crash",
    "volatility_spike",
    "liquidity_crisis",
    "manipulation_suspected",
    "system_instability",
)
PARAMS: Final = AlarmParams()


class AlarmState(msgspec.Struct, frozen=True):
    """Memory of all detectors. ``until_ns`` follows ``NAMES``: until when each alarm stays raised (0: never raised)."""

    ts_ns: int | None = None
    until_ns: tuple[int, ...] = (0,) * len(NAMES)
    raised: tuple[str, ...] = ()
    falls: Falls | None = None
    vol_day: Average = Average()
    liquidity: Liquidity = Liquidity()
    walls: Walls = Walls()
    faults: Faults = Faults()


def init_alarms() -> AlarmState:
    """Nothing seen, nothing raised."""
    return AlarmState()


def update_alarms(
    state: AlarmState, sample: Sample, params: AlarmParams = PARAMS
) -> tuple[AlarmState, tuple[str, ...]]:
    """Take in one sample, at most one per bucket; returns the alarms now raised, in the order of ``NAMES``.

    A broken quote (crossed, not positive, not finite) counts as a fault and feeds no other detector. A clock set back
    by less than ``forget_s`` is waited out; set back further, it is followed and the averages begin anew.
    """
    if state.ts_ns is not None:
        age_ns = sample.ts_ns - state.ts_ns
        if age_ns < -params.forget_s * SECOND_NS:
            state = AlarmState(faults=state.faults)
        elif age_ns < params.bucket_ms * 1_000_000:
            return state, state.raised
    age_s = 0.0 if state.ts_ns is None else (sample.ts_ns - state.ts_ns) / SECOND_NS
    state = _observe(state, sample, age_s, params)
    return state, state.raised


def _observe(state: AlarmState, sample: Sample, age_s: float, params: AlarmParams) -> AlarmState:
    faults, unstable = faulted(state.faults, sample, age_s, params)
    if not sample.sane:
        until_ns = _hold(state.until_ns, (False,) * 5 + (unstable,), sample.ts_ns, params)
        return msgspec.structs.replace(
            state, ts_ns=sample.ts_ns, until_ns=until_ns, raised=_raised(until_ns, sample.ts_ns), faults=faults
        )
    falls, crash, flash = fell(state.falls, sample, params)
    vol_day, spike = spiked(state.vol_day, sample, age_s, params)
    liquidity, thin = thinned(state.liquidity, sample, age_s, params)
    walls, spoof = spoofed(state.walls, sample, age_s, params)
    until_ns = _hold(state.until_ns, (crash, flash, spike, thin, spoof, unstable), sample.ts_ns, params)
    raised = _raised(until_ns, sample.ts_ns)
    return AlarmState(sample.ts_ns, until_ns, raised, falls, vol_day, liquidity, walls, faults)


def _hold(until_ns: tuple[int, ...], tripped: tuple[bool, ...], ts_ns: int, params: AlarmParams) -> tuple[int, ...]:
    if not any(tripped):
        return until_ns
    held_ns = ts_ns + int(params.hold_s * SECOND_NS)
    return tuple(held_ns if now else before for now, before in zip(tripped, until_ns, strict=True))


def _raised(until_ns: tuple[int, ...], ts_ns: int) -> tuple[str, ...]:
    return tuple(name for name, until in zip(NAMES, until_ns, strict=True) if until > ts_ns)
