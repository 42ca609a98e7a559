"""The top of the book over time: means of what stood, and how often it was quoted."""

from typing import Final

import numpy as np

from features.clock import faded
from features.compose import Compiled, jit
from features.families.now import relative_spread, top_imbalance, usual_size
from features.families.tape import MEMORIES
from features.family import Family, Fields, Output, Window, float_fields
from features.parameters import PARAMETERS, span
from features.state import Lanes, Record, State

_TYPICAL_NS: Final = float(PARAMETERS.typical_ns)
STOOD: Final = ("imbalance", "spread", "microprice", "bid_size", "ask_size")


@jit
def _move_means(s: Record) -> None:
    """Time-weighted: what stands counts for as long as it stood."""
    for k in range(s.keep.size):
        keep = s.keep[k]
        new = 1.0 - keep
        s.mean_imbalance[k] = faded(s.mean_imbalance[k], keep) + s.now_imbalance * new
        s.mean_spread[k] = faded(s.mean_spread[k], keep) + s.now_spread * new
        s.mean_microprice[k] = faded(s.mean_microprice[k], keep) + s.now_microprice * new
        s.mean_bid_size[k] = faded(s.mean_bid_size[k], keep) + s.now_bid_size * new
        s.mean_ask_size[k] = faded(s.mean_ask_size[k], keep) + s.now_ask_size * new


@jit
def _take_standing(s: Record) -> None:
    spread, size = relative_spread(s), usual_size(s)
    s.now_imbalance = top_imbalance(s)
    s.now_microprice = 0.5 * spread * s.now_imbalance
    s.now_spread = (spread - 1.0) / (spread + 1.0)
    s.now_bid_size = (s.bid_qty - size) / (s.bid_qty + size)
    s.now_ask_size = (s.ask_qty - size) / (s.ask_qty + size)
    if s.quotes == 0:
        s.mean_imbalance[:], s.mean_spread[:] = s.now_imbalance, s.now_spread
        s.mean_microprice[:] = s.now_microprice
        s.mean_bid_size[:], s.mean_ask_size[:] = s.now_bid_size, s.now_ask_size


@jit
def _write_imbalance_mean(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.mean_imbalance[k]


@jit
def _write_imbalance_change(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.now_imbalance - s.mean_imbalance[k]


@jit
def _write_spread_mean(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.mean_spread[k]


@jit
def _write_microprice_mean(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.mean_microprice[k]


@jit
def _write_bid_change(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.now_bid_size - s.mean_bid_size[k]


@jit
def _write_ask_change(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        out[k] = s.now_ask_size - s.mean_ask_size[k]


def _quoting_fields(count: int) -> Fields:
    scalars: Fields = [(f"now_{name}", np.float64) for name in STOOD]
    return [*scalars, *float_fields(*(f"mean_{name}" for name in STOOD))(count)]


_MEAN: Final = "time-weighted mean, decayed over tau, the first value standing for all time before,"
_HELD: Final = "as of its quote, until the next"


def _mean(name: str, write: Compiled, what: str, unit: str, source: str, mirror: str) -> Output:
    return Output(
        name=name,
        unit=unit,
        write=write,
        definition=f"{_MEAN} of {what} ({_HELD})",
        source=source,
        zero_rule="the value itself at the first quote",
        mirror=mirror,
    )


def _change(name: str, write: Compiled, what: str, source: str, mirror: str) -> Output:
    return Output(
        name=name,
        unit="ratio in (-2, 2)",
        write=write,
        definition=f"{what} less its {_MEAN} ({_HELD})",
        source=source,
        zero_rule="0 at the first quote",
        mirror=mirror,
    )


_GOULD: Final = "queue imbalance, Gould and Bonart 2016"
_MICRO: Final = "Stoikov 2018, geometric"

QUOTING: Final = Family(
    name="quoting",
    group="order_book",
    axis="tau",
    windows=MEMORIES,
    fields=_quoting_fields,
    hooks={"time": _move_means, "quote": _take_standing},
    outputs=(
        _mean("imbalance_mean", _write_imbalance_mean, "imbalance", "ratio in (-1, 1)", _GOULD, "sign"),
        _change("imbalance_change", _write_imbalance_change, "imbalance", _GOULD, "sign"),
        _mean("spread_mean", _write_spread_mean, "spread_relative", "ratio in [-1, 1)", "quoted spread", "same"),
        _mean("microprice_mean", _write_microprice_mean, "microprice_relative", "typical spreads", _MICRO, "sign"),
        _change("bid_size_change", _write_bid_change, "bid_size", "best bid size", "ask_size_change"),
        _change("ask_size_change", _write_ask_change, "ask_size", "best ask size", "bid_size_change"),
    ),
)


@jit
def _fade_quotes(s: Record) -> None:
    for k in range(s.keep.size):
        s.quote_count[k] = faded(s.quote_count[k], s.keep[k])


@jit
def _count_quote(s: Record) -> None:
    for k in range(s.quote_count.size):
        s.quote_count[k] += 1.0


@jit
def _write_rate(s: Record, out: Lanes) -> None:
    for k in range(out.size):
        expected = s.usual_quotes * s.quote_share[k]
        out[k] = (s.quote_count[k] - expected) / (s.quote_count[k] + expected)


def _start_rate(state: State, taus: tuple[Window, ...]) -> None:
    state["quote_share"] = np.array(taus) / _TYPICAL_NS


QUOTE_RATE: Final = Family(
    name="quote_rate",
    group="order_book",
    axis="tau",
    windows=MEMORIES,
    fields=float_fields("quote_count", "quote_share"),
    start=_start_rate,
    hooks={"time": _fade_quotes, "quote": _count_quote},
    outputs=(
        Output(
            name="quote_rate",
            unit="ratio in (-1, 1)",
            write=_write_rate,
            definition="(N - E) / (N + E); N counts usable quotes, decayed over tau, E is what the rate of the last "
            f"{span(PARAMETERS.typical_ns)} (decayed) expects of N",
            source="relative difference of rates",
            zero_rule="never: the quote itself counts",
        ),
    ),
)
