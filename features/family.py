"""What a family of features is: state fields, compiled hooks that keep them, and outputs over a grid of windows."""

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
import numpy as np

from features.compose import Compiled
from features.parameters import span

Window = Any
"""A lane of an axis: nanoseconds (``tau``, ``lag``), a count (``quotes``, ``levels``), bars, None (``now``)."""
AxisKind = Literal["now", "tau", "lag", "quotes", "bars", "levels"]
Fields = list[tuple[Any, ...]]

HOOKS: Final = ("time", "quote", "trade", "mark", "reference", "levels", "interest", "liquidation", "close")
"""When a family is called: the clock moved (before it is used), an event of each kind, a bar closed."""


def _plain(window: Window) -> str:
    return str(window)


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of a family, for every window of its axis.

    ``write(s, out)`` is compiled and fills ``out[k]`` for window ``k`` of the plan (bars: ``out[l * K + k]`` for bar
    length ``l``). It may read any state and must leave a finite number, whatever the market did. ``zero_rule`` says
    what stands there when the definition has nothing to divide or to compare with. ``mirror`` is the value in the
    mirrored market: "same", "sign" (``mirror_sum`` minus the value) or the name of the output it swaps places with.
    """

    name: str
    unit: str
    write: Compiled
    definition: str
    source: str
    zero_rule: str
    suffix: str = ""
    mirror: str = "same"
    mirror_sum: float = 0.0


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Outputs that share state. ``windows`` are all that the bank has; a plan keeps those it needs.

    ``fields(count)`` gives the state's fields for ``count`` windows (bars: ``fields(lengths, count)``); ``start(record,
    windows)`` writes what they begin with. ``needs(window)`` names further windows of the same axis that ``window``
    is computed from; ``look_back(window)`` counts the closed bars it looks at. Every hook is compiled and takes the
    state's record (``close``: and the index of the bar length).
    """

    name: str
    group: str
    axis: AxisKind
    windows: tuple[Window, ...]
    outputs: tuple[Output, ...]
    fields: Callable[..., Fields] = lambda *_: []
    start: Callable[[Any, tuple[Window, ...]], None] = lambda *_: None
    needs: Callable[[Window], tuple[Window, ...]] = lambda _: ()
    spell: Callable[[Window], str] = _plain
    look_back: Callable[[Window], int] = lambda _: 0
    hooks: dict[str, Compiled] = {}

    @property
    def events(self) -> frozenset[str]:
        """Kinds of events beyond quotes and trades that the outputs are made of."""
        rare = frozenset(self.hooks) - {"time", "quote", "trade", "close"}
        return rare | {"reference"} if self.group == "cross_asset" else rare


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One column: an output of a family at one window (and bar length, ns; 0 where there are no bars)."""

    name: str
    family: str
    output: str
    window: Window
    length_ns: int
    group: str
    unit: str
    definition: str
    source: str
    zero_rule: str
    mirror: str
    mirror_sum: float


def feature_name(family: Family, output: Output, window: Window, length_ns: int = 0) -> str:
    """``output[_window[xbar]][_unit]``: what it is, over what, in what."""
    text = f"{family.spell(window)}x{span(length_ns)}" if family.axis == "bars" else _spelled(family.axis, window)
    return output.name + (f"_{text}" if text else "") + output.suffix


def _spelled(axis: AxisKind, window: Window) -> str:
    if axis in ("tau", "lag"):
        return span(window)
    return {"now": "", "quotes": f"{window}q", "levels": f"{window}l"}[axis]


def float_fields(*names: str) -> Callable[..., Fields]:
    """``fields`` of a family with one float64 per window for each of ``names``."""

    def fields(*shape: int) -> Fields:
        return [(name, np.float64, shape) for name in names]

    return fields
