"""Paging through REST history by time, so that no row is lost or doubled: not at a page's edge, not after a cut.

Rows go to a CSV file; a checkpoint beside it says how much of that file counts and where to go on. The rows reach the
disk first, the checkpoint replaces the old one after, so a cut between the two repeats a page and cuts its first copy.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from pipelines.history.schema import HistoryError
from pipelines.resources import replacing


class Row(NamedTuple):
    """One row of a page: its time, what tells it from others of the same millisecond, and its cells as written."""

    ts_ms: int
    key: str
    cells: tuple[str, ...]


# since_ms, key to go on after (None: by time), to rows at or after since_ms, oldest first
Fetch = Callable[[int, str | None], Awaitable[Sequence[Row]]]


class Checkpoint(msgspec.Struct, frozen=True):
    """How far a download is: everything before ``at_ms`` is there, and of ``at_ms`` itself the rows ``keys``."""

    since_ms: int
    until_ms: int
    at_ms: int
    keys: tuple[str, ...] = ()
    after: str | None = None
    size: int = 0
    rows: int = 0

    @property
    def done(self) -> bool:
        """Nothing is left to ask for."""
        return self.at_ms >= self.until_ms

    @property
    def share(self) -> float:
        """Share of the time asked for that is covered."""
        return (min(self.at_ms, self.until_ms) - self.since_ms) / max(self.until_ms - self.since_ms, 1)


class Plan(NamedTuple):
    """What a download is: [since_ms, until_ms), a full page's rows, how far one answer reaches, and its columns."""

    since_ms: int
    until_ms: int
    limit: int
    reach_ms: int
    header: tuple[str, ...]


_CHECKPOINT: Final = ".checkpoint"


def checkpoint_path(target: Path) -> Path:
    """Where the checkpoint of ``target`` stands."""
    return target.with_name(target.name + _CHECKPOINT)


async def page(fetch: Fetch, plan: Plan, target: Path, progress: Callable[[float], None] = lambda _share: None) -> int:
    """Write every row of the plan to ``target`` once, going on from its checkpoint; returns the number of rows.

    Raises
    ------
    HistoryError
        More rows share one millisecond than a page holds and the venue cannot page by id; the checkpoint is broken or
        of another plan; the disk refuses.
    """
    state = _resume(plan, target)
    with target.open("r+b") as file:
        file.truncate(state.size)
        file.seek(state.size)
        while not state.done:
            rows = await fetch(state.at_ms, state.after)
            fresh = _fresh(rows, state)
            size = state.size + _append(file.fileno(), fresh)
            state = _next(state, plan, rows, fresh, size)
            _save(target, state)
            progress(state.share)
    return state.rows


def _fresh(rows: Sequence[Row], state: Checkpoint) -> list[Row]:
    """Rows of a page that are asked for and not there yet, oldest first."""
    known = set(state.keys)
    inside = {row.key: row for row in rows if state.at_ms <= row.ts_ms < state.until_ms}
    return sorted((row for row in inside.values() if row.ts_ms > state.at_ms or row.key not in known), key=_order)


def _order(row: Row) -> tuple[int, int]:
    """By time, numbers by their value; other rows of a millisecond stay as they came."""
    return row.ts_ms, int(row.key) if row.key.isdigit() else 0


def _append(handle: int, rows: Sequence[Row]) -> int:
    """Bytes written and made durable."""
    data = "".join(",".join(row.cells) + "\n" for row in rows).encode()
    written = 0
    while written < len(data):
        written += os.write(handle, data[written:])
    os.fsync(handle)
    return written


def _next(state: Checkpoint, plan: Plan, rows: Sequence[Row], fresh: list[Row], size: int) -> Checkpoint:
    """Where to go on after a page."""
    moved = msgspec.structs.replace(state, size=size, rows=state.rows + len(fresh))
    beyond = any(row.ts_ms >= state.until_ms for row in rows)
    full = len(rows) >= plan.limit
    if fresh:
        at_ms = fresh[-1].ts_ms
        same = tuple(row.key for row in fresh if row.ts_ms == at_ms)
        keys = state.keys + same if at_ms == state.at_ms else same
        at_ms = state.until_ms if beyond else at_ms
        after = same[-1] if state.after is not None and at_ms == state.at_ms else None
        return msgspec.structs.replace(moved, at_ms=at_ms, keys=keys, after=after)
    if beyond:
        return msgspec.structs.replace(moved, at_ms=state.until_ms, keys=(), after=None)
    if full and state.after is None and all(row.ts_ms == state.at_ms for row in rows):
        return msgspec.structs.replace(moved, after=max(rows, key=_order).key)
    return msgspec.structs.replace(moved, at_ms=min(state.at_ms + plan.reach_ms, state.until_ms), keys=(), after=None)


def _resume(plan: Plan, target: Path) -> Checkpoint:
    """The checkpoint to go on from; a new download begins with the header alone."""
    head = ",".join(plan.header) + "\n"
    path = checkpoint_path(target)
    if not path.exists() or not target.exists():
        with replacing(target) as part:
            part.write_text(head)
        state = Checkpoint(plan.since_ms, plan.until_ms, plan.since_ms, size=len(head))
        _save(target, state)
        return state
    try:
        state = msgspec.json.decode(path.read_bytes(), type=Checkpoint)
    except (OSError, msgspec.MsgspecError) as error:
        raise HistoryError(
            f"{path}: broken checkpoint ({error})", f"delete it and {target.name} to start anew"
        ) from error
    if state.since_ms != plan.since_ms or target.stat().st_size < state.size:
        raise HistoryError(f"{path}: is of another download than {target.name}", "delete both files to start anew")
    # an end that lay in the future has moved since
    return msgspec.structs.replace(state, until_ms=max(plan.until_ms, state.until_ms))


def _save(target: Path, state: Checkpoint) -> None:
    with replacing(checkpoint_path(target)) as part:
        part.write_bytes(msgspec.json.encode(state))
