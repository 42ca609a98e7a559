"""The supervisor ends everything it holds, in reverse, and notices what ends by itself."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.cli.supervisor import Supervisor
from infra.errors import ProcessError
from infra.triton.client import known_answer, reference
from infra.triton.config import write_config
from tests.infra.models import FEATURES, MEMBERS, WINDOW, rows, write_model


class Recorded:
    """A server that writes down when it is stopped."""

    def __init__(self, name, events):
        self.name, self.events, self.living = name, events, True

    def alive(self):
        return self.living

    def stop(self):
        self.events.append(self.name)


def test_everything_is_stopped_in_reverse_even_after_an_error():
    events = []
    with pytest.raises(RuntimeError), Supervisor() as supervisor:
        for name in ("store", "server", "trader"):
            supervisor.add(name, Recorded(name, events))
        raise RuntimeError
    assert events == ["trader", "server", "store"]


def test_a_server_that_ends_by_itself_is_named():
    with Supervisor() as supervisor:
        server = supervisor.add("server", Recorded("server", []))
        supervisor.check()
        server.living = False
        with pytest.raises(ProcessError, match="server ended unexpectedly"):
            supervisor.watch()


def test_a_server_of_the_same_name_replaces_the_old_one():
    events = []
    with Supervisor() as supervisor:
        supervisor.add("trader", Recorded("first", events))
        supervisor.add("trader", Recorded("second", events))
        assert events == ["first"]
    assert events == ["first", "second"]


@pytest.mark.integration
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_until_it_is_interrupted(tmp_path, ending):
    model = write_model(tmp_path / "models" / "scalper" / "1" / "model.onnx", seed=1)
    write_config(tmp_path / "models", "scalper", 8, WINDOW, FEATURES, MEMBERS)
    options = ["--repository", tmp_path / "models", "--home", tmp_path / "home"]
    ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    command = [sys.executable, "-m", "infra.cli.main", "serve", *map(str, options), *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        ready = json.loads(serving.stdout.readline())
        x = rows(1)
        assert ready["models"] == ["scalper"]
        assert known_answer(ready["http"], "scalper", 1, x, reference(model, x)[0]) <= 1e-6
        os.kill(serving.pid, ending)
        assert serving.wait(20) == 0
    assert not Path(f"/proc/{ready['pid']}").exists()
