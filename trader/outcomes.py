"""What became of each scored decision of one symbol, told as soon as it is known, and the recalibration it teaches.

The label is NLk as the pipeline makes it: the direction of the mid ``k`` decision points after the last one at or
before ``latency_ns`` past the decision. A decision is followed from the moment its score was asked for, so that a late
answer misses nothing; without an answer it teaches nothing.
"""

from collections import deque
from typing import Final

import msgspec

from trader.recalibration import Proba, Recalibration, RecalibrationParams, learn, recalibrated

SAME_PX: Final = 1e-12
"""Relative; far below half a tick of any venue, above the rounding of one addition."""


class OutcomeParams(msgspec.Struct, frozen=True):
    """The label of the model that is served, and how scores follow it; stands in the journal's first record."""

    k: int
    latency_ns: int
    recalibration: RecalibrationParams = RecalibrationParams()


class _Followed(msgspec.Struct):
    request_id: int
    event_ns: int
    proba: Proba | None = None
    mid_px: float = 0.0
    due: int = 0


def direction(before_px: float, after_px: float) -> int:
    """0 down, 1 flat, 2 up.

    >>> direction(100.0, 100.0), direction(100.0, 100.1), direction(100.0, 99.9)
    (1, 2, 0)
    """
    move = (after_px - before_px) / before_px
    return 2 if move > SAME_PX else (0 if move < -SAME_PX else 1)


class Outcomes:
    """Decision points in, matured labels learned. ``state`` is what they taught."""

    def __init__(self, params: OutcomeParams) -> None:
        self.state = Recalibration(params.recalibration)
        self._params = params
        self._rows = 0
        self._mid_px = 0.0
        self._awaiting: deque[_Followed] = deque()
        self._maturing: deque[_Followed] = deque()

    def on_row(self, event_ns: int, mid_px: float) -> None:
        """A decision point was passed, scored or not."""
        while self._awaiting and event_ns > self._awaiting[0].event_ns + self._params.latency_ns:
            followed = self._awaiting.popleft()
            followed.mid_px, followed.due = self._mid_px, self._rows + self._params.k
            self._maturing.append(followed)
        self._rows += 1
        self._mid_px = mid_px
        while self._maturing and self._maturing[0].due <= self._rows:
            followed = self._maturing.popleft()
            if followed.proba is not None:
                learn(self.state, followed.proba, direction(followed.mid_px, mid_px))

    def asked(self, request_id: int, event_ns: int) -> None:
        """A score was asked for at the newest decision point."""
        self._awaiting.append(_Followed(request_id, event_ns))

    def answered(self, request_id: int, proba: Proba) -> Proba:
        """The answer to a request, and what it means now."""
        for waiting in (self._maturing, self._awaiting):
            for followed in reversed(waiting):
                if followed.request_id == request_id:
                    followed.proba = proba
        return recalibrated(self.state, proba)
