"""Every number the kernel computes with, once: names are spelled from it, states carry it, the id hashes it."""

from typing import Final, Literal

import msgspec

from features.served import SERVED, ServedError, served_file

MS_NS: Final = 1_000_000
SECOND_NS: Final = 1_000 * MS_NS
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 60 * MINUTE_NS


class Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``_ns`` are spans of the event clock, ``_quotes`` counts of usable quotes.

    ``decide`` says which quotes are decision points: every usable one, those that change the top of the book, or the
    first after every ``decide_ns``. ``min_value`` and ``max_value`` bound usable prices and quantities. ``flat`` is the
    log range below which a price counts as constant, ``empty`` the decayed number of trades below which a window counts
    as empty. ``rebase_ns`` is how far the clock may be set back before it is followed rather than held. ``typical_ns``
    is the memory of what is usual (a trade, a size, a spread).
    """

    decide: Literal["quote", "change", "span"] = "quote"
    decide_ns: int = 10 * MS_NS
    warmup_quotes: int = 256
    rebase_ns: int = 60 * SECOND_NS
    min_value: float = 1e-18
    max_value: float = 1e18
    flat: float = 1e-10
    empty: float = 1e-9
    typical_ns: int = 30 * SECOND_NS
    fine_cell_ns: int = 10 * MS_NS
    coarse_cell_ns: int = 1 * SECOND_NS
    longest_fine_lag_ns: int = 10 * SECOND_NS


def _parameters() -> Parameters:
    try:
        return msgspec.convert(SERVED.parameters, Parameters)
    except msgspec.ValidationError as error:
        raise ServedError(
            f"{served_file()}: parameters: {error}", "see features/parameters.py for what there is"
        ) from error


PARAMETERS: Final = _parameters()

TAUS: Final = (
    *(ms * MS_NS for ms in (50, 100, 200, 250, 500)),
    *(s * SECOND_NS for s in (1, 2, 5, 10, 30)),
    *(m * MINUTE_NS for m in (1, 2, 5, 10, 30)),
    HOUR_NS,
)
"""Memories of decayed sums."""

LAGS: Final = (
    *(ms * MS_NS for ms in (10, 20, 50, 100, 200, 500)),
    *(s * SECOND_NS for s in (1, 2, 5, 10, 30)),
    *(m * MINUTE_NS for m in (1, 2, 5, 10, 30)),
    HOUR_NS,
)
"""Looks back by the event clock."""

QUOTE_LAGS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Looks back in usable quotes."""

BAR_LENGTHS: Final = (100 * MS_NS, 1 * SECOND_NS, 10 * SECOND_NS, 1 * MINUTE_NS)
"""Lengths of bars: cells of the event clock."""


def span(ns: int) -> str:
    """A span as the feature names spell it.

    >>> span(250_000_000), span(1_000_000_000), span(120_000_000_000), span(3_600_000_000_000)
    ('250ms', '1s', '2m', '1h')
    """
    for unit_ns, unit in ((HOUR_NS, "h"), (MINUTE_NS, "m"), (SECOND_NS, "s"), (MS_NS, "ms")):
        if ns % unit_ns == 0:
            return f"{ns // unit_ns}{unit}"
    return f"{ns}ns"
