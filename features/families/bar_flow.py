"""Volume of bars against their prices, the running bar counted as the newest: who took, at what mean price, where."""

from typing import Final

from features.bars import back
from features.compose import Compiled, jit
from features.families.technical import bar_fields_of, start_windows
from features.family import Family, Output
from features.parameters import PARAMETERS
from features.state import Lanes, Record

BPS: Final = 1e4
_FLAT: Final = PARAMETERS.flat


@jit
def place(high: float, low: float, close: float) -> float:
    """Where the close stands between low and high, -1 to 1; 0 when flat."""
    return (2.0 * close - high - low) / (high - low) if high - low > _FLAT else 0.0


@jit
def _close_sums(s: Record, length: int) -> None:
    """Sums over the closed bars that share a window with the next one."""
    bar, volume, flow, money, accumulated = 1, 0.0, 0.0, 0.0, 0.0
    for k in range(s.sum_bars.size):
        while bar < s.sum_bars[k] and bar <= s.bars[length]:
            slot = back(s, length, bar)
            high, low, close = s.highs[length, slot], s.lows[length, slot], s.closes[length, slot]
            volume += s.volumes[length, slot]
            flow += s.flows[length, slot]
            money += s.volumes[length, slot] * ((high + low + close) / 3.0)
            accumulated += s.volumes[length, slot] * place(high, low, close)
            bar += 1
        s.sum_volume[length, k], s.sum_flow[length, k] = volume, flow
        s.sum_money[length, k], s.sum_accumulated[length, k] = money, accumulated
        s.sum_unit[length, k] = 1.0 / volume if volume > 0.0 else 0.0


@jit
def _trade_sums(s: Record) -> None:
    """The volume of the running bar changed."""
    if s.quotes == 0:
        return
    for length in range(s.bars.size):
        for k in range(s.sum_bars.size):
            s.sum_unit[length, k] = 1.0 / (s.sum_volume[length, k] + s.bar_qty[length])


@jit
def _write_flow(s: Record, out: Lanes) -> None:
    count = s.sum_bars.size
    for length in range(s.bars.size):
        for k in range(count):
            out[length * count + k] = (s.sum_flow[length, k] + s.bar_flow[length]) * s.sum_unit[length, k]


@jit
def _write_vwap(s: Record, out: Lanes) -> None:
    count = s.sum_bars.size
    for length in range(s.bars.size):
        typical = (s.bar_high[length] + s.bar_low[length] + s.bar_close[length]) / 3.0
        running = s.bar_qty[length] * typical
        for k in range(count):
            unit = s.sum_unit[length, k]
            mean = (s.sum_money[length, k] + running) * unit
            out[length * count + k] = BPS * (s.bar_close[length] - mean) if unit > 0.0 else 0.0


@jit
def _write_accumulation(s: Record, out: Lanes) -> None:
    count = s.sum_bars.size
    for length in range(s.bars.size):
        running = s.bar_qty[length] * place(s.bar_high[length], s.bar_low[length], s.bar_close[length])
        for k in range(count):
            out[length * count + k] = (s.sum_accumulated[length, k] + running) * s.sum_unit[length, k]


_SUMS: Final = ("sum_volume", "sum_flow", "sum_money", "sum_accumulated", "sum_unit")


def _output(name: str, write: Compiled, unit: str, definition: str, source: str, suffix: str = "") -> Output:
    return Output(
        name=name,
        suffix=suffix,
        unit=unit,
        write=write,
        definition=definition,
        source=source,
        zero_rule="0 without volume in the window",
        mirror="sign",
    )


BAR_FLOW: Final = Family(
    name="bar_flow",
    group="volume",
    axis="bars",
    windows=(5, 10, 20),
    look_back=lambda window: window - 1,
    fields=bar_fields_of("sum_bars", *_SUMS),
    start=start_windows("sum_bars"),
    hooks={"close": _close_sums, "trade": _trade_sums},
    outputs=(
        _output(
            "bar_flow",
            _write_flow,
            "ratio in [-1, 1]",
            "signed quantity (side of the taker) over quantity, of the window's bars",
            "trade imbalance, Chordia, Roll and Subrahmanyam 2002",
        ),
        _output(
            "bar_vwap_distance",
            _write_vwap,
            "bps",
            "10,000 x (log mid - mean of (high + low + close) / 3 of the window's bars, weighted by volume), in logs",
            "VWAP of typical prices, Berkowitz, Logue and Noser 1988",
            "_bps",
        ),
        _output(
            "money_flow",
            _write_accumulation,
            "ratio in [-1, 1]",
            "mean of (2 close - high - low) / (high - low) of the window's bars (in logs, 0 where the range is below "
            f"{_FLAT:g}), weighted by volume",
            "Chaikin money flow, Achelis 1995",
        ),
    ),
)
