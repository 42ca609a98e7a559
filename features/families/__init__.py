"""The families of the bank, in the order of its columns."""

from typing import Final

from features.families.bar_flow import BAR_FLOW
from features.families.bar_patterns import AUTOCORRELATION, ENTROPY, VARIANCE_RATIO
from features.families.bar_prices import CMO, LINE, ROC, SMA, TRIX
from features.families.bar_volatility import REACHES, RETURNS
from features.families.bar_volume import BAR_VOLUME
from features.families.calendar import CALENDAR
from features.families.carry import BASIS, CARRY
from features.families.channels import AROON, CHANNEL, KELTNER
from features.families.depth import DEPTH
from features.families.depth_flow import DEPTH_FLOW
from features.families.deviation import DEVIATION
from features.families.directional import CCI, DMI
from features.families.impact import ILLIQUIDITY, IMPACT, SPREAD_PAID, TAKERS
from features.families.intensity import INTENSITY
from features.families.levels import LEVEL, TOUCH_SHARE, WITHIN
from features.families.moves import MOVES
from features.families.now import NOW
from features.families.positions import INTEREST, LIQUIDATIONS
from features.families.prices import LAGGED, LAGGED_QUOTES, MOMENTUM, VOLATILITY
from features.families.profile import PROFILE
from features.families.quoting import QUOTE_RATE, QUOTING
from features.families.ranges import ATR, BOLLINGER, STOCHASTIC, WILLIAMS
from features.families.reference import REFERENCE, REFERENCE_NOW
from features.families.reference_bars import REFERENCE_BARS
from features.families.tape import SIZES, TAPE
from features.families.technical import MACD, RSI
from features.families.top import OFI
from features.families.touch import TOUCH
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
    TAPE,
    SIZES,
    INTENSITY,
    ILLIQUIDITY,
    IMPACT,
    SPREAD_PAID,
    TAKERS,
    QUOTING,
    QUOTE_RATE,
    TOUCH,
    DEPTH,
    LEVEL,
    WITHIN,
    TOUCH_SHARE,
    DEPTH_FLOW,
    BAR_FLOW,
    BAR_VOLUME,
    PROFILE,
)
