"""The served feature row: 25 names in one order, and the id that binds data, model, journal and trader to it.

>>> COUNT, NAMES[INDEX["imbalance"]]
(25, 'imbalance')
"""

import hashlib
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from features.catalogue import FEATURES as FEATURES
from features.catalogue import Feature as Feature
from features.parameters import PARAMETERS as PARAMETERS
from features.parameters import Parameters

KERNEL_VERSION: Final = 1
"""Raised by hand whenever the kernel computes something else from the same parameters."""

WINDOW: Final = 16
"""Rows a sequence model sees: the current one and the 15 decision points before it."""

WARMUP_ROWS: Final = PARAMETERS.warmup_quotes
"""Usable quotes that give no row at the start of a stream."""

NAMES: Final = tuple(feature.name for feature in FEATURES)
COUNT: Final = len(NAMES)
INDEX: Final = {name: column for column, name in enumerate(NAMES)}


def schema_id(features: tuple[Feature, ...], parameters: Parameters, kernel_version: int) -> str:
    """Short digest of everything a row's meaning depends on: columns in order, parameters, kernel version, window."""
    columns = [(f.name, f.group, f.unit, f.window, f.mirror, f.mirror_sum) for f in features]
    stated = msgspec.json.encode((kernel_version, WINDOW, columns, parameters))
    return hashlib.sha256(stated).hexdigest()[:16]


SCHEMA_ID: Final = schema_id(FEATURES, PARAMETERS, KERNEL_VERSION)

MIRROR_ORDER: Final = np.array([INDEX.get(f.mirror, column) for column, f in enumerate(FEATURES)])
MIRROR_SIGNS: Final = np.array([-1.0 if f.mirror == "sign" else 1.0 for f in FEATURES])
MIRROR_SUMS: Final = np.array([f.mirror_sum for f in FEATURES])


def mirror(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Rows of the mirrored market: prices inverted, bid and ask swapped, buyers and sellers swapped.

    Parameters
    ----------
    rows
        ``[..., 25]`` feature rows in schema order; the result has the same shape and dtype, and mirroring twice gives
        the rows back up to rounding. NaN stays NaN.
    """
    return (rows[..., MIRROR_ORDER] * MIRROR_SIGNS + MIRROR_SUMS).astype(rows.dtype)
