"""The 25 rows of the schema: what each feature is, exactly. ``features.schema`` is the door to them.

Terms used by every definition:

- *log mid* is ``(ln bid_px + ln ask_px) / 2``. Price quantities are differences of logs times 10,000, in basis points,
  so a market and its mirror image (prices inverted, sides swapped) give mirrored rows.
- *decayed over tau*: an observation of age ``a`` (event clock) weighs ``exp(-a / tau)``.
- *bar*: a cell of the event clock that held at least one usable quote, made of log mids; a cell without a quote is no
  bar. The running bar counts as the newest of every bar window, so technical values move with each quote.
- *typical trade* (q): decayed mean quantity of a trade. *typical size*, *typical spread*: decayed means over quotes of
  ``(bid_qty + ask_qty) / 2`` and ``ln(ask_px / bid_px)``. Sizes and spreads enter relative to these, because their
  level tells symbols apart (by price and tick size) and not what comes next.
- *smoothed* is Wilder's: each bar weighs ``1 / min(bars seen, window)``. An *EMA*'s bar weighs ``2 / (window + 1)``.
"""

from typing import Final

import msgspec

from features.parameters import PARAMETERS as P
from features.parameters import span


class Feature(msgspec.Struct, frozen=True):
    """One column. ``zero_rule`` says what stands there when the definition has nothing to divide or to compare with.

    ``warmup`` is what must have been seen before the value has its whole window; earlier rows use what there is.
    ``mirror`` is its value in the mirrored market: ``"same"``, ``"sign"`` (``mirror_sum`` minus the value) or the name
    of the feature it swaps places with.
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


_RETURN, _STEP, _GRID, _BAR = span(P.return_ns), span(P.acceleration_ns), span(P.grid_ns), span(P.bar_ns)
_MOMENTUM, _VOLATILITY, _VWAP = span(P.momentum_ns), span(P.volatility_ns), span(P.vwap_ns)
_VOLUME, _VOLUME_BASE, _FLOW, _SPIKE = span(P.volume_ns), span(P.volume_base_ns), span(P.flow_ns), span(P.spike_ns)
_OFI, _TYPICAL, _D = span(P.ofi_ns), span(P.typical_ns), P.smooth_bars


def _lag(window: str) -> str:
    return f"log mid of the last quote in or before the {_GRID} cell that lies {window} before the current cell"


def _bars(count: int) -> str:
    return f"{count} bars of {_BAR}"


_OLDEST: Final = "the oldest cell stands in while none is old enough"
_NO_TRADES: Final = f"0 while fewer than {P.empty:g} decayed trades are left"
_SIZED: Final = "never: a quote without two sizes is no decision point"
_LOCKED: Final = f"R is 0 in a locked book and for typical spreads below {P.flat:g}; crossed gives no row"
_FLAT: Final = f"while the log range is below {P.flat:g}"

# A table, read across: name, group, unit, window / warm-up, zero rule / definition / source, mirror.
# fmt: off
FEATURES: Final = (
    Feature(f"return_{_RETURN}_bps", "price", "bps", _RETURN, _RETURN, _OLDEST,
            f"10,000 x (log mid - {_lag(_RETURN)})",
            "log return", "sign"),
    Feature(f"return_{P.return_quotes}q_bps", "price", "bps", f"{P.return_quotes} quotes", f"{P.return_quotes} quotes",
            "never: fewer quotes give no row",
            f"10,000 x (log mid - log mid {P.return_quotes} usable quotes before)",
            "log return on the quote clock", "sign"),
    Feature(f"momentum_{_MOMENTUM}_bps", "price", "bps", f"tau {_MOMENTUM}", _MOMENTUM, "0 at the first quote",
            "10,000 x (log mid - its time-weighted mean decayed over tau)",
            "distance from an exponential moving average in uneven time, Eckner 2012", "sign"),
    Feature(f"volatility_{_VOLATILITY}_bps", "price", "bps", f"tau {_VOLATILITY}", _VOLATILITY, "0 at constant price",
            "10,000 x square root of the squared quote-to-quote changes of log mid, summed and decayed over tau",
            "realized volatility, Andersen and Bollerslev 1998"),
    Feature(f"acceleration_{_STEP}_bps", "price", "bps", f"2 x {_STEP}", f"2 x {_STEP}", _OLDEST,
            f"10,000 x (log mid - 2 a + b); a = {_lag(_STEP)}; b the same at twice that lag",
            "second difference", "sign"),
    Feature(f"volume_{_VOLUME}", "volume", "log ratio", f"tau {_VOLUME}", _TYPICAL, _NO_TRADES,
            f"ln(1 + V / q); V traded quantity decayed over tau, q typical trade over {_TYPICAL}",
            "relative volume"),
    Feature(f"volume_change_{_VOLUME}", "volume", "log ratio", f"tau {_VOLUME} against {_VOLUME_BASE}", _VOLUME_BASE,
            _NO_TRADES,
            f"ln((V + q) / (E + q)); V traded quantity over {_VOLUME}, E what the {_VOLUME_BASE} rate expects of V",
            "ratio of rates with a prior of one typical trade"),
    Feature(f"vwap_distance_{_VWAP}_bps", "volume", "bps", f"tau {_VWAP}", _VWAP, _NO_TRADES,
            "10,000 x (log mid - quantity-weighted mean of log trade prices decayed over tau)",
            "VWAP, Berkowitz, Logue and Noser 1988, geometric and decayed", "sign"),
    Feature(f"flow_{_FLOW}", "volume", "ratio in (-1, 1)", f"tau {_FLOW}", _FLOW, _NO_TRADES,
            "sum of side x quantity / (sum of quantity + q), sums decayed over tau; side is the taker's",
            "trade imbalance, Chordia, Roll and Subrahmanyam 2002, with a prior of one typical trade", "sign"),
    Feature(f"volume_spike_{_SPIKE}", "volume", "log ratio", f"tau {_SPIKE} against {_TYPICAL}", _TYPICAL, _NO_TRADES,
            f"ln((V + q) / (E + q)); V traded quantity decayed over {_SPIKE}, E what the {_TYPICAL} rate expects of V",
            "ratio of rates with a prior of one typical trade"),
    Feature("bid_size", "order_book", "log ratio", f"now against tau {_TYPICAL}", _TYPICAL, _SIZED,
            "ln(bid_qty / typical size)", "best bid size", "ask_size"),
    Feature("ask_size", "order_book", "log ratio", f"now against tau {_TYPICAL}", _TYPICAL, _SIZED,
            "ln(ask_qty / typical size)", "best ask size", "bid_size"),
    Feature("spread_relative", "order_book", "log ratio", f"now against tau {_TYPICAL}", _TYPICAL, _LOCKED,
            "ln((1 + R) / 2); R = ln(ask_px / bid_px) / typical spread", "quoted spread over its usual size"),
    Feature("imbalance", "order_book", "ratio in (-1, 1)", "now", "1 quote", _SIZED,
            "(bid_qty - ask_qty) / (bid_qty + ask_qty)", "queue imbalance, Gould and Bonart 2016", "sign"),
    Feature("microprice_relative", "order_book", "typical spreads", f"now against tau {_TYPICAL}", _TYPICAL, _LOCKED,
            "(log microprice - log mid) / typical spread = R x imbalance / 2",
            "mid weighted by the sizes of the opposite sides, Stoikov 2018, geometric", "sign"),
    Feature(f"ofi_{_OFI}", "order_book", "ratio in (-1, 1)", f"tau {_OFI}", _OFI, "0 without book changes",
            f"sum of e / (sum of |e| + typical size over {_TYPICAL}), sums decayed over tau; e what a quote adds to "
            "bids and takes from asks",
            "e(n) of Cont, Kukanov and Stoikov 2014, normalised", "sign"),
    Feature(f"rsi_{P.rsi_bars}", "technical", "0 to 100", _bars(P.rsi_bars), _bars(P.rsi_bars), f"50 {_FLAT}",
            "100 x U / (U + D); U and D the smoothed rises and falls of bar closes",
            "Wilder 1978", "sign", 100.0),
    Feature(f"macd_{P.macd_fast_bars}_{P.macd_slow_bars}_bps", "technical", "bps", _bars(P.macd_slow_bars),
            _bars(P.macd_slow_bars), "0 at constant price",
            "10,000 x (fast - slow EMA of bar closes), both begun at the first close",
            "Appel 1979, on log prices", "sign"),
    Feature(f"macd_signal_{P.macd_signal_bars}_bps", "technical", "bps", _bars(P.macd_signal_bars),
            _bars(P.macd_slow_bars + P.macd_signal_bars), "0 at constant price",
            "EMA of the MACD over bars, begun at 0",
            "Appel 1979", "sign"),
    Feature(f"bollinger_position_{P.bollinger_bars}", "technical", "ratio, 1 on the upper band",
            _bars(P.bollinger_bars), _bars(P.bollinger_bars), f"0 {_FLAT}",
            "(log mid - m) / (2 s); m and s mean and population deviation of bar closes",
            "Bollinger 2001", "sign"),
    Feature(f"bollinger_width_{P.bollinger_bars}_bps", "technical", "bps", _bars(P.bollinger_bars),
            _bars(P.bollinger_bars), "0 at constant price",
            "10,000 x 4 s; s as in the position",
            "Bollinger 2001"),
    Feature(f"stochastic_k_{P.stochastic_bars}_{_D}", "technical", "0 to 100", _bars(P.stochastic_bars + _D - 1),
            _bars(P.stochastic_bars + _D - 1), f"raw K is 50 {_FLAT} and in the first bar",
            f"mean of raw K over {_D} bars; raw K = 100 x (log mid - low) / (high - low) over {P.stochastic_bars} bars",
            "Lane 1984, slow K", "sign", 100.0),
    Feature(f"stochastic_d_{_D}", "technical", "0 to 100", _bars(P.stochastic_bars + 2 * _D - 2),
            _bars(P.stochastic_bars + 2 * _D - 2), "as K",
            f"mean of K over {_D} bars",
            "Lane 1984", "sign", 100.0),
    Feature(f"williams_r_{P.williams_bars}", "technical", "-100 to 0", _bars(P.williams_bars), _bars(P.williams_bars),
            f"-50 {_FLAT} and in the first bar",
            "100 x (log mid - high) / (high - low) over the window",
            "Williams 1973", "sign", -100.0),
    Feature(f"atr_{P.atr_bars}_bps", "technical", "bps", _bars(P.atr_bars), _bars(P.atr_bars), "0 at constant price",
            "10,000 x smoothed true range of bars, in logs",
            "Wilder 1978"),
)
# fmt: on
