"""Started processes are logged, waited for and ended, whichever way their starter ends."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from infra.errors import PortInUseError, ProcessError
from infra.processes import accepts, free_ports, require_free, start, tail

SLEEP = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(60)"]


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_a_process_is_logged_waited_for_and_stopped(tmp_path):
    log = tmp_path / "deep" / "sleeper.log"
    with start(SLEEP, name="sleeper", log=log) as process:
        process.wait_ready(lambda: "up" in tail(log), 10)
        assert process.alive()
        pid = process.pid
    assert not running(pid)
    assert process.returncode == -signal.SIGTERM
    process.stop()


def test_a_process_that_dies_while_starting_gives_code_and_log(tmp_path):
    process = start(
        [sys.executable, "-S", "-c", "import sys; sys.exit('no such luck')"], name="x", log=tmp_path / "x.log"
    )
    with pytest.raises(ProcessError, match="x ended with code 1 while starting") as caught:
        process.wait_ready(lambda: False, 10)
    assert "no such luck" in caught.value.message
    assert str(tmp_path / "x.log") in caught.value.fix


def test_a_process_that_is_never_ready_is_stopped(tmp_path):
    process = start(SLEEP, name="sleeper", log=tmp_path / "log")
    with pytest.raises(ProcessError, match=r"not ready after 0\.2 s"):
        process.wait_ready(lambda: False, 0.2)
    assert not running(process.pid)


def test_a_process_that_ignores_the_request_is_killed_with_its_children(tmp_path):
    script = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)']).pid, flush=True)\n"
        "time.sleep(60)"
    )
    process = start([sys.executable, "-c", script], name="deaf", log=tmp_path / "log")
    assert wait_for(lambda: tail(tmp_path / "log"))
    child = int(tail(tmp_path / "log"))
    process.stop(timeout_s=0.2)
    assert not running(process.pid)
    assert wait_for(lambda: not running(child))


def test_a_missing_program_is_named(tmp_path):
    with pytest.raises(ProcessError, match="no-such-program"):
        start(["no-such-program"], name="x", log=tmp_path / "log")


def test_a_process_outlives_the_thread_that_started_it(tmp_path):
    started = []
    thread = threading.Thread(target=lambda: started.append(start(SLEEP, name="s", log=tmp_path / "log")))
    thread.start()
    thread.join()
    with started[0] as process:
        process.wait_ready(lambda: "up" in tail(tmp_path / "log"), 10)
        time.sleep(0.1)
        assert process.alive()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_ends_with_its_killed_starter(tmp_path, ending):
    script = (
        "import sys, time; from pathlib import Path; from infra.processes import start\n"
        "sleep = [sys.executable, '-S', '-c', 'import time; time.sleep(60)']\n"
        "print(start(sleep, name='s', log=Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        pid = int(starter.stdout.readline())
        os.kill(starter.pid, ending)
    assert wait_for(lambda: not running(pid))


def test_a_process_started_with_sigint_ignored_still_hears_it(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start(SLEEP, name="s", log=tmp_path / "log", stop_signal=signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    process.wait_ready(lambda: "up" in tail(tmp_path / "log"), 10)
    process.stop()
    assert process.returncode in (-signal.SIGINT, 1, 130)


def test_free_ports_are_distinct_and_free():
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert not any(accepts("127.0.0.1", port) for port in ports)
    assert [require_free(port, "x") for port in ports] == list(ports)


def test_a_port_beyond_tcp_is_refused():
    with pytest.raises(PortInUseError, match="port 70000"):
        require_free(70000, "x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_may_enter_closed_folders_but_write_nothing_there(tmp_path):
    tmp_path.chmod(0o700)
    shell = tmp_path / "sh"
    shutil.copy(shutil.which("sh"), shell)
    shell.chmod(0o755)
    script = f"id -u; test -x '{shell}' && echo runs; touch '{tmp_path}/new' 2>/dev/null || echo refused"
    with start([shell, "-c", script], name="sh", log=tmp_path / "log", user="nobody") as process:
        process.wait_done(10)
    assert tail(tmp_path / "log").split() == [str(pwd.getpwnam("nobody").pw_uid), "runs", "refused"]
    assert not (tmp_path / "new").exists()
    assert shell.stat().st_mode & 0o777 == 0o755
    assert tmp_path.stat().st_mode & 0o777 == 0o700
