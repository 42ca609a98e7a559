"""The bank: every feature there is, and kernels for all of them or for any list of names.

>>> len(BANK) > 300, BANK_INDEX["return_1s_bps"] >= 0
(True, True)
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from features.compiled import Kernel
from features.families import FAMILIES
from features.family import Feature
from features.plan import Plan, features_of, select

BANK: Final[tuple[Feature, ...]] = features_of(FAMILIES)
BANK_NAMES: Final = tuple(feature.name for feature in BANK)
BANK_INDEX: Final = {name: column for column, name in enumerate(BANK_NAMES)}


def kernel_of(names: Sequence[str]) -> Kernel:
    """The kernel that computes exactly ``names``, in that order.

    Raises
    ------
    FeatureError
        When the bank has no such feature, or a name is there twice.
    """
    return Kernel(Plan(select(BANK, names), FAMILIES))


@lru_cache(maxsize=1)
def bank_kernel() -> Kernel:
    """The kernel of the whole bank; its row is ``BANK`` in order."""
    return Kernel(Plan(BANK, FAMILIES))


def unfed() -> dict[str, str]:
    """Features that cannot be served yet, by name, and why: what they are made of besides quotes and trades."""
    events = {family.name: family.events for family in FAMILIES}
    return {
        feature.name: f"made of {' and '.join(sorted(events[feature.family]))}, which the served row is not fed"
        for feature in BANK
        if events[feature.family]
    }
