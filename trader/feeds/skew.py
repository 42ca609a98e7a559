"""How far our receive times lie behind the venue's event times: measured and shown, never used to drop an event.

A difference mixes clock offset and travel time. Its minimum over a window is the best bound on offset plus the fastest
path; the median adds the usual queueing.
"""

from statistics import median
from typing import Final

import msgspec

from trader.feeds.streams import Stream

_MOST: Final = 4_096


class Skew(msgspec.Struct, frozen=True):
    """Receive minus event time of one stream over the last whole window, in ms, and how many frames were sampled."""

    min_ms: float
    median_ms: float
    samples: int


def sample(stream: Stream, raw: bytes, recv_ns: int) -> None:
    """Take one difference if the frame states its time."""
    stream.is_due = False
    event_ns = stream.event_ns(raw)
    if event_ns and len(stream.samples) < _MOST:
        stream.samples.append((recv_ns - event_ns) / 1e6)


def take(stream: Stream) -> Skew | None:
    """The samples of the window that ends now; None when there was none."""
    samples, stream.samples = stream.samples, []
    return Skew(min(samples), median(samples), len(samples)) if samples else None
