"""The families of the bank, in the order of its columns."""

from typing import Final

from features.families.now import NOW
from features.families.prices import LAGGED, LAGGED_QUOTES, MOMENTUM, VOLATILITY
from features.families.ranges import ATR, BOLLINGER, STOCHASTIC, WILLIAMS
from features.families.technical import MACD, RSI
from features.families.top import OFI
from features.families.trades import FLOW, VOLUME, VWAP
from features.family import Family

FAMILIES: Final[tuple[Family, ...]] = (
    LAGGED,
    LAGGED_QUOTES,
    MOMENTUM,
    VOLATILITY,
    VOLUME,
    VWAP,
    FLOW,
    NOW,
    OFI,
    RSI,
    MACD,
    BOLLINGER,
    STOCHASTIC,
    WILLIAMS,
    ATR,
)
