"""What was traded: quantities against what is usual, the price paid, who took."""

from typing import Any, Final

import numpy as np

from features.clock import faded
from features.compose import jit
from features.family import Family, Output, Window, float_fields
from features.parameters import PARAMETERS, TAUS, span
from features.state import Lanes, Record

BPS: Final = 1e4
_EMPTY: Final = PARAMETERS.empty
_TYPICAL_NS: Final = float(PARAMETERS.typical_ns)
_LONGER: Final = 2
"""Volume is compared with the rate of the tau this many places further in ``TAUS``."""
_NO_TRADES: Final = f"0 while fewer than {_EMPTY:g} decayed trades are left"
_USUAL: Final = f"q is a typical trade: mean quantity decayed over {span(PARAMETERS.typical_ns)}"


@jit
def usual_trade(s: Record) -> float:
    """Mean quantity of a trade, decayed; 0 when there is none to speak of."""
    return s.usual_qty / s.usual_trades if s.usual_trades > _EMPTY else 0.0


@jit
def _fade_volume(s: Record) -> None:
    for k in range(s.keep.size):
        s.volume[k] = faded(s.volume[k], s.keep[k])


@jit
def _add_volume(s: Record) -> None:
    for k in range(s.volume.size):
        s.volume[k] += s.trade_qty


@jit
def _write_volume(s: Record, out: Lanes) -> None:
    usual = usual_trade(s)
    for k in range(out.size):
        out[k] = s.volume[k] / (s.volume[k] + usual) if usual > 0.0 else 0.0


@jit
def _write_change(s: Record, out: Lanes) -> None:
    usual = usual_trade(s)
    for k in range(out.size):
        expected = s.volume[s.longer[k]] * s.longer_share[k]
        out[k] = (s.volume[k] - expected) / (s.volume[k] + expected + 2.0 * usual) if usual > 0.0 else 0.0


@jit
def _write_spike(s: Record, out: Lanes) -> None:
    usual = usual_trade(s)
    for k in range(out.size):
        expected = s.usual_qty * s.usual_share[k]
        out[k] = (s.volume[k] - expected) / (s.volume[k] + expected + 2.0 * usual) if usual > 0.0 else 0.0


def _longer(tau: Window) -> Window:
    return TAUS[min(TAUS.index(tau) + _LONGER, len(TAUS) - 1)]


def _volume_fields(count: int) -> list[tuple[Any, ...]]:
    names = ("volume", "longer_share", "usual_share")
    return [("longer", np.int64, (count,)), *((name, np.float64, (count,)) for name in names)]


def _start_volume(state: Any, taus: tuple[Window, ...]) -> None:
    longer = [_longer(tau) if _longer(tau) in taus else tau for tau in taus]
    state["longer"] = [taus.index(tau) for tau in longer]
    state["longer_share"] = [tau / other for tau, other in zip(taus, longer, strict=True)]
    state["usual_share"] = [tau / _TYPICAL_NS for tau in taus]


VOLUME: Final = Family(
    name="volume",
    group="volume",
    axis="tau",
    windows=TAUS,
    fields=_volume_fields,
    start=_start_volume,
    needs=lambda tau: (_longer(tau),),
    hooks={"time": _fade_volume, "trade": _add_volume},
    outputs=(
        Output(
            name="volume",
            unit="ratio in [0, 1)",
            write=_write_volume,
            definition=f"V / (V + q); V is traded quantity decayed over tau, {_USUAL}",
            source="relative volume",
            zero_rule=_NO_TRADES,
        ),
        Output(
            name="volume_change",
            unit="ratio in (-1, 1)",
            write=_write_change,
            definition="(V - E) / (V + E + 2 q); V is traded quantity decayed over tau, E what the rate of the tau two "
            f"places longer expects of V (the longest: itself), {_USUAL}",
            source="relative difference of rates with a prior of one typical trade each",
            zero_rule=_NO_TRADES,
        ),
        Output(
            name="volume_spike",
            unit="ratio in (-1, 1)",
            write=_write_spike,
            definition=f"as volume_change, E what the {span(PARAMETERS.typical_ns)} rate expects of V",
            source="relative difference of rates with a prior of one typical trade each",
            zero_rule=_NO_TRADES,
        ),
    ),
)


@jit
def _fade_vwap(s: Record) -> None:
    for k in range(s.keep.size):
        s.vwap_qty[k] = faded(s.vwap_qty[k], s.keep[k])
        s.vwap_trades[k] = faded(s.vwap_trades[k], s.keep[k])


@jit
def _add_vwap(s: Record) -> None:
    for k in range(s.vwap.size):
        s.vwap_qty[k] += s.trade_qty
        s.vwap_trades[k] += 1.0
        s.vwap[k] += (s.trade_log - s.vwap[k]) * (s.trade_qty / s.vwap_qty[k])


@jit
def _write_vwap(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * (s.mid - s.vwap[k]) if s.vwap_trades[k] > _EMPTY else 0.0


VWAP: Final = Family(
    name="vwap",
    group="volume",
    axis="tau",
    windows=TAUS,
    fields=float_fields("vwap", "vwap_qty", "vwap_trades"),
    hooks={"time": _fade_vwap, "trade": _add_vwap},
    outputs=(
        Output(
            name="vwap_distance",
            suffix="_bps",
            unit="bps",
            write=_write_vwap,
            definition="10,000 x (log mid - quantity-weighted mean of log trade prices decayed over tau)",
            source="VWAP, Berkowitz, Logue and Noser 1988, geometric and decayed",
            zero_rule=_NO_TRADES,
            mirror="sign",
        ),
    ),
)


@jit
def _fade_flow(s: Record) -> None:
    for k in range(s.keep.size):
        s.flow[k] = faded(s.flow[k], s.keep[k])
        s.flow_qty[k] = faded(s.flow_qty[k], s.keep[k])


@jit
def _add_flow(s: Record) -> None:
    signed = s.trade_side * s.trade_qty
    for k in range(s.flow.size):
        s.flow[k] += signed
        s.flow_qty[k] += s.trade_qty


@jit
def _write_flow(s: Record, out: Lanes) -> None:
    usual = usual_trade(s)
    for k in range(out.size):
        out[k] = s.flow[k] / (s.flow_qty[k] + usual) if usual > 0.0 else 0.0


FLOW: Final = Family(
    name="flow",
    group="volume",
    axis="tau",
    windows=TAUS,
    fields=float_fields("flow", "flow_qty"),
    hooks={"time": _fade_flow, "trade": _add_flow},
    outputs=(
        Output(
            name="flow",
            unit="ratio in (-1, 1)",
            write=_write_flow,
            definition="sum of side x quantity / (sum of quantity + q), sums decayed over tau; side is the taker's, "
            f"{_USUAL}",
            source="trade imbalance, Chordia, Roll and Subrahmanyam 2002, with a prior of one typical trade",
            zero_rule=_NO_TRADES,
            mirror="sign",
        ),
    ),
)
