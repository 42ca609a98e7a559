"""The families of the bank, in the order of its columns."""

from typing import Final

from features.families.bar_patterns import AUTOCORRELATION, ENTROPY, VARIANCE_RATIO
from features.families.bar_prices import CMO, LINE, ROC, SMA, TRIX
from features.families.bar_volatility import REACHES, RETURNS
from features.families.calendar import CALENDAR
from features.families.carry import BASIS, CARRY
from features.families.channels import AROON, CHANNEL, KELTNER
from features.families.deviation import DEVIATION
from features.families.directional import CCI, DMI
from features.families.moves import MOVES
from features.families.now import NOW
from features.families.positions import INTEREST, LIQUIDATIONS
from features.families.prices import LAGGED, LAGGED_QUOTES, MOMENTUM, VOLATILITY
from features.families.ranges import ATR, BOLLINGER, STOCHASTIC, WILLIAMS
from features.families.reference import REFERENCE, REFERENCE_NOW
from features.families.reference_bars import REFERENCE_BARS
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
    REFERENCE,
    REFERENCE_NOW,
    REFERENCE_BARS,
    CARRY,
    BASIS,
    INTEREST,
    LIQUIDATIONS,
    CALENDAR,
    MOVES,
    DEVIATION,
    ROC,
    SMA,
    TRIX,
    CMO,
    LINE,
    CHANNEL,
    AROON,
    KELTNER,
    RETURNS,
    REACHES,
    AUTOCORRELATION,
    VARIANCE_RATIO,
    ENTROPY,
    DMI,
    CCI,
)
