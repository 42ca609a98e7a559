"""The 25 rows of the schema: what each feature is, exactly. ``features.schema`` is the door to them.

Terms used by every definition:

- *log mid* is ``(ln bid_px + ln ask_px) / 2``. Price quantities are differences of logs times 10,000, in basis points, so a
  market and its mirror image (prices inverted, sides swapped) give mirrored rows.
- *decayed over tau*: an observation of age ``a`` (event clock) weighs ``exp(-a / tau)``.
- *bar*: a cell of the event clock that held at least one usable quote, made of log mids; a cell without a quote is no bar.
  The running bar counts as the newest of every bar window, so technical values move with each quote.
- *typical trade*, *typical size*: decayed mean quantity of a trade, and of a quote's ``(bid_qty + ask_qty) / 2``.
"""

from typing import Final

import msgspec

from features.parameters import PARAMETERS as P
from features.parameters import span


class Feature(msgspec.Struct, frozen=True):
    """One column. ``zero_rule`` says what stands there when the definition has nothing to divide or to compare with.

    ``warmup`` is what must have been seen before the value has its whole window; earlier rows use what there is.
    ``mirror`` is its value in the mirrored market: ``"same"``, ``"sign"`` (``mirror_sum`` minus the value) or the name of
    the feature it swaps places with.
    """

    name: str
    group: str
    unit: str
    window: str
    warmup: str
    zero_rule: str
    definition: str
    source: str
    mirror: str = "same"
    mirror_sum: float = 0.0


RETURN_FAST, RETURN_SLOW, STEP = span(P.return_fast_ns), span(P.return_slow_ns), span(P.acceleration_ns)
MOMENTUM, VOLATILITY, VOLUME, VOLUME_BASE = (
    span(ns) for ns in (P.momentum_ns, P.volatility_ns, P.volume_ns, P.volume_base_ns)
)
VWAP, FLOW, SPIKE, OFI, TYPICAL = (span(ns) for ns in (P.vwap_ns, P.flow_ns, P.spike_ns, P.ofi_ns, P.typical_ns))
BAR, K, D = span(P.bar_ns), P.stochastic_bars, P.smooth_bars


def _lag(window: str) -> str:
    return f"log mid of the last quote in or before the {span(P.grid_ns)} cell lying {window} before the current cell"


def _bars(count: int) -> str:
    return f"{count} bars of {BAR}"


PRICE: Final = (
    Feature(
        f"return_{RETURN_FAST}_bps",
        "price",
        "bps",
        RETURN_FAST,
        RETURN_FAST,
        "the oldest cell stands in while none is old enough",
        f"10,000 x (log mid - {_lag(RETURN_FAST)})",
        "log return",
        "sign",
    ),
    Feature(
        f"return_{RETURN_SLOW}_bps",
        "price",
        "bps",
        RETURN_SLOW,
        RETURN_SLOW,
        "the oldest cell stands in while none is old enough",
        f"10,000 x (log mid - {_lag(RETURN_SLOW)})",
        "log return",
        "sign",
    ),
    Feature(
        f"momentum_{MOMENTUM}_bps",
        "price",
        "bps",
        f"tau {MOMENTUM}",
        MOMENTUM,
        "0 at the first quote",
        "10,000 x (log mid - its time-weighted mean decayed over tau)",
        "distance from an exponential moving average of a step function, Eckner 2012",
        "sign",
    ),
    Feature(
        f"volatility_{VOLATILITY}_bps",
        "price",
        "bps",
        f"tau {VOLATILITY}",
        VOLATILITY,
        "0 at constant price",
        "10,000 x square root of the squared quote-to-quote changes of log mid, summed and decayed over tau",
        "realized volatility, Andersen and Bollerslev 1998",
    ),
    Feature(
        f"acceleration_{STEP}_bps",
        "price",
        "bps",
        f"2 x {STEP}",
        f"2 x {STEP}",
        "the oldest cell stands in while none is old enough",
        f"10,000 x (log mid - 2 a + b); a = {_lag(STEP)}, b the same for twice that lag",
        "second difference",
        "sign",
    ),
)

VOLUME_ROWS: Final = (
    Feature(
        f"volume_{VOLUME}",
        "volume",
        "ratio",
        f"tau {VOLUME}",
        TYPICAL,
        "0 without trades",
        f"ln(1 + traded quantity decayed over tau / typical trade over {TYPICAL})",
        "log of relative volume",
    ),
    Feature(
        f"volume_change_{VOLUME}",
        "volume",
        "ratio",
        f"tau {VOLUME} against {VOLUME_BASE}",
        VOLUME_BASE,
        "0 without trades",
        f"ln((V + q) / (E + q)); V traded quantity over {VOLUME}, E what the {VOLUME_BASE} rate expects of V, q typical trade",
        "log ratio of rates with one trade of prior",
    ),
    Feature(
        f"vwap_distance_{VWAP}_bps",
        "volume",
        "bps",
        f"tau {VWAP}",
        VWAP,
        "0 without trades",
        "10,000 x (log mid - quantity-weighted mean of log trade prices decayed over tau)",
        "VWAP, Berkowitz, Logue and Noser 1988, geometric and decayed",
        "sign",
    ),
    Feature(
        f"flow_{FLOW}",
        "volume",
        "ratio in (-1, 1)",
        f"tau {FLOW}",
        FLOW,
        "0 without trades",
        "sum of side x quantity / (sum of quantity + one typical trade), both decayed over tau; side is the taker's",
        "trade imbalance, Chordia, Roll and Subrahmanyam 2002",
        "sign",
    ),
    Feature(
        f"volume_spike_{SPIKE}",
        "volume",
        "ratio",
        f"tau {SPIKE} against {TYPICAL}",
        TYPICAL,
        "0 without trades",
        f"ln((V + q) / (E + q)); V traded quantity over {SPIKE}, E what the {TYPICAL} rate expects of V, q typical trade",
        "log ratio of rates with one trade of prior",
    ),
)

BOOK: Final = (
    Feature(
        "bid_size",
        "order_book",
        "ratio",
        f"now against tau {TYPICAL}",
        TYPICAL,
        "none: a quote without both sizes is no decision point",
        "ln(bid_qty / typical size)",
        "best bid size",
        "ask_size",
    ),
    Feature(
        "ask_size",
        "order_book",
        "ratio",
        f"now against tau {TYPICAL}",
        TYPICAL,
        "none: a quote without both sizes is no decision point",
        "ln(ask_qty / typical size)",
        "best ask size",
        "bid_size",
    ),
    Feature(
        "spread_bps",
        "order_book",
        "bps",
        "now",
        "1 quote",
        "0 in a locked book; a crossed one is no decision point",
        "10,000 x ln(ask_px / bid_px)",
        "quoted spread",
    ),
    Feature(
        "imbalance",
        "order_book",
        "ratio in (-1, 1)",
        "now",
        "1 quote",
        "none: both sizes are above 0",
        "(bid_qty - ask_qty) / (bid_qty + ask_qty)",
        "queue imbalance, Gould and Bonart 2016",
        "sign",
    ),
    Feature(
        "microprice_bps",
        "order_book",
        "bps",
        "now",
        "1 quote",
        "0 in a locked book",
        "10,000 x (log microprice - log mid) = spread_bps x imbalance / 2",
        "size-weighted mid of opposite sides, Stoikov 2018 (first order), geometric",
        "sign",
    ),
    Feature(
        f"ofi_{OFI}",
        "order_book",
        "ratio",
        f"tau {OFI}",
        OFI,
        "0 without book changes",
        f"order-flow imbalance e(n) decayed over tau / typical size over {TYPICAL}",
        "Cont, Kukanov and Stoikov 2014, eq. 2",
        "sign",
    ),
)

TECHNICAL: Final = (
    Feature(
        f"rsi_{P.rsi_bars}",
        "technical",
        "0 to 100",
        _bars(P.rsi_bars),
        _bars(P.rsi_bars),
        "50 at constant price",
        "100 x U / (U + D), U and D the smoothed rises and falls of bar closes (weight 1 / min(bars seen, window))",
        "Wilder 1978",
        "sign",
        100.0,
    ),
    Feature(
        f"macd_{P.macd_fast_bars}_{P.macd_slow_bars}_bps",
        "technical",
        "bps",
        _bars(P.macd_slow_bars),
        _bars(P.macd_slow_bars),
        "0 at constant price",
        "10,000 x (fast - slow EMA of bar closes), weight 2 / (window + 1), seeded with the first close",
        "Appel 1979, on log prices",
        "sign",
    ),
    Feature(
        f"macd_signal_{P.macd_signal_bars}_bps",
        "technical",
        "bps",
        _bars(P.macd_signal_bars),
        _bars(P.macd_slow_bars + P.macd_signal_bars),
        "0 at constant price",
        "EMA of the MACD, weight 2 / (window + 1), seeded with 0",
        "Appel 1979",
        "sign",
    ),
    Feature(
        f"bollinger_position_{P.bollinger_bars}",
        "technical",
        "ratio, 1 at the upper band",
        _bars(P.bollinger_bars),
        _bars(P.bollinger_bars),
        "0 at constant price",
        "(log mid - m) / (2 s), m and s mean and population deviation of the bar closes",
        "Bollinger 2001",
        "sign",
    ),
    Feature(
        f"bollinger_width_{P.bollinger_bars}_bps",
        "technical",
        "bps",
        _bars(P.bollinger_bars),
        _bars(P.bollinger_bars),
        "0 at constant price",
        "10,000 x 4 s, s as in the position",
        "Bollinger 2001",
    ),
    Feature(
        f"stochastic_k_{K}_{D}",
        "technical",
        "0 to 100",
        _bars(K + D - 1),
        _bars(K + D - 1),
        "raw K is 50 at constant price and before the first bar",
        f"mean of raw K over {D} bars; raw K = 100 x (log mid - low) / (high - low) over {K} bars",
        "Lane 1984, slow K",
        "sign",
        100.0,
    ),
    Feature(
        f"stochastic_d_{D}",
        "technical",
        "0 to 100",
        _bars(K + 2 * D - 2),
        _bars(K + 2 * D - 2),
        "50 at constant price",
        f"mean of K over {D} bars",
        "Lane 1984",
        "sign",
        100.0,
    ),
    Feature(
        f"williams_r_{P.williams_bars}",
        "technical",
        "-100 to 0",
        _bars(P.williams_bars),
        _bars(P.williams_bars),
        "-50 at constant price",
        "100 x (log mid - high) / (high - low) over the window",
        "Williams 1973",
        "sign",
        -100.0,
    ),
    Feature(
        f"atr_{P.atr_bars}_bps",
        "technical",
        "bps",
        _bars(P.atr_bars),
        _bars(P.atr_bars),
        "0 at constant price",
        "10,000 x smoothed true log range of bars (weight 1 / min(bars seen, window))",
        "Wilder 1978",
    ),
)

FEATURES: Final = PRICE + VOLUME_ROWS + BOOK + TECHNICAL
