"""Two hot lines of the same streams as one feed: a ``Sequence`` per stream, and which of the lines stand."""

from collections.abc import Callable

from trader.feeds.sequence import HotSettings, Lines, Sequence, Tally
from trader.feeds.streams import Stream

Key = tuple[str, str]


class HotMerger:
    """``take`` the frames of line 0 and line 1; ``up`` and ``down`` tell which of them stand; ``tick`` as time passes.

    ``decode`` raises FrameError for a frame that says nothing; ``now_s`` is any clock that does not run backwards.
    """

    def __init__(
        self,
        on_frame: Callable[[Stream, bytes], None],
        decode: Callable[[bytes, int], object],
        now_s: Callable[[], float],
        settings: HotSettings = HotSettings(),  # noqa: B008 (frozen)
    ) -> None:
        self._lines = Lines(on_frame, decode, now_s, settings)
        self._sequences: dict[Key, Sequence] = {}
        self._waiting: set[Key] = set()

    @property
    def dropped(self) -> int:
        """Second copies dropped."""
        return self._lines.dropped

    @property
    def strayed(self) -> int:
        """Frames dropped because what they said led nowhere."""
        return self._lines.strayed

    def up(self, line: int) -> None:
        """A line stands anew."""
        self._lines.is_up[line] = True
        for sequence in self._sequences.values():
            sequence.part(line)

    def down(self, line: int) -> None:
        """A line is gone. Without any the sequences are over; the next line to stand begins others."""
        self._lines.is_up[line] = False
        is_over = not any(self._lines.is_up)
        for sequence in self._sequences.values():
            if is_over:
                sequence.forget()
            else:
                sequence.part(line)
                sequence.settle()
        self._waiting.clear()

    def take(self, line: int, stream: Stream, raw: bytes) -> None:
        """One frame as a line received it."""
        sequence = self._sequences.get(stream.key)
        if sequence is None:
            sequence = self._sequences[stream.key] = Sequence(self._lines)
        sequence.take(line, stream, raw)
        if sequence.is_waiting:
            self._waiting.add(stream.key)

    def tick(self) -> None:
        """Let time pass for what is held."""
        for key in list(self._waiting):
            self._sequences[key].settle()
            if not self._sequences[key].is_waiting:
                self._waiting.discard(key)

    def expect(self, symbol: str, line: int) -> None:
        """``line`` was asked for a fresh book of ``symbol``."""
        sequence = self._sequences.get((symbol, "depth"))
        if sequence is not None:
            sequence.expect(line)

    def tally(self, key: Key, line: int) -> Tally | None:
        """What ``line`` did on a stream so far; None before anyone's first frame."""
        sequence = self._sequences.get(key)
        return None if sequence is None else sequence.tallies[line]

    def brought_by(self, symbol: str) -> int:
        """The line that brought the newest change of a book."""
        sequence = self._sequences.get((symbol, "depth"))
        return 0 if sequence is None else sequence.by
