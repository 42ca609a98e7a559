"""From feature names to the smallest kernel that computes them: windows, state, and where each value stands."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from features.bars import bar_fields
from features.family import Family, Feature, Output, Window, feature_name
from features.parameters import BAR_LENGTHS, PARAMETERS, TAUS
from features.state import State, base_fields
from market.errors import CryptoScalpError

VECTOR: Final = 4
"""Lanes of one vector instruction: taus are filled up to a multiple, since a rest of three costs more than four."""


class FeatureError(CryptoScalpError):
    """A feature name that the bank does not have, or a set of features that is none."""


class Slot(msgspec.Struct, frozen=True):
    """One output of the plan: ``lanes[start:stop]`` holds its windows (bars: by length, then by window)."""

    family: Family
    output: Output
    windows: tuple[Window, ...]
    lengths: tuple[int, ...]
    start: int
    stop: int

    def lane(self, feature: Feature) -> int:
        """Where ``feature`` stands in the plan's lanes."""
        at = self.windows.index(feature.window)
        if self.lengths:
            at += self.lengths.index(feature.length_ns) * len(self.windows)
        return self.start + at


def features_of(families: Sequence[Family]) -> tuple[Feature, ...]:
    """Every feature of the bank, in the order of a plan that holds them all."""
    return tuple(
        Feature(
            name=feature_name(family, output, window, length_ns),
            family=family.name,
            output=output.name,
            window=window,
            length_ns=length_ns,
            group=family.group,
            unit=output.unit,
            definition=output.definition,
            source=output.source,
            zero_rule=output.zero_rule,
            mirror=output.mirror,
            mirror_sum=output.mirror_sum,
        )
        for family in families
        for output in family.outputs
        for length_ns in (BAR_LENGTHS if family.axis == "bars" else (0,))
        for window in family.windows
    )


class Plan:
    """The kernel for ``features``, which stay in the order given. Families that none of them needs are left out."""

    def __init__(self, features: Sequence[Feature], families: Sequence[Family]) -> None:
        self.features = tuple(features)
        wanted = {feature.family for feature in features}
        self.families = tuple(family for family in families if family.name in wanted)
        self.lengths = tuple(sorted({feature.length_ns for feature in features if feature.length_ns}))
        self._chosen = {family.name: self._windows(family) for family in self.families}
        self.taus = self._chosen_taus()
        self.slots = tuple(self._slots())

    def _windows(self, family: Family) -> tuple[Window, ...]:
        used = {feature.window for feature in self.features if feature.family == family.name}
        used |= {other for window in used for other in family.needs(window)}
        return tuple(window for window in family.windows if window in used)

    def _chosen_taus(self) -> tuple[int, ...]:
        used = {tau for family in self.families if family.axis == "tau" for tau in self._chosen[family.name]}
        used.add(PARAMETERS.typical_ns)
        spare = [tau for tau in TAUS if tau not in used]
        return tuple(sorted([*used, *spare[: -len(used) % VECTOR]]))

    def windows(self, family: Family) -> tuple[Window, ...]:
        """Windows ``family`` keeps in this plan."""
        return self._chosen[family.name]

    @cached_property
    def keeps(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Families of decayed sums that do not keep all taus of the plan: the field of their ``keep``, and of which."""
        some = [f for f in self.families if f.axis == "tau" and self.windows(f) != self.taus]
        return tuple((f"keep_{f.name}", tuple(map(self.taus.index, self.windows(f)))) for f in some)

    def keep_field(self, family: Family) -> str:
        """The state's field that ``family`` sees as ``keep``."""
        name = f"keep_{family.name}"
        return name if name in dict(self.keeps) else "keep"

    def _slots(self) -> Iterable[Slot]:
        start, used = 0, {(feature.family, feature.output) for feature in self.features}
        for family in self.families:
            windows, lengths = self.windows(family), self.lengths if family.axis == "bars" else ()
            for output in family.outputs:
                if (family.name, output.name) in used:
                    stop = start + len(windows) * max(len(lengths), 1)
                    yield Slot(family, output, windows, lengths, start, stop)
                    start = stop

    @cached_property
    def pick(self) -> npt.NDArray[np.int64]:
        """``lanes[pick]`` is the row."""
        slots = {(slot.family.name, slot.output.name): slot for slot in self.slots}
        return np.array([slots[f.family, f.output].lane(f) for f in self.features], np.int64)

    @property
    def is_whole(self) -> bool:
        """The row is the lanes, in their order."""
        return np.array_equal(self.pick, np.arange(self.slots[-1].stop))

    @property
    def ring(self) -> int:
        """Closed bars kept: a power of two above every look back."""
        looks = [f.look_back(w) for f in self.families if f.axis == "bars" for w in self.windows(f)]
        return 1 << max(looks, default=1).bit_length()

    def dtype(self, first: str) -> np.dtype[np.void]:
        """The state's record; its first field is named ``first``, which makes it this kernel's own type."""
        fields: list[tuple[Any, ...]] = [(first, np.int64), *base_fields(len(self.taus))]
        fields += [(name, np.float64, (len(picks),)) for name, picks in self.keeps]
        if self.lengths:
            fields += bar_fields(len(self.lengths), self.ring)
        for family in self.families:
            shape = (len(self.lengths),) if family.axis == "bars" else ()
            fields += family.fields(*shape, len(self.windows(family)))
        fields += [("lanes", np.float64, (self.slots[-1].stop,)), ("row", np.float64, (len(self.features),))]
        return np.dtype(fields, align=True)

    def start(self, dtype: np.dtype[np.void]) -> State:
        """A state that has seen nothing."""
        state = np.zeros(1, dtype)
        state["keep_rate"] = [1.0 / tau for tau in self.taus]
        state["taus"] = len(self.taus)
        state["usual_at"] = self.taus.index(PARAMETERS.typical_ns)
        if self.lengths:
            state["bar_ns"] = self.lengths
        for family in self.families:
            family.start(state, self.windows(family))
        return state


def select(bank: Sequence[Feature], names: Sequence[str]) -> tuple[Feature, ...]:
    """The features called ``names``, in that order.

    Raises
    ------
    FeatureError
        When a name is unknown (the nearest one is told), is there twice, or there is none.
    """
    from difflib import get_close_matches

    by_name = {feature.name: feature for feature in bank}
    for name in names:
        if name not in by_name:
            near = get_close_matches(name, by_name, 1)
            fix = f"did you mean {near[0]}?" if near else "list them with `cryptoscalp features list`"
            raise FeatureError(f"the bank has no feature called {name!r}", fix)
    if not names or len(set(names)) < len(names):
        raise FeatureError("a set of features is a list of different names", "name at least one, none twice")
    return tuple(by_name[name] for name in names)
