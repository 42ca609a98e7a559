"""What trading does to the price and what it costs: illiquidity, price impact, spread paid, prices of either taker."""

from math import sqrt
from typing import Any, Final

import numpy as np

from features.clock import faded
from features.compose import jit
from features.families.tape import MEMORIES
from features.families.trades import usual_trade
from features.family import Family, Output, float_fields
from features.parameters import PARAMETERS, span
from features.state import Lanes, Record

BPS: Final = 1e4
_FLAT: Final = PARAMETERS.flat
CLIP: Final = 100.0
"""Changes in typical spreads and quantities in typical trades are cut off here."""
NO_CORRELATION: Final = 1e-12
_SPAN: Final = span(PARAMETERS.typical_ns)
_USUAL: Final = f"q is a typical trade: mean quantity decayed over {_SPAN}"
_SPREAD: Final = f"u the typical spread: mean log spread of quotes decayed over {_SPAN}"


@jit
def spread_unit(s: Record) -> float:
    """One over the typical spread; 0 where that is flat or unknown."""
    usual = s.usual_spread / s.usual_quotes
    return 1.0 / usual if usual > _FLAT else 0.0


# -- illiquidity -------------------------------------------------------------------------------------------------------


@jit
def _fade_illiquidity(s: Record) -> None:
    for k in range(s.keep.size):
        s.path[k] = faded(s.path[k], s.keep[k])
        s.path_left[k] = faded(s.path_left[k], s.keep[k])


@jit
def _add_path(s: Record) -> None:
    step = abs(s.step)
    for k in range(s.path.size):
        s.path[k] += step


@jit
def _add_path_volume(s: Record) -> None:
    for k in range(s.path_left.size):
        s.path_volume[k] = faded(s.path_volume[k], s.path_left[k]) + s.trade_qty
        s.path_left[k] = 1.0


@jit
def _write_illiquidity(s: Record, out: Lanes) -> None:
    usual = usual_trade(s)
    spread = max(s.usual_spread / s.usual_quotes, _FLAT)
    unit = spread / usual if usual > 0.0 else 0.0
    for k in range(out.size):
        out[k] = s.path[k] / (s.path[k] + spread + s.path_volume[k] * s.path_left[k] * unit)


ILLIQUIDITY: Final = Family(
    name="illiquidity",
    group="volume",
    axis="tau",
    windows=MEMORIES,
    fields=float_fields("path", "path_left", "path_volume"),
    hooks={"time": _fade_illiquidity, "quote": _add_path, "trade": _add_path_volume},
    outputs=(
        Output(
            name="illiquidity",
            unit="ratio in [0, 1)",
            write=_write_illiquidity,
            definition="A / (A + 1 + V / q); A is the sum of absolute changes of log mid from quote to quote in u, V "
            f"traded quantity, both decayed over tau; {_USUAL}, {_SPREAD} (at least {_FLAT:g})",
            source="Amihud 2002 in units of a typical spread and trade, bounded",
            zero_rule="0 at constant price; V / q is 0 without trades",
        ),
    ),
)

# -- price impact ------------------------------------------------------------------------------------------------------


@jit
def _fade_impact(s: Record) -> None:
    for k in range(s.keep.size):
        s.impact_left[k] = faded(s.impact_left[k], s.keep[k])


@jit
def _add_impact(s: Record) -> None:
    """The trade before is held against how the mid moved since."""
    if s.quotes == 0:
        return
    x, y = s.impact_flow, min(max((s.mid - s.impact_mid) * spread_unit(s), -CLIP), CLIP)
    if s.impact_trades == 0:
        x = y = 0.0
    for k in range(s.impact_left.size):
        left = s.impact_left[k]
        xy, xx = faded(s.impact_xy[k], left) + x * y, faded(s.impact_xx[k], left) + x * x
        yy = faded(s.impact_yy[k], left) + y * y
        s.impact_xy[k], s.impact_xx[k], s.impact_yy[k], s.impact_left[k] = xy, xx, yy, 1.0
        s.impact[k] = xy / (xx + 1.0)
        s.impact_fit[k] = xy / sqrt(xx * yy) if xx * yy > NO_CORRELATION else 0.0
    s.impact_flow = min(max(s.trade_side * s.trade_qty / usual_trade(s), -CLIP), CLIP)
    s.impact_mid = s.mid
    s.impact_trades += 1


@jit
def _write_impact(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.impact[k]


@jit
def _write_fit(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.impact_fit[k]


def _impact_fields(count: int) -> list[tuple[Any, ...]]:
    names = ("impact_left", "impact_xy", "impact_xx", "impact_yy", "impact", "impact_fit")
    scalars = [("impact_trades", np.int64), ("impact_flow", np.float64), ("impact_mid", np.float64)]
    return [*scalars, *float_fields(*names)(count)]


_PAIRS: Final = (
    "over pairs of trades that follow one another after the first quote, decayed over tau, as of the last trade: x is "
    "side x quantity / q of the first (q as of then), y the change of log mid between them in u as of the second, both "
    f"clipped to {CLIP:g}; {_USUAL}, {_SPREAD}"
)

IMPACT: Final = Family(
    name="impact",
    group="volume",
    axis="tau",
    windows=MEMORIES,
    fields=_impact_fields,
    hooks={"time": _fade_impact, "trade": _add_impact},
    outputs=(
        Output(
            name="price_impact",
            unit="typical spreads per typical trade",
            write=_write_impact,
            definition=f"sum of x y / (sum of x x + 1) {_PAIRS}",
            source="lambda of Kyle 1985, a regression through the origin with a prior of one typical trade",
            zero_rule=f"y is 0 for typical spreads below {_FLAT:g}; 0 before the second trade",
        ),
        Output(
            name="impact_correlation",
            unit="ratio in [-1, 1]",
            write=_write_fit,
            definition=f"sum of x y / square root of (sum of x x times sum of y y) {_PAIRS}",
            source="correlation about zero of signed trades and what follows, after Hasbrouck 1991",
            zero_rule=f"0 while the product of sums is below {NO_CORRELATION:g}",
        ),
    ),
)

# -- spread paid -------------------------------------------------------------------------------------------------------


@jit
def _fade_paid(s: Record) -> None:
    for k in range(s.keep.size):
        s.paid_left[k] = faded(s.paid_left[k], s.keep[k])


@jit
def _add_paid(s: Record) -> None:
    if s.quotes == 0:
        return
    paid = 2.0 * s.trade_side * (s.trade_log - s.mid) * spread_unit(s)
    paid /= 1.0 + abs(paid)
    for k in range(s.paid_left.size):
        trades = faded(s.paid_trades[k], s.paid_left[k]) + 1.0
        s.paid[k] += (paid - s.paid[k]) / trades
        s.paid_trades[k], s.paid_left[k] = trades, 1.0


@jit
def _write_paid(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.paid[k]


SPREAD_PAID: Final = Family(
    name="spread_paid",
    group="volume",
    axis="tau",
    windows=MEMORIES,
    fields=float_fields("paid_left", "paid_trades", "paid"),
    hooks={"time": _fade_paid, "trade": _add_paid},
    outputs=(
        Output(
            name="spread_paid",
            unit="ratio in (-1, 1)",
            write=_write_paid,
            definition="mean of p / (1 + |p|) over trades since the first quote, decayed over tau, as of the last "
            f"trade: p is 2 x side x (log price - log mid) / u, {_SPREAD} as of the trade",
            source="effective spread, Lee 1993, over the usual quoted one",
            zero_rule=f"p is 0 for typical spreads below {_FLAT:g}; 0 before the first trade",
        ),
    ),
)

# -- prices of either taker --------------------------------------------------------------------------------------------


@jit
def _fade_takers(s: Record) -> None:
    for k in range(s.keep.size):
        s.takers_left[k] = faded(s.takers_left[k], s.keep[k])


@jit
def _add_takers(s: Record) -> None:
    bought, sold = s.trade_qty if s.trade_side > 0.0 else 0.0, s.trade_qty if s.trade_side < 0.0 else 0.0
    s.buys_seen = 1.0 if bought > 0.0 else s.buys_seen
    s.sells_seen = 1.0 if sold > 0.0 else s.sells_seen
    for k in range(s.takers_left.size):
        left = s.takers_left[k]
        buys, sells = faded(s.buys_qty[k], left) + bought, faded(s.sells_qty[k], left) + sold
        s.buys_vwap[k] += (s.trade_log - s.buys_vwap[k]) * (bought / buys) if bought > 0.0 else 0.0
        s.sells_vwap[k] += (s.trade_log - s.sells_vwap[k]) * (sold / sells) if sold > 0.0 else 0.0
        s.buys_qty[k], s.sells_qty[k], s.takers_left[k] = buys, sells, 1.0


@jit
def _write_buys(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * s.buys_seen * (s.mid - s.buys_vwap[k])


@jit
def _write_sells(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = BPS * s.sells_seen * (s.sells_vwap[k] - s.mid)


def _takers_fields(count: int) -> list[tuple[Any, ...]]:
    names = ("takers_left", "buys_qty", "sells_qty", "buys_vwap", "sells_vwap")
    return [("buys_seen", np.float64), ("sells_seen", np.float64), *float_fields(*names)(count)]


def _taker(name: str, write: Any, mirror: str, difference: str, who: str) -> Output:
    return Output(
        name=name,
        suffix="_bps",
        unit="bps",
        write=write,
        definition=f"10,000 x ({difference}); the mean is of log prices of trades with {who}, weighted by quantity and "
        "decayed over tau",
        source="VWAP, Berkowitz, Logue and Noser 1988, of one side, geometric and decayed",
        zero_rule="0 before the first such trade",
        mirror=mirror,
    )


TAKERS: Final = Family(
    name="takers",
    group="volume",
    axis="tau",
    windows=MEMORIES,
    fields=_takers_fields,
    hooks={"time": _fade_takers, "trade": _add_takers},
    outputs=(
        _taker("buy_vwap_distance", _write_buys, "sell_vwap_distance", "log mid - mean", "a buying taker"),
        _taker("sell_vwap_distance", _write_sells, "buy_vwap_distance", "mean - log mid", "a selling taker"),
    ),
)
