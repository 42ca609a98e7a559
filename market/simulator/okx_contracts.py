"""OKX's names and sizes around the exchange's instruments: ``BTC-USDT-SWAP``, and quantities counted in contracts.

A recording states no contract value. Here a contract is ten lots of the base asset, so that sizes are never the base
quantity by accident: with lots of 0.001 BTC, ``ctVal`` is 0.01 BTC and ``lotSz`` 0.1 contracts, as on the venue.
"""

import re
import zlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

import msgspec

from market.instruments import Instrument
from market.simulator.scan import split_symbol
from market.tape import Frame

LOTS_PER_CONTRACT: Final = 10
SUFFIX: Final = "-SWAP"
# pushes name their symbol "s", the answer that tells open interest "symbol"
_SYMBOL: Final = re.compile(rb'("s(?:ymbol)?"\s*:\s*)"[^"]*"')


def inst_id(symbol: str) -> str:
    """The venue's name of a perpetual swap; names that are the venue's already stay as they are.

    >>> inst_id("BTCUSDT"), inst_id("BTC-USDT-SWAP")
    ('BTC-USDT-SWAP', 'BTC-USDT-SWAP')
    """
    return symbol if "-" in symbol else "-".join(split_symbol(symbol)) + SUFFIX


def text(value: Decimal) -> str:
    """A decimal in plain notation, without padding.

    >>> text(Decimal("10.500")), text(Decimal("1E+2")), text(Decimal("-0.0"))
    ('10.5', '100', '0')
    """
    return format(value.normalize(), "f") if value else "0"


def number(value: float) -> str:
    """A float as the venue writes it, eight decimals at most."""
    return text(round(Decimal(repr(value)), 8))


class Contract(msgspec.Struct, frozen=True):
    """One swap: the instrument it is traded on, base units per contract, and the venue's numeric code for it."""

    instrument: Instrument
    ct_val: Decimal
    code: int

    @property
    def inst_id(self) -> str:
        return self.instrument.symbol

    @property
    def family(self) -> str:
        """Underlying, such as ``BTC-USDT``."""
        return f"{self.instrument.base}-{self.instrument.quote}"

    def size(self, lots: int) -> str:
        """Contracts of a number of lots."""
        return text(self.instrument.qty(lots) / self.ct_val)

    def contracts(self, qty: Decimal) -> str:
        """Contracts of a base quantity."""
        return text(qty / self.ct_val)

    def qty(self, size: Decimal) -> Decimal:
        """Base quantity of a number of contracts."""
        return size * self.ct_val

    def px(self, ticks: int) -> str:
        return text(self.instrument.px(ticks))


def contract_of(instrument: Instrument, ct_val: Decimal) -> Contract:
    """The contract of an instrument; its code is drawn from its name, the same every time.

    >>> from market.instruments import btcusdt_example
    >>> contract = contract_of(btcusdt_example(), Decimal("0.01"))
    >>> contract.size(25), contract.qty(Decimal("2.5"))
    ('2.5', Decimal('0.025'))
    """
    return Contract(instrument, ct_val, 10_000 + zlib.crc32(instrument.symbol.encode()) % 1_000_000)


def renamed_instrument(instrument: Instrument) -> Instrument:
    """The instrument under the venue's name. OKX sets no minimum value of an order."""
    return msgspec.structs.replace(instrument, venue="okx", symbol=inst_id(instrument.symbol), min_notional=Decimal(0))


def renamed_frames(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Recorded frames of Binance format under the venue's symbols, otherwise as recorded."""
    names: dict[str, tuple[str, bytes]] = {}
    for frame in frames:
        known = names.get(frame.symbol)
        if known is None:
            name = inst_id(frame.symbol)
            known = names[frame.symbol] = (name, b'\\1"' + name.encode() + b'"')
        yield Frame(frame.recv_ns, _SYMBOL.sub(known[1], frame.raw, count=1), known[0])
