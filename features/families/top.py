"""How the top of the book changed: order-flow imbalance."""

from typing import Final

from features.clock import faded
from features.compose import jit
from features.families.now import usual_size
from features.family import Family, Output, float_fields
from features.parameters import PARAMETERS, TAUS, span
from features.state import Lanes, Record


@jit
def _fade_ofi(s: Record) -> None:
    for k in range(s.keep.size):
        s.ofi[k] = faded(s.ofi[k], s.keep[k])
        s.ofi_size[k] = faded(s.ofi_size[k], s.keep[k])


@jit
def _add_ofi(s: Record) -> None:
    for k in range(s.ofi.size):
        s.ofi[k] += s.change
        s.ofi_size[k] += abs(s.change)


@jit
def _write_ofi(s: Record, out: Lanes) -> None:
    usual = usual_size(s)
    for k in range(out.size):
        out[k] = s.ofi[k] / (s.ofi_size[k] + usual)


OFI: Final = Family(
    name="ofi",
    group="order_book",
    axis="tau",
    windows=TAUS,
    fields=float_fields("ofi", "ofi_size"),
    hooks={"time": _fade_ofi, "quote": _add_ofi},
    outputs=(
        Output(
            name="ofi",
            unit="ratio in (-1, 1)",
            write=_write_ofi,
            definition="sum of e / (sum of |e| + typical size), sums decayed over tau, the typical size over "
            f"{span(PARAMETERS.typical_ns)}; e what a quote adds to bids and takes from asks",
            source="e(n) of Cont, Kukanov and Stoikov 2014, normalised",
            zero_rule="0 without book changes",
            mirror="sign",
        ),
    ),
)
