"""Building the Bybit face on a tape of Bybit's own, or on one in Binance's format: one market, told Bybit's way."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from market.codecs import bybit
from market.errors import FrameError
from market.events import Depth, Event, Mark
from market.instruments import Instrument
from market.simulator import scan
from market.simulator.binance_face import credentials_of
from market.simulator.bybit_exchange import BybitExchange
from market.simulator.bybit_face import BybitFace
from market.simulator.bybit_hub import BybitHub
from market.simulator.face import Kit, Options
from market.simulator.hub import Topic
from market.simulator.player import Player
from market.simulator.scan import SCAN_FRAMES, Fees, Steps
from market.simulator.source import BinanceSource, Source
from market.tape import Frame, Session, read_frames, session_frames

FEES: Final = Fees(maker_bps=Decimal(2), taker_bps=Decimal("5.5"))


class EventsOnly:
    """Reads a tape of Binance's format; nothing of it is published as it is, since the streams are built from state."""

    def __init__(self) -> None:
        self._binance = BinanceSource(lambda _topic: False)

    def read(self, frame: Frame) -> Sequence[Event]:
        return self._binance.read(frame)

    def is_aggregate(self, raw: bytes) -> bool:
        return self._binance.is_aggregate(raw)

    def may_be_depth(self, raw: bytes) -> bool:
        return self._binance.may_be_depth(raw)

    def messages(self, frame: Frame, events: Sequence[Event]) -> Iterator[tuple[Topic, bytes]]:
        return iter(())


class BybitSource:
    """Reads a tape of Bybit's format. Ids become ``seq``, the one that orders best quotes and books of all depths."""

    def read(self, frame: Frame) -> Sequence[Event]:
        return tuple(_by_seq(event) for event in bybit.decode(frame.raw, frame.recv_ns))

    def is_aggregate(self, raw: bytes) -> bool:
        return False

    def may_be_depth(self, raw: bytes) -> bool:
        return b'"orderbook.' in raw

    def messages(self, frame: Frame, events: Sequence[Event]) -> Iterator[tuple[Topic, bytes]]:
        return iter(())


def _by_seq(event: Event) -> Event:
    if not isinstance(event, Depth) or event.seq < 0:
        return event
    return msgspec.structs.replace(event, first_id=event.seq, last_id=event.seq, prev_id=-1)


def _learn(frames: Iterable[Frame]) -> Steps:
    """Decimal steps of the first frames of one symbol of a Bybit tape."""
    steps = Steps()
    for seen, frame in enumerate(frames):
        if seen >= SCAN_FRAMES and steps.seen:
            break
        try:
            events = bybit.decode(frame.raw, frame.recv_ns)
        except FrameError:
            continue
        for event in events:
            steps.update(None if isinstance(event, Mark) else event)
    return steps


def _bybit_instruments(session: Session, fees: Fees) -> list[Instrument]:
    known: dict[str, Steps] = {}
    for file in session.files:
        learned, steps = _learn(read_frames(file)), known.setdefault(file.symbol, Steps())
        steps.px_decimals = max(steps.px_decimals, learned.px_decimals)
        steps.qty_decimals = max(steps.qty_decimals, learned.qty_decimals)
        steps.seen = steps.seen or learned.seen
    listed = [scan._instrument(symbol, steps, fees) for symbol, steps in sorted(known.items())]
    return [msgspec.structs.replace(one, venue="bybit") for one in listed]


def build(options: Options, session: Session) -> BybitFace:
    """The face around an exchange that lists what the session holds."""
    fees = FEES if options.fees == Fees() else options.fees
    source: Source = EventsOnly()
    if session.venue == "bybit":
        listed, source = _bybit_instruments(session, fees), BybitSource()
    else:
        listed = scan.instruments(session.files, fees)
    exchange = BybitExchange(listed, options.wallet, options.leverage, lambda _report: None)
    hub = BybitHub(account_delay_s=options.latency_ms / 1000 / options.speed)
    player = Player(session_frames(session), exchange, hub, options.speed, int(options.latency_ms * 1e6), source)
    return BybitFace(exchange, player, hub, credentials_of(options.seed))


KIT = Kit(tape_venues=("bybit", "binanceusdm"), build=build)
