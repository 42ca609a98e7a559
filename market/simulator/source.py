"""How a player reads a tape and what it publishes of it: one ``Source`` per format of recording."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from market.codecs.binance import decode
from market.events import Depth, Event
from market.simulator import wire
from market.simulator.hub import Topic
from market.tape import Frame


class Source(Protocol):
    """A format of recording. ``read`` may be called more than once per frame, ``messages`` once, after the exchange."""

    def read(self, frame: Frame) -> Sequence[Event]:
        """Market events of a frame, symbols spelled as the exchange lists them. Raises FrameError."""
        ...

    def is_aggregate(self, raw: bytes) -> bool:
        """Whether the frame's trades are aggregates of single trades."""
        ...

    def may_be_depth(self, raw: bytes) -> bool:
        """A cheap guess whether the frame holds a depth event; false alarms are fine."""
        ...

    def messages(self, frame: Frame, events: Sequence[Event]) -> Iterator[tuple[Topic, bytes]]:
        """What ``Hub.publish`` is called with for this frame."""
        ...


class BinanceSource:
    """Tapes in Binance USD-M's frame format, published byte for byte; trades also as the aggregates they would make.

    ``wants`` tells whether anybody listens to a topic; aggregates are only made for listeners.
    """

    def __init__(self, wants: Callable[[Topic], bool]) -> None:
        self._wants = wants

    def read(self, frame: Frame) -> Sequence[Event]:
        event = read(frame)
        return () if event is None else (event,)

    def is_aggregate(self, raw: bytes) -> bool:
        return b'"aggTrade"' in raw

    def may_be_depth(self, raw: bytes) -> bool:
        return b'"depthUpdate"' in raw or b'"lastUpdateId"' in raw

    def messages(self, frame: Frame, events: Sequence[Event]) -> Iterator[tuple[Topic, bytes]]:
        for event in events:
            channel, data = wire.channel(event, frame.raw), wire.payload(frame.raw)
            if channel is None:
                continue
            yield (event.symbol, channel), data
            if channel == "trade" and self._wants((event.symbol, "aggTrade")):
                aggregate = wire.aggregate(data)
                if aggregate is not None:
                    yield (event.symbol, "aggTrade"), aggregate


def read(frame: Frame) -> Event | None:
    """The frame's event; a REST snapshot, which names no symbol, takes that of its file."""
    event = decode(frame.raw, frame.recv_ns)
    if isinstance(event, Depth) and not event.symbol:
        return msgspec.structs.replace(event, symbol=frame.symbol)
    return event
