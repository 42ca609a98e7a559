"""The real server: it computes what ONNX Runtime computes, changes versions while answering, leaves nothing behind."""

import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from infra.errors import ModelError, PortInUseError, TritonDeadError, TritonMissingError
from infra.processes import free_ports
from infra.triton.client import Connection, known_answer, reference
from infra.triton.config import write_config
from infra.triton.environment import VENV_SETTING
from infra.triton.launcher import start_triton, triton_server
from tests.infra.models import FEATURES, MEMBERS, WINDOW, rows, write_model

pytestmark = pytest.mark.integration


def wait_gone(pgid: int, timeout_s: float = 5.0) -> bool:
    """Whether a process group is empty, asked for at most ``timeout_s``: a killed process takes a moment."""
    deadline = time.monotonic() + timeout_s
    while group_members(pgid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not group_members(pgid)


def group_members(pgid: int) -> list[int]:
    """Live processes of a process group, zombies aside."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == pgid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "scalper" / "1" / "model.onnx", seed=1)
    write_config(folder, "scalper", 64, WINDOW, FEATURES, MEMBERS)
    return folder


@pytest.fixture(scope="module")
def server(repository, tmp_path_factory):
    with triton_server(repository, tmp_path_factory.mktemp("a home"), ["scalper"]) as running:
        pid = running.pid
        yield running
    assert wait_gone(pid)
    assert not list(Path("/dev/shm").glob(f"cryptoscalp_{os.getpid()}_{running.http_url.rpartition(':')[2]}_*"))


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_triton_computes_what_onnxruntime_computes(server, repository, batch):
    x = rows(batch, seed=batch)
    proba, members = reference(repository / "scalper" / "1" / "model.onnx", x)
    connection = Connection(server.http_url)
    served_proba, served_members = connection.infer("scalper", 1, x)
    connection.close()
    np.testing.assert_allclose(served_proba, proba, atol=1e-6)
    np.testing.assert_allclose(served_members, members, atol=1e-6)
    assert known_answer(server.http_url, "scalper", 1, x, proba) <= 1e-6


def test_known_answer_sees_a_wrong_model(server, repository):
    x = rows(1)
    other, _ = reference(write_model(repository / "other.onnx", seed=9), x)
    assert known_answer(server.http_url, "scalper", 1, x, other) > 1e-3


def test_known_answer_refuses_another_shape(server):
    with pytest.raises(ModelError, match="expected"):
        known_answer(server.http_url, "scalper", 1, rows(2), np.full((1, 3), 1 / 3))


def test_version_two_is_loaded_over_the_top_without_losing_a_request(server, repository):
    stop, answered, failures = threading.Event(), [], []

    def ask():
        connection, x = Connection(server.http_url), rows(1)
        while not stop.is_set() and not failures:
            try:
                answered.append(connection.infer("scalper", 1, x)[0])
            except (ModelError, TritonDeadError) as error:
                failures.append(str(error))
        connection.close()

    asking = threading.Thread(target=ask)
    asking.start()
    while len(answered) < 20 and asking.is_alive():
        time.sleep(0.001)
    write_model(repository / "scalper" / "2" / "model.onnx", seed=2)
    before = len(answered)
    server.load("scalper", 1, 2)
    stop.set()
    asking.join()
    assert failures == []
    assert len(answered) > before
    x = rows(3)
    for version in (1, 2):
        expected, _ = reference(repository / "scalper" / str(version) / "model.onnx", x)
        assert known_answer(server.http_url, "scalper", version, x, expected) <= 1e-6


def test_a_corrupt_version_is_refused_and_the_loaded_ones_keep_serving(server, repository, tmp_path):
    broken = repository / "broken" / "1" / "model.onnx"
    write_model(broken, seed=3)
    write_config(repository, "broken", 8, WINDOW, FEATURES, MEMBERS)
    server.load("broken", 1)
    newer = repository / "broken" / "2" / "model.onnx"
    newer.parent.mkdir()
    newer.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(ModelError, match="broken"):
        server.load("broken", 1, 2)
    assert server.ready("broken", 1)
    assert not server.ready("broken", 2)
    assert server.alive()
    server.unload("broken")
    assert not server.ready("broken", 1)


def test_a_wrong_input_shape_is_refused_and_the_next_request_is_answered(server):
    connection = Connection(server.http_url)
    with pytest.raises(ModelError, match="shape"):
        connection.infer("scalper", 1, np.zeros((1, WINDOW, FEATURES + 1), np.float32))
    assert connection.infer("scalper", 1, rows(1))[0].shape == (1, 3)
    connection.close()


def test_grpc_answers_the_same(server, repository):
    grpc = pytest.importorskip("tritonclient.grpc")
    x = rows(2)
    tensor = grpc.InferInput("x", list(x.shape), "FP32")
    tensor.set_data_from_numpy(x)
    client = grpc.InferenceServerClient(server.grpc_url)
    served = client.infer("scalper", [tensor], model_version="1").as_numpy("proba")
    client.close()
    np.testing.assert_allclose(served, reference(repository / "scalper" / "1" / "model.onnx", x)[0], atol=1e-6)


def test_only_loopback_is_listened_on(server):
    port = int(server.http_url.rpartition(":")[2])
    local = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [address for address, _, state in local if state == "0A" and int(address.partition(":")[2], 16) == port]
    assert listening
    assert {address.partition(":")[0] for address in listening} == {"0100007F"}


def test_a_killed_server_is_reported_dead_and_its_helpers_go_with_it(repository, tmp_path):
    server = start_triton(repository, tmp_path, ["scalper"])
    pid = server.pid
    os.kill(pid, 9)
    server.stop()
    assert not server.alive()
    assert wait_gone(pid)
    with pytest.raises(TritonDeadError, match="does not answer"):
        known_answer(server.http_url, "scalper", 1, rows(1), np.zeros((1, 3)))


def test_a_model_that_does_not_load_stops_the_server_it_was_started_for(repository, tmp_path):
    with pytest.raises(ModelError, match="absent"), triton_server(repository, tmp_path, ["absent"]):
        pass
    assert "tritonserver" not in "".join(p.name for p in tmp_path.iterdir())
    assert (tmp_path / "triton.log").stat().st_size > 0


def test_a_taken_port_is_named(repository, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} \\(HTTP port\\)"):
            start_triton(repository, tmp_path, ports=(port, 0, 0))


def test_a_missing_environment_is_named_with_a_fix(repository, tmp_path, monkeypatch):
    monkeypatch.setenv(VENV_SETTING, str(tmp_path / "nowhere"))
    with pytest.raises(TritonMissingError, match="nowhere") as caught:
        start_triton(repository, tmp_path)
    assert "make setup" in caught.value.fix


def test_nobody_listens_gives_a_dead_server(tmp_path):
    (port,) = free_ports(1)
    started = time.monotonic()
    with pytest.raises(TritonDeadError, match=str(port)):
        known_answer(f"127.0.0.1:{port}", "scalper", 1, rows(1), np.zeros((1, 3)))
    assert time.monotonic() - started < 5
