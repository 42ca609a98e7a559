"""The top of the book as it stands, its sizes and its spread against what is usual."""

from typing import Final

from features.compose import jit
from features.family import Family, Output
from features.parameters import PARAMETERS, span
from features.state import Lanes, Record

_FLAT: Final = PARAMETERS.flat
_SPAN: Final = span(PARAMETERS.typical_ns)
_SIZED: Final = "never: a quote without two sizes is no decision point"
_LOCKED: Final = f"R is 0 in a locked book and for typical spreads below {_FLAT:g}; crossed gives no row"


@jit
def usual_size(s: Record) -> float:
    """Decayed mean of ``(bid_qty + ask_qty) / 2`` over quotes."""
    return s.usual_size / s.usual_quotes


@jit
def relative_spread(s: Record) -> float:
    """The spread over its decayed mean over quotes; 0 where that is flat."""
    usual = s.usual_spread / s.usual_quotes
    return s.spread / usual if usual > _FLAT else 0.0


@jit
def top_imbalance(s: Record) -> float:
    """Bid size minus ask size over their sum."""
    return (s.bid_qty - s.ask_qty) / (s.bid_qty + s.ask_qty)


@jit
def _write_bid_size(s: Record, out: Lanes) -> None:
    usual = usual_size(s)
    out[0] = (s.bid_qty - usual) / (s.bid_qty + usual)


@jit
def _write_ask_size(s: Record, out: Lanes) -> None:
    usual = usual_size(s)
    out[0] = (s.ask_qty - usual) / (s.ask_qty + usual)


@jit
def _write_spread(s: Record, out: Lanes) -> None:
    spread = relative_spread(s)
    out[0] = (spread - 1.0) / (spread + 1.0)


@jit
def _write_imbalance(s: Record, out: Lanes) -> None:
    out[0] = top_imbalance(s)


@jit
def _write_microprice(s: Record, out: Lanes) -> None:
    out[0] = 0.5 * relative_spread(s) * top_imbalance(s)


NOW: Final = Family(
    name="now",
    group="order_book",
    axis="now",
    windows=(None,),
    outputs=(
        Output(
            name="bid_size",
            unit="ratio in (-1, 1)",
            write=_write_bid_size,
            definition=f"(bid_qty - z) / (bid_qty + z); z is the typical size, decayed over {_SPAN}",
            source="best bid size",
            zero_rule=_SIZED,
            mirror="ask_size",
        ),
        Output(
            name="ask_size",
            unit="ratio in (-1, 1)",
            write=_write_ask_size,
            definition=f"(ask_qty - z) / (ask_qty + z); z is the typical size, decayed over {_SPAN}",
            source="best ask size",
            zero_rule=_SIZED,
            mirror="bid_size",
        ),
        Output(
            name="spread_relative",
            unit="ratio in [-1, 1)",
            write=_write_spread,
            definition=f"(R - 1) / (R + 1); R = ln(ask_px / bid_px) / typical spread, decayed over {_SPAN}",
            source="quoted spread over its usual size",
            zero_rule=_LOCKED,
        ),
        Output(
            name="imbalance",
            unit="ratio in (-1, 1)",
            write=_write_imbalance,
            definition="(bid_qty - ask_qty) / (bid_qty + ask_qty)",
            source="queue imbalance, Gould and Bonart 2016",
            zero_rule=_SIZED,
            mirror="sign",
        ),
        Output(
            name="microprice_relative",
            unit="typical spreads",
            write=_write_microprice,
            definition="(log microprice - log mid) / typical spread = R x imbalance / 2, R as in spread_relative",
            source="mid weighted by the sizes of the opposite sides, Stoikov 2018, geometric",
            zero_rule=_LOCKED,
            mirror="sign",
        ),
    ),
)
