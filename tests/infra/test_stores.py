"""The embedded servers are real, keep their data over a restart, and end with whoever started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg2
import pytest
import redis

from infra.errors import PortInUseError, ProcessError, StoreError
from infra.processes import free_ports
from infra.stores import PG_SETTING, REDIS_SETTING, masked, postgres, redis_server

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def no_given_servers(monkeypatch):
    monkeypatch.delenv(PG_SETTING, raising=False)
    monkeypatch.delenv(REDIS_SETTING, raising=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace with a space in its name and closed to everybody else."""
    folder = tmp_path_factory.mktemp("work space")
    folder.chmod(0o700)
    return folder


def query(dsn, *statements):
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def running(pid):
    """Whether a process exists and has not merely been left unreaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_gone(pid, timeout_s=15.0):
    deadline = time.monotonic() + timeout_s
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(pid)


def test_postgres_keeps_rows_over_a_restart_and_leaves_folders_closed(home):
    with postgres(home) as first:
        assert query(first.dsn, "SHOW server_version")[0][0].startswith("18.")
        query(first.dsn, "CREATE TABLE fills (qty int)", "INSERT INTO fills VALUES (7)")
        pid = first.pid
    assert not running(pid)
    (home / "postgres" / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n/elsewhere\n")
    with postgres(home) as second:
        assert query(second.dsn, "SELECT qty FROM fills") == [(7,)]
    assert home.stat().st_mode & 0o777 == 0o700


def test_postgres_refuses_a_wrong_password(home):
    with postgres(home) as server, pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        query(server.dsn.replace("@127", "x@127"), "SELECT 1")


def test_a_second_server_on_the_same_data_is_refused(home, monkeypatch):
    monkeypatch.setattr("infra.postgres.PREVIOUS_OWNER_S", 0.3)
    with postgres(home) as server:
        with pytest.raises(StoreError, match=f"process {server.pid} still uses"):
            postgres(home)
        assert query(server.dsn, "SELECT 1") == [(1,)]


def test_an_interrupted_creation_is_begun_again(tmp_path):
    part = tmp_path / "postgres" / "data.part"
    part.mkdir(parents=True)
    (part / "PG_VERSION").write_text("18\n")
    with postgres(tmp_path) as server:
        assert query(server.dsn, "SELECT 1") == [(1,)]


def test_a_given_dsn_is_used_as_it_is_and_not_stopped(home, tmp_path):
    with postgres(home) as server:
        with postgres(tmp_path, server.dsn) as given:
            assert given.dsn == server.dsn
            assert given.pid is None
        assert running(server.pid)
    assert list(tmp_path.iterdir()) == []


def test_a_dead_dsn_is_named_without_its_password(tmp_path):
    (port,) = free_ports(1)
    with pytest.raises(StoreError, match=f"127.0.0.1:{port}") as caught:
        postgres(tmp_path, f"postgresql://me:hunter2@127.0.0.1:{port}/db")
    assert "hunter2" not in str(caught.value)
    assert PG_SETTING in caught.value.message


def test_redis_keeps_keys_over_a_restart(home):
    with redis_server(home) as first:
        redis.Redis.from_url(first.url).set("scalper", "1")
        pid = first.pid
    assert not running(pid)
    with redis_server(home) as second:
        assert redis.Redis.from_url(second.url).get("scalper") == b"1"


def test_a_given_redis_is_used_as_it_is_and_not_stopped(home, tmp_path, monkeypatch):
    with redis_server(home) as server:
        monkeypatch.setenv(REDIS_SETTING, server.url)
        with redis_server(tmp_path) as given:
            assert (given.url, given.pid) == (server.url, None)
        assert running(server.pid)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}/0", "nonsense://127.0.0.1:{port}"])
def test_a_dead_or_malformed_redis_url_is_named(tmp_path, url):
    address = url.format(port=free_ports(1)[0])
    with pytest.raises(StoreError, match=REDIS_SETTING) as caught:
        redis_server(tmp_path, address)
    assert address in caught.value.message


def test_a_taken_port_is_named(home, tmp_path):
    with redis_server(home) as server, pytest.raises(PortInUseError, match=str(server.address[1])):
        redis_server(tmp_path, port=server.address[1])


def test_a_spoiled_append_only_file_gives_the_end_of_the_log(tmp_path):
    with redis_server(tmp_path):
        pass
    manifest = next((tmp_path / "redis").rglob("*.manifest"))
    manifest.write_text("spoiled\n")
    with pytest.raises(ProcessError, match="manifest"):
        redis_server(tmp_path)


def test_both_servers_end_when_their_owner_is_killed(home):
    script = (
        "import sys, time; from pathlib import Path; from infra.stores import postgres, redis_server\n"
        "home = Path(sys.argv[1]); p, r = postgres(home), redis_server(home)\n"
        "print(p.pid, r.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(home)], stdout=subprocess.PIPE, text=True) as owner:
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 2
        os.kill(owner.pid, signal.SIGKILL)
    assert all(wait_gone(pid) for pid in pids)
    with postgres(home) as server:
        assert query(server.dsn, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@db:5432/x", "postgresql://me:***@db:5432/x"),
        ("redis://:secret@cache:6379/0", "redis://:***@cache:6379/0"),
        ("host=db user=me password=secret", "host=db user=me password=***"),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
    ],
)
def test_passwords_are_masked(url, shown):
    assert masked(url) == shown
