"""One stream that two lines carry, as one sequence: each event once, in order, from whichever line brings it first.

While the ids of both run on, the faster line leads. Where they do not, the other line is given time to fill in:

- a frame that does not continue what has passed is held while the other line may still bring what lies between;
- a line that has just (re)connected is held back until it meets what has passed;
- a frame that cannot be decoded passes, for the record, but takes no id: the other line's copy still counts;
- ids that lead nowhere are dropped, once their own line takes them back or the other has long gone on without them.

Binance depth and OKX books name the id before; aggregate trades and Bybit's books count by one, unless both lines often
show that they do not; other ids only grow. A well-formed lie under the right id is not seen here.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from market.errors import FrameError
from trader.feeds.streams import Stream, is_snapshot

_REMEMBERED: Final = 4_096
_MOST_HELD: Final = 20_000
_ANEW_AFTER: Final = 500
_JUMPS_PER_FRAMES: Final = 1_000
Frame = tuple[int, int | None, Stream, bytes]


class HotSettings(msgspec.Struct, frozen=True):
    """Seconds. ``hold_s``: how long nothing may pass for the sake of what one line missed. ``meet_s``: how long a line
    may stay apart from the other, which goes on, before what is held of it is dropped.
    """

    hold_s: float = 0.5
    meet_s: float = 30.0


class Lines:
    """What the sequences of one pair of lines share. ``dropped`` counts copies, ``strayed`` what led nowhere."""

    def __init__(
        self,
        on_frame: Callable[[Stream, bytes], None],
        decode: Callable[[bytes, int], object],
        now_s: Callable[[], float],
        settings: HotSettings,
    ) -> None:
        self.on_frame, self.decode, self.now_s, self.settings = on_frame, decode, now_s, settings
        self.is_up = [False, False]
        self.dropped = self.strayed = 0


class Tally:
    """What one line did on one stream, as far as its own ids tell: ``own`` is the last of them."""

    __slots__ = ("broken", "duplicates", "frames", "gaps", "own")

    def __init__(self) -> None:
        self.own = -1
        self.frames = self.gaps = self.duplicates = self.broken = 0

    def hear(self, number: int, before: int | None, is_depth: bool, is_anew: bool) -> None:
        """Count what the line's ids say against it; venues repeat a quiet top under its old id."""
        own, self.own = self.own, number
        if own < 0 or before == own or is_anew:
            return
        if number <= own:
            self.duplicates += number < own or is_depth
        elif before is not None:
            self.gaps += 1


class Sequence:
    """``take`` the frames of line 0 and line 1. ``by`` is the line that brought the newest event."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.tallies = (Tally(), Tally())
        self._jumps = 0
        self.forget()

    def forget(self) -> None:
        """Begin anew: neither line stands."""
        self.by, self._last, self._raw = 0, -1, b""
        self._seen: dict[int, None] = {}
        self._held: tuple[list[Frame], list[Frame]] = ([], [])
        self._joined = [False, False]
        self._asked = -1
        self._strange = 0
        self._moved_s = 0.0
        self._since_s = [0.0, 0.0]

    def part(self, line: int) -> None:
        """``line`` broke off or stands anew: it must meet the sequence before it counts."""
        self._joined[line] = False
        self._held[line].clear()
        self.tallies[line].own = -1
        if self.by == line:
            self.by = 1 - line
        if self._asked == line:
            self._asked = -1

    def expect(self, line: int) -> None:
        """``line`` was asked for a fresh book: the sequence goes on from its snapshot, what follows passes again."""
        self._asked = line

    @property
    def is_waiting(self) -> bool:
        """Something is held."""
        return bool(self._held[0] or self._held[1])

    def take(self, line: int, stream: Stream, raw: bytes) -> None:
        """One frame as a line received it."""
        tally = self.tallies[line]
        tally.frames += 1
        number = stream.number(raw) if stream.is_ordered else -1
        if number < 0:
            self._take_once(tally, stream, raw)
            return
        before = stream.before(raw, number) if stream.names_before or self._counts else None
        is_anew = stream.kind == "depth" and is_snapshot(raw)
        tally.hear(number, before, stream.kind == "depth", is_anew)
        if is_anew and self._asked == line:
            self._asked = -1
            self._advance(line, number, stream, raw)
        else:
            self._take_back(line, number)
            put = self._hold if self._held[line] else self._place
            put(line, (number, before, stream, raw))
        if self.is_waiting:
            self.settle()

    @property
    def _counts(self) -> bool:
        """Whether ids count by one, as far as both lines agree."""
        return self._jumps <= 2 + self.tallies[0].frames // _JUMPS_PER_FRAMES

    def _take_once(self, tally: Tally, stream: Stream, raw: bytes) -> None:
        """Frames without a growing id: the very same one passes once."""
        identity = stream.identity(raw)
        if identity in self._seen:
            self._lines.dropped += 1
            return
        if self._is_sound(tally, raw):
            self._remember(identity)
        self._lines.on_frame(stream, raw)

    def _place(self, line: int, frame: Frame) -> None:
        """Pass, drop or hold a frame that nothing of its own line waits before."""
        number, before, stream, raw = frame
        last, other = self._last, 1 - line
        if last < 0 or (before == last and number != last):
            self._advance(line, number, stream, raw)
        elif number <= last:
            self._take_old(line, number, stream, raw)
        elif number in self._seen:
            self._lines.dropped += 1
        elif self._may_fill(other, number) and (before is not None or not self._joined[line]):
            self._hold(line, frame)
        else:
            held = self._held[other]
            self._jumps += before is not None and bool(held) and held[0][0] == number
            self._advance(line, number, stream, raw)

    def _may_fill(self, other: int, number: int) -> bool:
        """Whether the other line may still bring what lies before ``number``."""
        return self._lines.is_up[other] and self._joined[other] and self.tallies[other].own < number

    def _take_old(self, line: int, number: int, stream: Stream, raw: bytes) -> None:
        """A copy, a venue's own repeat, or ids that began anew."""
        joined, self._joined[line] = self._joined[line], True
        is_strange = joined and number < self._last and number not in self._seen
        if number == self._last and joined and line == self.by and raw != self._raw:
            self._raw = raw
            self._lines.on_frame(stream, raw)
        elif is_strange and self._is_anew(stream, raw):
            self._advance(line, number, stream, raw)
        else:
            # too late to pass in order: the line that went ahead has skipped it
            self.tallies[1 - line].gaps += is_strange and number > next(iter(self._seen))
            self._lines.dropped += 1

    def _is_anew(self, stream: Stream, raw: bytes) -> bool:
        """A snapshot begins a book's ids anew; so do frames never seen while no line stands where the sequence does."""
        self._strange += 1
        stand = [tally.own for tally, is_up in zip(self.tallies, self._lines.is_up, strict=True) if is_up]
        is_behind = len(stand) == 2 and min(stand) >= 0 and max(stand) < self._last
        return is_behind or self._strange > _ANEW_AFTER or (stream.kind == "depth" and is_snapshot(raw))

    def _advance(self, line: int, number: int, stream: Stream, raw: bytes) -> None:
        """Pass a frame and move on; one that cannot be read passes without moving anything."""
        if self._is_sound(self.tallies[line], raw):
            self._last, self.by, self._raw, self._strange = number, line, raw, 0
            self._joined[line] = True
            self._remember(number)
            if self.is_waiting:
                self._moved_s = self._lines.now_s()
        self._lines.on_frame(stream, raw)

    def _is_sound(self, tally: Tally, raw: bytes) -> bool:
        try:
            self._lines.decode(raw, 0)
        except FrameError:
            tally.broken += 1
            return False
        return True

    def _remember(self, identity: int) -> None:
        self._seen[identity] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    # -- what is held -------------------------------------------------------------------------------------------------

    def _hold(self, line: int, frame: Frame) -> None:
        held, now_s = self._held[line], self._lines.now_s()
        if not self.is_waiting:
            self._moved_s = now_s
        if not held:
            self._since_s[line] = now_s
        held.append(frame)
        if len(held) > _MOST_HELD:
            self._stray(line)

    def _take_back(self, line: int, number: int) -> None:
        """A line whose ids fall again did not mean the higher ones."""
        held = self._held[line]
        while held and held[-1][0] > number:
            held.pop()
            self._lines.strayed += 1

    def settle(self) -> None:
        """Release what has become due of either line, until nothing more is; to be called as time passes."""
        while self._release_met(0) or self._release_met(1) or self._release_stuck():
            pass

    def _release_met(self, line: int) -> bool:
        """The sequence has reached the first frame held of ``line``."""
        held = self._held[line]
        if not held or not (held[0][1] == self._last or held[0][0] <= self._last):
            return False
        self._joined[line] = True
        self._let_go(line)
        return True

    def _let_go(self, line: int) -> None:
        """Place again what is held of a line, in order; the rest of it may come to be held again."""
        frames = list(self._held[line])
        self._held[line].clear()
        for at, frame in enumerate(frames, 1):
            self._place(line, frame)
            if self._held[line]:
                self._held[line].extend(frames[at:])
                return

    def _release_stuck(self) -> bool:
        """Nothing can fill the gap (both lines show one, or the other is gone), or it took too long."""
        lines = [line for line in (0, 1) if self._held[line]]
        if not lines:
            return False
        now_s, line = self._lines.now_s(), min(lines, key=lambda one: self._held[one][0][0])
        both, can_fill = len(lines) == 2 and all(self._joined), self._lines.is_up[1 - line] and self._joined[1 - line]
        late = [one for one in lines if now_s - self._since_s[one] >= self._lines.settings.meet_s]
        if both or not can_fill or now_s - self._moved_s >= self._lines.settings.hold_s:
            self._force(line)
        elif late:
            self._stray(late[0])
        else:
            return False
        return True

    def _force(self, line: int) -> None:
        """Pass the first held frame over the gap, and what follows from it."""
        number, _, stream, raw = self._held[line].pop(0)
        self._joined[line] = True
        self._advance(line, number, stream, raw)
        self._let_go(line)

    def _stray(self, line: int) -> None:
        """What ``line`` says leads nowhere: drop it; the line must meet the sequence anew."""
        self._lines.strayed += len(self._held[line])
        self._held[line].clear()
        self._joined[line] = False
