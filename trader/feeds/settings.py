"""What a feed is told at its start: how it behaves, and who hears of what."""

from collections.abc import Callable

import msgspec

from trader.feeds.link import LinkSettings
from trader.feeds.sequence import HotSettings

FrameCallback = Callable[[str, bytes], None]


class FeedSettings(msgspec.Struct, frozen=True):
    """``lines``: 1, or 2 hot at once; the rest in seconds. ``silence`` scales the venue's limits on silent streams;
    ``resync_s`` keeps re-subscriptions of one book apart (OKX counts them); ``calm_s`` is the least time between
    replacements of a link for its faults.
    """

    lines: int = 1
    link: LinkSettings = LinkSettings()
    hot: HotSettings = HotSettings()
    silence: float = 1.0
    check_s: float = 1.0
    calm_s: float = 30.0
    resync_s: float = 10.0
    skew_window_s: float = 30.0


class FeedListener(msgspec.Struct, frozen=True):
    """``on_frame(symbol, raw)``; ``on_up(symbols, why)`` and ``on_down(symbols, why)`` when their state changes.

    ``on_up`` comes before the frames it makes good. ``on_closed(why)`` tells of every lost connection;
    ``on_lead(symbols, why)`` that another line leads.
    """

    on_frame: FrameCallback
    on_up: Callable[[tuple[str, ...], str], None] = lambda _symbols, _why: None
    on_down: Callable[[tuple[str, ...], str], None] = lambda _symbols, _why: None
    on_closed: Callable[[str], None] = lambda _why: None
    on_lead: Callable[[tuple[str, ...], str], None] = lambda _symbols, _why: None
