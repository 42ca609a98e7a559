"""Two sockets that carry the same streams, as one: nothing lost, nothing twice, each book in its own order.

While a successor takes over, ordered streams of it are held back until the old socket has passed the successor's first
frame of that stream: from there on both carry the same sequence, and each frame passes from whichever brings it first.
Streams without ids pass at once unless the very same frame passed before.
"""

from collections.abc import Callable

from trader.feeds.streams import Stream, is_snapshot

Pass = Callable[[Stream, bytes], None]


class Merger:
    """Filter between a link's sockets and its listener, in the way only while there are two of them.

    ``begin`` before the successor connects; ``old`` and ``new`` take the frames of the two; ``join`` gives up waiting;
    ``end`` when the old socket is long gone. ``dropped`` counts second copies.
    """

    def __init__(self, on_frame: Pass) -> None:
        self.dropped = 0
        self._on_frame = on_frame
        self._last: dict[Stream, int] = {}
        self._seen: set[tuple[Stream, int]] = set()
        self._held: dict[Stream, list[tuple[int, bytes]]] = {}
        self._joined: set[Stream] = set()
        self._spoke: set[Stream] = set()
        self._resets: set[tuple[Stream, int]] = set()

    def begin(self) -> None:
        """Start to remember what passes; a successor is about to connect."""
        self._spoke.clear()
        self._held.clear()
        self._joined.clear()

    def end(self) -> None:
        """One socket is left, and it has caught up."""
        self._last.clear()
        self._seen.clear()
        self._held.clear()
        self._joined.clear()
        self._resets.clear()

    @property
    def is_waiting(self) -> bool:
        """Some stream of the successor is held back, or has not spoken yet although the old socket's has."""
        return bool(self._held) or not self._spoke <= self._joined

    def old(self, stream: Stream, raw: bytes) -> None:
        """A frame of the socket that is being replaced."""
        self._offer(stream, raw)
        if stream.is_ordered:
            self._spoke.add(stream)
        if stream in self._held:
            self._try_join(stream)

    def new(self, stream: Stream, raw: bytes) -> None:
        """A frame of the successor."""
        if not stream.is_ordered or stream in self._joined:
            self._offer(stream, raw)
            return
        self._held.setdefault(stream, []).append((stream.number(raw), raw))
        self._try_join(stream)

    def join(self) -> None:
        """Release everything held: the old socket is gone, or so far behind that waiting for it makes no sense."""
        for stream in list(self._held):
            self._release(stream)

    def _try_join(self, stream: Stream) -> None:
        if self._last.get(stream, -1) >= self._held[stream][0][0]:
            self._release(stream)

    def _release(self, stream: Stream) -> None:
        for _, raw in self._held.pop(stream):
            self._offer(stream, raw)
        self._joined.add(stream)

    def _offer(self, stream: Stream, raw: bytes) -> None:
        """Pass a frame unless it, or a later one of its ordered stream, has passed."""
        if not stream.is_ordered:
            self._offer_once(stream, raw)
            return
        number, last = stream.number(raw), self._last.get(stream, -1)
        if number > last or number < 0 or (number < last and self._is_reset(stream, number, raw)):
            self._last[stream] = number
            self._on_frame(stream, raw)
        else:
            self.dropped += 1

    def _is_reset(self, stream: Stream, number: int, raw: bytes) -> bool:
        """Whether the venue began its ids anew with this snapshot, which has not passed yet."""
        if stream not in self._joined or (stream, number) in self._resets or not is_snapshot(raw):
            return False
        self._resets.add((stream, number))
        return True

    def _offer_once(self, stream: Stream, raw: bytes) -> None:
        key = stream, stream.identity(raw)
        if key in self._seen:
            self.dropped += 1
            return
        self._seen.add(key)
        self._on_frame(stream, raw)
