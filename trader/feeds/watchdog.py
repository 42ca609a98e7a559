"""Which streams ought to speak and do not. A socket can be alive while one of its streams is dead."""

from collections.abc import Iterable, Mapping

from trader.feeds.streams import Stream


class Watchdog:
    """``check`` at a steady pace; a stream is silent once no frame of it came for its own limit.

    Streams listed at the start are expected to speak; others are watched from their first frame on. Kinds without a
    limit (trades, liquidations, funding) may stay silent for ever.
    """

    def __init__(self, silence_s: Mapping[str, float], expected: Iterable[Stream]) -> None:
        self._limits = silence_s
        self._quiet_s: dict[Stream, float] = {}
        self._frames: dict[Stream, int] = {}
        self.silent: set[Stream] = set()
        for stream in expected:
            self._watch(stream)

    def _watch(self, stream: Stream) -> None:
        self._quiet_s[stream], self._frames[stream] = 0.0, stream.frames

    def check(self, streams: Iterable[Stream], passed_s: float) -> tuple[list[Stream], list[Stream]]:
        """Streams that have just fallen silent, and silent ones that spoke again; ``passed_s`` since the last check."""
        fallen, risen = [], []
        for stream in streams:
            if stream.kind not in self._limits:
                continue
            if self._frames.get(stream, -1) != stream.frames:
                self._watch(stream)
                if stream in self.silent:
                    self.silent.discard(stream)
                    risen.append(stream)
                continue
            self._quiet_s[stream] += passed_s
            if self._quiet_s[stream] > self._limits[stream.kind] and stream not in self.silent:
                self.silent.add(stream)
                fallen.append(stream)
        return fallen, risen

    def forgive(self, streams: Iterable[Stream]) -> None:
        """Start the wait anew: a link without connection cannot speak."""
        for stream in streams:
            if stream in self._quiet_s:
                self._quiet_s[stream] = 0.0
