"""Instruments of a recorded market, read off the recording: tick and lot are the smallest decimal steps seen in it.

A recording states no filters. Minimum quantity is one lot, minimum notional Binance's usual 5 quote units, and the
quote asset is the known suffix of the symbol.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from market.codecs.binance import decode
from market.errors import FrameError
from market.events import Depth, Event, Mark, Quote, Trade
from market.instruments import Instrument
from market.simulator.errors import SimulatorError
from market.tape import Frame, TapeFile, read_frames

QUOTES: Final = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD", "BTC", "ETH", "BNB", "EUR", "TRY")
SCAN_FRAMES: Final = 10_000
MIN_NOTIONAL: Final = Decimal(5)
MAX_LOTS: Final = 10_000_000_000


class Fees(msgspec.Struct, frozen=True):
    """Basis points of notional; Binance's own first tier by default."""

    maker_bps: Decimal = Decimal(2)
    taker_bps: Decimal = Decimal(5)


class Steps:
    """Most decimals seen in prices and in quantities. Trailing zeros are padding, not precision."""

    def __init__(self) -> None:
        self.px_decimals = self.qty_decimals = 0
        self.seen = False

    def add(self, px: str, qty: str) -> None:
        self.px_decimals = max(self.px_decimals, decimals(px))
        self.qty_decimals = max(self.qty_decimals, decimals(qty))
        self.seen = True

    def update(self, event: Event | None) -> None:
        """Learn from one event; mark prices are off the grid and teach nothing."""
        if isinstance(event, Depth):
            for px, qty in (*event.bids, *event.asks):
                self.add(px, qty)
        elif isinstance(event, Quote):
            self.add(plain(event.bid_px), plain(event.bid_qty))
            self.add(plain(event.ask_px), plain(event.ask_qty))
        elif isinstance(event, Trade) and event.is_market:
            self.add(plain(event.px), plain(event.qty))


def plain(value: float) -> str:
    """Shortest decimal of a float without an exponent.

    >>> plain(1e-08), plain(63943.9)
    ('0.00000001', '63943.9')
    """
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def decimals(text: str) -> int:
    """Digits after the point, padding zeros aside.

    >>> decimals("63943.90"), decimals("12"), decimals("0.000")
    (1, 0, 0)
    """
    _, _, fraction = text.partition(".")
    return len(fraction.rstrip("0"))


def split_symbol(symbol: str) -> tuple[str, str]:
    """(base, quote) of a symbol.

    >>> split_symbol("1000PEPEUSDT"), split_symbol("ABCXYZ")
    (('1000PEPE', 'USDT'), ('ABC', 'XYZ'))
    """
    quote = next((q for q in QUOTES if symbol.endswith(q) and len(symbol) > len(q)), symbol[-3:])
    return symbol[: -len(quote)], quote


def learn(frames: Iterable[Frame]) -> Steps:
    """Decimal steps of the first frames of one symbol."""
    steps = Steps()
    for seen, frame in enumerate(frames):
        if seen >= SCAN_FRAMES and steps.seen:
            break
        try:
            event = decode(frame.raw, frame.recv_ns)
        except FrameError:
            continue
        steps.update(None if isinstance(event, Mark) else event)
    return steps


def instruments(files: Iterable[TapeFile], fees: Fees) -> list[Instrument]:
    """One instrument per symbol on the tape.

    Raises
    ------
    SimulatorError
        A symbol shows no price at all.
    """
    steps: dict[str, Steps] = {}
    for file in files:
        learned, known = learn(read_frames(file)), steps.setdefault(file.symbol, Steps())
        known.px_decimals = max(known.px_decimals, learned.px_decimals)
        known.qty_decimals = max(known.qty_decimals, learned.qty_decimals)
        known.seen = known.seen or learned.seen
    return [_instrument(symbol, learned, fees) for symbol, learned in sorted(steps.items())]


def _instrument(symbol: str, steps: Steps, fees: Fees) -> Instrument:
    if not steps.seen:
        raise SimulatorError(
            f"the tape of {symbol} shows no price", "pass a tape with depth, bookTicker or trade frames"
        )
    base, quote = split_symbol(symbol)
    return Instrument(
        venue="binanceusdm",
        symbol=symbol,
        base=base,
        quote=quote,
        tick_size=Decimal(1).scaleb(-steps.px_decimals),
        lot_size=Decimal(1).scaleb(-steps.qty_decimals),
        min_lots=1,
        max_lots=MAX_LOTS,
        min_notional=MIN_NOTIONAL,
        maker_fee_bps=fees.maker_bps,
        taker_fee_bps=fees.taker_bps,
    )
