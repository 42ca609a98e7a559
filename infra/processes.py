"""Server processes that this project starts: logged, waited for, stopped by their own id, never left behind."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from infra.errors import PortInUseError, ProcessError

GUARD = Path(__file__).with_name("exec_guard.py")
LOG_TAIL_BYTES = 4_000
POLL_S = 0.02

# The kernel ties "parent" to the starting thread. Children are therefore started from one thread that lives as long as
# this process, and a server started from a short-lived worker thread survives that worker.
_starter: tuple[int, ThreadPoolExecutor] | None = None


def _start_thread() -> ThreadPoolExecutor:
    global _starter
    if _starter is None or _starter[0] != os.getpid():
        _starter = (os.getpid(), ThreadPoolExecutor(max_workers=1, thread_name_prefix="process-starter"))
    return _starter[1]


class Process:
    """A started server: its id, its log, and its end.

    Parameters
    ----------
    popen
        The running child; leader of its own process group.
    name
        What people call it, for messages.
    log
        The file its stdout and stderr are appended to.
    stop_signal
        The signal that asks it to finish cleanly.
    """

    def __init__(self, popen: "subprocess.Popen[bytes]", name: str, log: Path, stop_signal: signal.Signals) -> None:
        self._popen = popen
        self.name = name
        self.log = log
        self.stop_signal = stop_signal
        self._stopped = False

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        return self._popen.poll()

    def alive(self) -> bool:
        return self._popen.poll() is None

    def log_tail(self) -> str:
        """The end of its log, for an error message."""
        return tail(self.log)

    def wait_ready(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until ``ready()``; stop the process and raise ProcessError when it dies first or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.alive():
                raise self._failure(f"{self.name} ended with code {self.returncode} while starting")
            if time.monotonic() > deadline:
                self.stop()
                raise self._failure(f"{self.name} was not ready after {timeout_s:g} s")
            time.sleep(POLL_S)

    def wait_done(self, timeout_s: float) -> None:
        """Wait until it has finished its work; ProcessError when it fails or takes longer."""
        try:
            code = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise self._failure(f"{self.name} had not finished after {timeout_s:g} s") from None
        if code != 0:
            raise self._failure(f"{self.name} ended with code {code}")

    def _failure(self, what: str) -> ProcessError:
        return ProcessError(f"{what}; the end of {self.log}:\n{self.log_tail()}", f"read {self.log}, then try again")

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask it to finish, wait, then end whatever is left of its process group. Safe to call twice."""
        if self._stopped:
            return
        self._stopped = True
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                self._popen.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(timeout_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    command: Sequence[str | Path],
    *,
    name: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str = "",
    stop_signal: signal.Signals = signal.SIGTERM,
    death_signal: signal.Signals | None = None,
) -> Process:
    """Start ``command`` in a process group of its own; it does not outlive this process, however that ends.

    Parameters
    ----------
    command
        Program and arguments; the program is looked up on the PATH of ``env``.
    name
        What messages call it.
    log
        File that its stdout and stderr are appended to.
    env
        Its whole environment; None passes this process's own.
    cwd
        Working directory; None keeps the present one.
    user
        System user to become first (only root can); empty keeps the present one.
    stop_signal
        Asks it to finish cleanly.
    death_signal
        What the kernel sends it when this process ends; None means ``stop_signal``.

    Raises
    ------
    ProcessError
        The program does not exist or may not be run.
    """
    environment = dict(os.environ if env is None else env)
    program = shutil.which(str(command[0]), path=environment.get("PATH"))
    if program is None:
        raise ProcessError(f"cannot run {command[0]} for {name}: no such program", "run `make setup`")
    log.parent.mkdir(parents=True, exist_ok=True)
    guard = [sys.executable, "-I", "-S", GUARD, os.getpid(), int(death_signal or stop_signal), user, "--"]
    argv = [str(part) for part in (*guard, os.path.abspath(program), *command[1:])]  # noqa: PTH100 - keep symlinks
    popen = _start_thread().submit(_popen, argv, log, environment, cwd).result()
    return Process(popen, name, log, stop_signal)


def _popen(argv: list[str], log: Path, env: dict[str, str], cwd: Path | None) -> "subprocess.Popen[bytes]":
    with log.open("ab") as sink:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )


def tail(log: Path, size: int = LOG_TAIL_BYTES) -> str:
    """The last ``size`` bytes of a log as text; empty when there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as source:
        source.seek(max(0, log.stat().st_size - size))
        return source.read().decode(errors="replace").strip()


def free_ports(count: int) -> tuple[int, ...]:
    """Distinct loopback TCP ports that nobody listens on at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)


def require_free(port: int, setting: str) -> int:
    """``port`` if it can be listened on; PortInUseError naming ``setting`` otherwise."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            message = f"port {port} ({setting}) cannot be used: {getattr(error, 'strerror', None) or error}"
            raise PortInUseError(
                message, f"stop what listens there, or choose another {setting} (0 picks one)"
            ) from error
    return port


def accepts(host: str, port: int, timeout_s: float = 0.5) -> bool:
    """Whether something accepts TCP connections there."""
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError:
        return False
    return True
