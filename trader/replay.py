"""Runs the engine again over a recorded run and compares every output with the journal, byte for byte.

Inputs come back in their one total order: tape frames by receive time, all others from the journal. Scores, fills and
REST answers are inputs, so they are taken as recorded; features, intents, verdicts and orders are computed anew.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from features.schema import COUNT, WINDOW
from market.tape import find_tapes, merge
from trader.bundle import MODEL_FILE, sha256_file
from trader.engine import Engine
from trader.errors import JournalError
from trader.journal import JournalReader, encode
from trader.records import (
    INPUT_TYPES,
    DecisionRecord,
    FrameIn,
    Input,
    Record,
    RequestScore,
    ScoreIn,
    Start,
)
from trader.scorer import LocalScorer


class Difference(msgspec.Struct, frozen=True):
    """First output that did not come out the same: what the journal holds and what replay computed."""

    index: int
    ts_ns: int
    recorded: str
    replayed: str


class ReplayResult(msgspec.Struct, frozen=True):
    """``differing`` counts outputs (decisions, orders, cancels) that were not equal byte for byte.

    ``score_max_abs_diff`` compares the journaled probabilities with the local copy of the bundle on the replayed
    windows; None when no bundle was given. ``torn_at`` is the byte offset of a torn journal tail, or None.
    """

    frames: int
    decisions: int
    outputs: int
    differing: int
    first_difference: Difference | None
    scores_checked: int
    score_max_abs_diff: float | None
    torn_at: int | None


class Replay:
    """One pass over (tape, journal). ``observe`` sees every input and recorded output with the engine after it."""

    def __init__(
        self,
        journal: Path,
        tape: Path,
        scorer: LocalScorer | None = None,
        observe: Callable[[Engine, Record | FrameIn], None] | None = None,
    ) -> None:
        self._reader = JournalReader(journal)
        self._tape = tape
        self._scorer = scorer
        self._observe = observe
        self._windows: dict[int, bytes] = {}
        self._expected: list[Record] = []
        self._frames = self._decisions = self._outputs = self._differing = self._scores = 0
        self._first: Difference | None = None
        self._score_diff = 0.0

    def run(self, progress: Callable[[int], None] | None = None) -> ReplayResult:
        records = self._reader.records()
        start = next(records, (None, b""))[0]
        if not isinstance(start, Start):
            raise JournalError(
                f"{self._reader.path} does not begin with a start record", "pass a journal that `trade` wrote"
            )
        engine = Engine(start)
        for item, payload in self._interleave(records):
            if isinstance(item, (*INPUT_TYPES, FrameIn)):
                self._step(engine, item)  # type: ignore[arg-type]
            else:
                self._match(item, payload)
            if self._observe is not None:
                self._observe(engine, item)
            if progress is not None and self._frames % 1_000 == 0:
                progress(self._frames)
        self._missing()
        return self._result()

    def _interleave(self, records: Iterator[tuple[Record, bytes]]) -> Iterator[tuple[Record | FrameIn, bytes]]:
        """Journal records (with their bytes) in order, each input preceded by the frames received before it."""
        frames = (FrameIn(f.recv_ns, f.symbol, f.raw) for f in merge(find_tapes(self._tape)))
        frame = next(frames, None)
        for record, payload in records:
            until = record.ts_ns if isinstance(record, INPUT_TYPES) else None
            if isinstance(record, DecisionRecord):
                # a decision taken on a frame follows that frame directly and shares its reading
                until = record.ts_ns + 1
            while frame is not None and until is not None and frame.ts_ns < until:
                yield frame, b""
                frame = next(frames, None)
            yield record, payload

    def _step(self, engine: Engine, item: Input) -> None:
        self._frames += isinstance(item, FrameIn)
        if isinstance(item, ScoreIn):
            self._check_score(item)
        for output in engine.step(item):
            if isinstance(output, RequestScore):
                self._windows[output.request_id] = output.x
            else:
                self._expected.append(output)

    def _match(self, recorded: Record, payload: bytes) -> None:
        """Compare the journal's bytes of the next output with those of the next one computed."""
        self._outputs += 1
        self._decisions += isinstance(recorded, DecisionRecord)
        computed = self._expected.pop(0) if self._expected else None
        if computed is None or encode(computed) != payload:
            self._differ(recorded, computed)

    def _missing(self) -> None:
        """Outputs that replay computed and the journal lacks; a torn tail excuses the last batch only."""
        for computed in self._expected:
            if self._reader.torn_at is None:
                self._differ(None, computed)

    def _differ(self, recorded: Record | None, computed: Record | None) -> None:
        self._differing += 1
        if self._first is None:
            at = recorded if recorded is not None else computed
            self._first = Difference(
                index=self._outputs,
                ts_ns=getattr(at, "ts_ns", 0),
                recorded="nothing" if recorded is None else repr(recorded),
                replayed="nothing" if computed is None else repr(computed),
            )

    def _check_score(self, event: ScoreIn) -> None:
        window = self._windows.pop(event.request_id, None)
        if self._scorer is None or event.score is None or window is None:
            return
        x = np.frombuffer(window, dtype=np.float32).reshape(1, WINDOW, COUNT)
        ours = self._scorer.proba(x)[0]
        theirs = np.array([event.score.down, event.score.flat, event.score.up], dtype=np.float32)
        self._score_diff = max(self._score_diff, float(np.abs(ours - theirs).max()))
        self._scores += 1

    def _result(self) -> ReplayResult:
        return ReplayResult(
            frames=self._frames,
            decisions=self._decisions,
            outputs=self._outputs,
            differing=self._differing,
            first_difference=self._first,
            scores_checked=self._scores,
            score_max_abs_diff=self._score_diff if self._scores else None,
            torn_at=self._reader.torn_at,
        )


def scorer_of(journal: Path, repository: Path) -> LocalScorer | None:
    """The very model version that the journal's run was started with, or None when it is no longer there.

    Raises
    ------
    JournalError
        When a version of that number exists with other bytes.
    """
    start = next(iter(JournalReader(journal)), None)
    if not isinstance(start, Start):
        return None
    path = repository / start.model / str(start.model_version) / MODEL_FILE
    if not path.exists():
        return None
    if sha256_file(path) != start.model_sha256:
        raise JournalError(f"{path} is not the model that the run used", "pass --repository with that run's models")
    return LocalScorer(path, start.model, start.model_version)
