"""Lanes of bars families: what they keep per bar length and window, laid out as they are written."""

from typing import Any, Final

import numpy as np

from features.parameters import PARAMETERS

FLAT: Final = PARAMETERS.flat
FLAT_SQUARED: Final = FLAT * FLAT
BPS: Final = 1e4
FAR: Final = 1e300
"""No log price is as high, nor its negative as low: what the extremes of no bars begin with."""
RECENT: Final = 64
"""Closed bars of which families of this kind keep numbers of their own: a power of two above their windows."""
STANDS: Final = "over closed bars (as many as there are): it stands until the next close"
RUNS: Final = "the running bar counts as the newest"
LOG_BARS: Final = "prices are log mids"


def lane_fields(windows: str, *names: str, rings: tuple[str, ...] = ()) -> Any:
    """``fields``: the windows, one float64 per lane for each of ``names``, ``RECENT`` per bar length for ``rings``."""

    def fields(lengths: int, count: int) -> list[tuple[Any, ...]]:
        lanes = [(name, np.float64, (lengths * count,)) for name in names]
        return [(windows, np.int64, (count,)), *lanes, *((name, np.float64, (lengths, RECENT)) for name in rings)]

    return fields
