"""Order flow at the touch, each side by itself: what is added to it and what is taken away."""

from typing import Final

from features.clock import faded
from features.compose import Compiled, jit
from features.families.now import usual_size
from features.families.tape import MEMORIES
from features.family import Family, Output, float_fields
from features.parameters import PARAMETERS, span
from features.state import Lanes, Record


@jit
def side_change(px: float, qty: float, last_px: float, last_qty: float) -> float:
    """What a new best level adds to its side: ``px`` counts upwards the better it is."""
    change = 0.0
    if px >= last_px:
        change += qty
    if px <= last_px:
        change -= last_qty
    return change


@jit
def _fade_touch(s: Record) -> None:
    for k in range(s.keep.size):
        s.touch_bid[k] = faded(s.touch_bid[k], s.keep[k])
        s.touch_ask[k] = faded(s.touch_ask[k], s.keep[k])
        s.touch_bid_size[k] = faded(s.touch_bid_size[k], s.keep[k])
        s.touch_ask_size[k] = faded(s.touch_ask_size[k], s.keep[k])


@jit
def _add_touch(s: Record) -> None:
    if s.quotes == 0:
        return
    bid = side_change(s.bid_px, s.bid_qty, s.last_bid_px, s.last_bid_qty)
    ask = side_change(-s.ask_px, s.ask_qty, -s.last_ask_px, s.last_ask_qty)
    for k in range(s.touch_bid.size):
        s.touch_bid[k] += bid
        s.touch_ask[k] += ask
        s.touch_bid_size[k] += abs(bid)
        s.touch_ask_size[k] += abs(ask)


@jit
def _write_bid(s: Record, out: Lanes) -> None:
    usual = usual_size(s)
    for k in range(out.size):
        out[k] = s.touch_bid[k] / (s.touch_bid_size[k] + usual)


@jit
def _write_ask(s: Record, out: Lanes) -> None:
    usual = usual_size(s)
    for k in range(out.size):
        out[k] = s.touch_ask[k] / (s.touch_ask_size[k] + usual)


@jit
def _write_refill(s: Record, out: Lanes) -> None:
    usual = usual_size(s)
    for k in range(out.size):
        out[k] = (s.touch_bid[k] + s.touch_ask[k]) / (s.touch_bid_size[k] + s.touch_ask_size[k] + usual)


@jit
def _write_depletion(s: Record, out: Lanes) -> None:
    usual = 2.0 * usual_size(s)
    for k in range(out.size):
        # what rounding leaves of two equal sums is nothing
        bid = max(s.touch_bid_size[k] - s.touch_bid[k], 0.0)
        ask = max(s.touch_ask_size[k] - s.touch_ask[k], 0.0)
        out[k] = (ask - bid) / (ask + bid + usual)


_SUMS: Final = (
    f"sums over quotes decayed over tau, z the typical size, decayed over {span(PARAMETERS.typical_ns)}; b is what a "
    "quote adds to the best bid (a better price: its size; a worse one: less the size before; the same: the "
    "difference), a the same for asks"
)


def _touch(name: str, write: Compiled, formula: str, source: str, mirror: str) -> Output:
    return Output(
        name=name,
        unit="ratio in (-1, 1)",
        write=write,
        definition=f"{formula}; {_SUMS}",
        source=source,
        zero_rule="0 without book changes",
        mirror=mirror,
    )


_CONT: Final = "one side of e(n) of Cont, Kukanov and Stoikov 2014, normalised"

TOUCH: Final = Family(
    name="touch",
    group="order_book",
    axis="tau",
    windows=MEMORIES,
    fields=float_fields("touch_bid", "touch_ask", "touch_bid_size", "touch_ask_size"),
    hooks={"time": _fade_touch, "quote": _add_touch},
    outputs=(
        _touch("ofi_bid", _write_bid, "sum of b / (sum of |b| + z)", _CONT, "ofi_ask"),
        _touch("ofi_ask", _write_ask, "sum of a / (sum of |a| + z)", _CONT, "ofi_bid"),
        _touch(
            "touch_refill",
            _write_refill,
            "(sum of a + sum of b) / (sum of |a| + sum of |b| + z)",
            "resiliency of the touch, Large 2007",
            "same",
        ),
        _touch(
            "touch_depletion",
            _write_depletion,
            "(A - B) / (A + B + z); A and B what was taken from asks and bids, sums of max(-a, 0) and max(-b, 0)",
            "queue depletion, Cont and de Larrard 2013",
            "sign",
        ),
    ),
)
