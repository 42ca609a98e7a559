"""Self-exciting intensities of buys and sells: what recent trades add to the odds of the next."""

from typing import Any, Final

import numpy as np

from features.clock import faded
from features.compose import jit
from features.families.tape import MEMORIES
from features.family import Family, Output, Window, float_fields
from features.parameters import PARAMETERS, span
from features.state import Lanes, Record

_TYPICAL_NS: Final = float(PARAMETERS.typical_ns)
_LONGER: Final = 2
"""The slow kernel decays over the tau this many places further in ``MEMORIES``."""
_HEAT: Final = (
    "h of a side is N(tau) + N(tau') tau / tau'; N counts its trades, decayed, and tau' is the memory "
    f"{_LONGER} places further in {', '.join(map(span, MEMORIES))} (the last ones: the longest)"
)


@jit
def _fade_intensity(s: Record) -> None:
    for k in range(s.keep.size):
        s.intensity_left[k] = faded(s.intensity_left[k], s.keep[k])


@jit
def _add_intensity(s: Record) -> None:
    buy, sell = 1.0 if s.trade_side > 0.0 else 0.0, 1.0 if s.trade_side < 0.0 else 0.0
    for k in range(s.intensity_left.size):
        s.intensity_buys[k] = faded(s.intensity_buys[k], s.intensity_left[k]) + buy
        s.intensity_sells[k] = faded(s.intensity_sells[k], s.intensity_left[k]) + sell
        s.intensity_left[k] = 1.0


@jit
def _sum_kernels(s: Record) -> None:
    """Both kernels of both sides, and the share of one buy or sell in all there are and are usual."""
    for k in range(s.intensity_left.size):
        slow = s.intensity_slow[k]
        left, slow_left = s.intensity_left[k], s.intensity_left[slow] * s.intensity_ratio[k]
        buys = s.intensity_buys[k] * left + s.intensity_buys[slow] * slow_left
        sells = s.intensity_sells[k] * left + s.intensity_sells[slow] * slow_left
        s.buy_heat[k], s.sell_heat[k] = buys, sells
        s.heat_unit[k] = 1.0 / (buys + sells + 2.0 * s.usual_trades * s.intensity_share[k] + 1.0)


@jit
def _write_buys(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.buy_heat[k] * s.heat_unit[k]


@jit
def _write_sells(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.sell_heat[k] * s.heat_unit[k]


@jit
def _write_imbalance(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = (s.buy_heat[k] - s.sell_heat[k]) / (s.buy_heat[k] + s.sell_heat[k] + 1.0)


def slow_tau(tau: Window) -> Window:
    """The tau of the slow kernel."""
    return MEMORIES[min(MEMORIES.index(tau) + _LONGER, len(MEMORIES) - 1)]


def _slow_or_self(tau: Window) -> Window:
    return slow_tau(tau) if tau in MEMORIES else tau


def _intensity_fields(count: int) -> list[tuple[Any, ...]]:
    names = ("intensity_left", "intensity_buys", "intensity_sells", "intensity_ratio", "intensity_share")
    return [("intensity_slow", np.int64, (count,)), *float_fields(*names, "buy_heat", "sell_heat", "heat_unit")(count)]


def _start_intensity(state: Any, taus: tuple[Window, ...]) -> None:
    slow = [slow if slow in taus else tau for tau, slow in zip(taus, map(_slow_or_self, taus), strict=True)]
    state["intensity_slow"] = [taus.index(tau) for tau in slow]
    state["intensity_ratio"] = np.array(taus) / np.array(slow)
    state["intensity_share"] = np.array(taus) / _TYPICAL_NS


def _intensity(name: str, write: Any, mirror: str, who: str) -> Output:
    return Output(
        name=name,
        unit="ratio in [0, 1)",
        write=write,
        definition=f"h of {who} / (h of buys + h of sells + 2 E + 1); {_HEAT}; E is what the rate of all trades over "
        f"the last {span(PARAMETERS.typical_ns)} (decayed) expects in tau",
        source="Hawkes 1971 with two exponential kernels; for trades, Bacry, Mastromatteo and Muzy 2015",
        zero_rule="0 without trades",
        mirror=mirror,
    )


INTENSITY: Final = Family(
    name="intensity",
    group="volume",
    axis="tau",
    windows=MEMORIES,
    fields=_intensity_fields,
    start=_start_intensity,
    needs=lambda tau: (slow_tau(tau),),
    hooks={"time": _fade_intensity, "trade": _add_intensity, "quote": _sum_kernels},
    outputs=(
        _intensity("buy_intensity", _write_buys, "sell_intensity", "buys"),
        _intensity("sell_intensity", _write_sells, "buy_intensity", "sells"),
        Output(
            name="intensity_imbalance",
            unit="ratio in (-1, 1)",
            write=_write_imbalance,
            definition=f"(h of buys - h of sells) / (h of buys + h of sells + 1); {_HEAT}",
            source="imbalance of Hawkes intensities, Bacry, Mastromatteo and Muzy 2015",
            zero_rule="0 without trades",
            mirror="sign",
        ),
    ),
)
