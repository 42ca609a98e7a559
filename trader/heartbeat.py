"""The sign of life that the watchdog waits for, and the word it leaves when it had to act."""

import os
from pathlib import Path

import msgspec


class Beat(msgspec.Struct, frozen=True):
    """``count`` changes with every beat: the watchdog measures by its own clock. ``done``: no order is left."""

    pid: int
    count: int
    done: bool = False


class WatchdogState(msgspec.Struct, frozen=True):
    """``state``: guarding, fired (orders were cancelled for a silent trader), done."""

    pid: int
    state: str
    sweeps: int = 0
    detail: str = ""


class Heartbeat:
    """The trader's side, in its run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def beat(self) -> None:
        self._count += 1
        write(beat_path(self.folder), Beat(os.getpid(), self._count))

    def finish(self) -> None:
        """The run ends with no order left: nothing is to be guarded any more."""
        write(beat_path(self.folder), Beat(os.getpid(), self._count + 1, done=True))

    def fired(self) -> bool:
        """Whether the watchdog has acted in this run."""
        state = read_state(self.folder)
        return state is not None and state.state == "fired"


def beat_path(folder: Path) -> Path:
    return folder / "heartbeat.json"


def state_path(folder: Path) -> Path:
    return folder / "watchdog.json"


def write(path: Path, content: msgspec.Struct) -> None:
    """Replace ``path`` at once: a reader never sees half of it."""
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(content))
    part.replace(path)


def read_beat(folder: Path) -> Beat | None:
    """The last beat, or None when there is none."""
    try:
        return msgspec.json.decode(beat_path(folder).read_bytes(), type=Beat)
    except (OSError, msgspec.MsgspecError):
        return None


def read_state(folder: Path) -> WatchdogState | None:
    """What the watchdog last said, or None when there is none."""
    try:
        return msgspec.json.decode(state_path(folder).read_bytes(), type=WatchdogState)
    except (OSError, msgspec.MsgspecError):
        return None
