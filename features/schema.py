"""The served feature row: names in one order, and the id that binds data, model, journal and trader to it.

>>> "imbalance" in NAMES, NAMES[INDEX["imbalance"]]
(True, 'imbalance')
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from features.families import FAMILIES
from features.family import Feature as Feature
from features.parameters import PARAMETERS as PARAMETERS
from features.parameters import Parameters
from features.plan import FeatureError, features_of, select
from features.served import SERVED

KERNEL_VERSION: Final = 2
"""Raised by hand whenever the kernel computes something else under the same names and parameters."""


def require_fed(features: Sequence[Feature]) -> None:
    """Refuse what the served kernel would never hear of: tables and trader feed it quotes and trades.

    Raises
    ------
    FeatureError
        Naming the first such feature and the events it is made of.
    """
    events = {family.name: family.events for family in FAMILIES}
    for feature in features:
        if events[feature.family]:
            raise FeatureError(
                f"{feature.name} is made of {' and '.join(sorted(events[feature.family]))}, which the row is not fed",
                "serve features of quotes and trades: `cryptoscalp features list` shows their groups",
            )


FEATURES: Final = select(features_of(FAMILIES), SERVED.features)
require_fed(FEATURES)

WINDOW: Final = SERVED.window
"""Rows a sequence model sees: the current one and the decision points before it."""

WARMUP_ROWS: Final = PARAMETERS.warmup_quotes
"""Usable quotes that give no row at the start of a stream."""

NAMES: Final = tuple(feature.name for feature in FEATURES)
COUNT: Final = len(NAMES)
INDEX: Final = {name: column for column, name in enumerate(NAMES)}


def column_of(name: str) -> int:
    """The column of a feature that code outside the models reads.

    Raises
    ------
    FeatureError
        When the served set lacks it.
    """
    if name not in INDEX:
        raise FeatureError(f"the served set lacks {name}, which strategies read", "name it under pinned and features")
    return INDEX[name]


def schema_id(features: Sequence[Feature], parameters: Parameters, window: int, kernel_version: int) -> str:
    """Short digest of everything a row's meaning depends on: columns in order, parameters, kernel version, window."""
    columns = [(f.name, f.unit, f.mirror, f.mirror_sum) for f in features]
    stated = msgspec.json.encode((kernel_version, window, columns, parameters))
    return hashlib.sha256(stated).hexdigest()[:16]


SCHEMA_ID: Final = schema_id(FEATURES, PARAMETERS, WINDOW, KERNEL_VERSION)


def mirror_order(features: Sequence[Feature]) -> list[int]:
    """The column each feature's mirrored value is found in.

    Raises
    ------
    FeatureError
        When a feature that swaps places has no partner in the set.
    """
    at = {(f.output, f.window, f.length_ns): column for column, f in enumerate(features)}
    order = []
    for column, f in enumerate(features):
        partner = at.get((f.mirror, f.window, f.length_ns)) if f.mirror not in ("same", "sign") else column
        if partner is None:
            raise FeatureError(
                f"{f.name} swaps places with {f.mirror} in the mirrored market", f"serve both, or neither, of {f.name}"
            )
        order.append(partner)
    return order


MIRROR_ORDER: Final = np.array(mirror_order(FEATURES))
MIRROR_SIGNS: Final = np.array([-1.0 if f.mirror == "sign" else 1.0 for f in FEATURES])
MIRROR_SUMS: Final = np.array([f.mirror_sum for f in FEATURES])


def mirror(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Rows of the mirrored market: prices inverted, bid and ask swapped, buyers and sellers swapped.

    Parameters
    ----------
    rows
        ``[..., features]`` in schema order; the result has the same shape and dtype, and mirroring twice gives the rows
        back up to rounding. NaN stays NaN.
    """
    return (rows[..., MIRROR_ORDER] * MIRROR_SIGNS + MIRROR_SUMS).astype(rows.dtype)
