"""Every number the kernel computes with, once: names are spelled from it, states carry it, the id hashes it."""

from typing import Final

import msgspec

MS_NS: Final = 1_000_000
SECOND_NS: Final = 1_000 * MS_NS


class Parameters(msgspec.Struct, frozen=True):
    """``_ns`` are spans of the event clock, ``_bars`` counts of bars, ``_quotes`` counts of usable quotes.

    ``min_value`` and ``max_value`` bound usable prices and quantities. ``flat`` is the log range below which
    a price counts as constant, ``empty`` the decayed number of trades below which a window counts as empty.
    ``rebase_ns`` is how far the clock may be set back before it is followed rather than held.
    """

    warmup_quotes: int = 256
    rebase_ns: int = 60 * SECOND_NS
    min_value: float = 1e-18
    max_value: float = 1e18
    flat: float = 1e-10
    empty: float = 1e-9
    grid_ns: int = 10 * MS_NS
    return_ns: int = 1 * SECOND_NS
    return_quotes: int = 50
    acceleration_ns: int = 500 * MS_NS
    momentum_ns: int = 500 * MS_NS
    volatility_ns: int = 5 * SECOND_NS
    volume_ns: int = 1 * SECOND_NS
    volume_base_ns: int = 5 * SECOND_NS
    vwap_ns: int = 1 * SECOND_NS
    flow_ns: int = 100 * MS_NS
    spike_ns: int = 250 * MS_NS
    ofi_ns: int = 200 * MS_NS
    typical_ns: int = 30 * SECOND_NS
    bar_ns: int = 100 * MS_NS
    rsi_bars: int = 14
    macd_fast_bars: int = 12
    macd_slow_bars: int = 26
    macd_signal_bars: int = 9
    bollinger_bars: int = 20
    stochastic_bars: int = 14
    smooth_bars: int = 3
    williams_bars: int = 40
    atr_bars: int = 14


PARAMETERS: Final = Parameters()


def span(ns: int) -> str:
    """A span as the feature names spell it.

    >>> span(250_000_000), span(1_000_000_000)
    ('250ms', '1s')
    """
    return f"{ns // SECOND_NS}s" if ns % SECOND_NS == 0 else f"{ns // MS_NS}ms"
