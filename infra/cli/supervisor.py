"""Keeps a set of servers running for one foreground command, and ends all of them with it."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn, Protocol, Self, TypeVar

from infra.errors import ProcessError
from infra.processes import tail

WATCH_S = 0.5


class Server(Protocol):
    """Anything started that can be asked whether it lives, and stopped."""

    def alive(self) -> bool: ...

    def stop(self) -> None: ...


S = TypeVar("S", bound=Server)


class Supervisor:
    """Holds named servers; leaving its block stops them, the last started first, whatever happened."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}

    def add(self, name: str, server: S) -> S:
        """Take over ``server`` under ``name``; one of that name already held is stopped first."""
        self.drop(name)
        self._servers[name] = server
        return server

    def drop(self, name: str) -> None:
        """Stop and forget one server; nothing when there is none of that name."""
        server = self._servers.pop(name, None)
        if server is not None:
            server.stop()

    def dead(self) -> list[str]:
        """Names of the servers that have ended."""
        return [name for name, server in self._servers.items() if not server.alive()]

    def finished(self, name: str) -> bool:
        """Whether that server has ended by itself and without complaint."""
        return getattr(self._servers.get(name), "returncode", None) == 0

    def check(self) -> None:
        """ProcessError, with the end of its log, when a server has ended by itself."""
        for name in self.dead():
            log = getattr(self._servers[name], "log", None)
            said = "" if log is None else f"; the end of {log}:\n{tail(log)}"
            raise ProcessError(f"{name} ended unexpectedly{said}", "mend what its log says, then start again")

    def watch(self) -> NoReturn:
        """Check again and again until interrupted."""
        while True:
            self.check()
            time.sleep(WATCH_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with _uninterrupted():
            for name in reversed(list(self._servers)):
                self.drop(name)


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C inside the block, and end the block quietly on any of the three."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in handled}
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Keep an impatient second Ctrl-C from leaving half of the servers behind; stopping has its own time limits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
