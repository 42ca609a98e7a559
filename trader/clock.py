"""The one place where wall time enters the trader."""

import time


class Clock:
    """Wall clock in integer ns UTC that never repeats and never runs backwards.

    Every input of the engine carries one reading, so readings are also the total order of a run: tape frames and
    journal records interleave by them, and replay needs nothing else.
    """

    def __init__(self) -> None:
        self._last_ns = 0

    def now_ns(self) -> int:
        now = time.time_ns()
        self._last_ns = now if now > self._last_ns else self._last_ns + 1
        return self._last_ns
