"""Starts the real ``tritonserver`` from its own environment, with no container and no GPU needed.

The environment holds nvidia-pytriton, numpy 1.26 and onnxruntime; ``CRYPTOSCALP_TRITON_VENV`` names it (default
``.venv-triton`` beside the project). Everything listens on loopback.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Self

from infra.errors import ModelError, ProcessError, TritonDeadError
from infra.processes import Process, free_ports, require_free, start
from infra.triton.client import Connection, known_answer, reference
from infra.triton.config import model_names, versions_on_disk
from infra.triton.environment import (
    backend_folder,
    copy_backends,
    require_stub_loads,
    server_environment,
    site_packages,
    triton_venv,
)

__all__ = ["TritonServer", "known_answer", "reference", "start_triton", "triton_server", "triton_venv"]

START_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 120.0
EXIT_TIMEOUT_S = 5
START_ATTEMPTS = 3


@dataclass(frozen=True)
class Layout:
    """The folders one server works with, all absolute."""

    site: Path
    backends: Path
    repository: Path
    home: Path


def _command(layout: Layout, ports: Sequence[int], region: str) -> list[str | Path]:
    http, grpc, metrics = ports
    return [
        layout.site / "pytriton" / "tritonserver" / "bin" / "tritonserver",
        f"--model-repository={layout.repository}",
        f"--backend-directory={layout.backends}",
        f"--backend-config=python,shm-region-prefix-name={region}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        "--strict-readiness=false",
        "--pinned-memory-pool-byte-size=0",
        "--allow-gpu-metrics=false",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        "--http-address=127.0.0.1",
        f"--http-port={http}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc}",
        "--metrics-address=127.0.0.1",
        f"--metrics-port={metrics}",
    ]


class TritonServer:
    """A running Triton: where it listens, what it serves, and its end.

    ``http_url`` and ``grpc_url`` are ``host:port``; ``metrics_url`` is a whole address.
    """

    def __init__(self, process: Process, ports: Sequence[int], repository: Path, region: str) -> None:
        self._process = process
        self._region = region
        self._afterwards = contextlib.ExitStack()
        self.repository = repository
        self.http_url = f"127.0.0.1:{ports[0]}"
        self.grpc_url = f"127.0.0.1:{ports[1]}"
        self.metrics_url = f"http://127.0.0.1:{ports[2]}/metrics"
        self.log = process.log
        self._connection = Connection(self.http_url, LOAD_TIMEOUT_S)
        self.version = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process runs and answers."""
        if not self._process.alive():
            return False
        try:
            return self._connection.call("GET", "/v2/health/live").status == HTTPStatus.OK
        except TritonDeadError:
            return False

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until it answers; ProcessError with the end of its log otherwise."""
        self._process.wait_ready(self.alive, timeout_s)
        self.version = str(json.loads(self._connection.call("GET", "/v2").body)["version"])

    def load(self, name: str, *versions: int) -> None:
        """Load a model as it is on disk now, over the top of what runs: no request is lost.

        Parameters
        ----------
        name
            Folder in the repository.
        versions
            Versions that must be ready afterwards; empty means the newest on disk.

        Raises
        ------
        ModelError
            The server refused it (the versions loaded before keep serving), or a version is not ready.
        """
        answer = self._connection.call("POST", f"/v2/repository/models/{name}/load", b"{}")
        if answer.status != HTTPStatus.OK:
            raise ModelError(f"Triton cannot load {name}: {answer.error}", f"publish it again; details in {self.log}")
        for version in versions or self._newest(name):
            if not self.ready(name, version):
                message = f"{name} version {version} is not served after loading {self.repository / name}"
                raise ModelError(message, f"check version_policy in {self.repository / name / 'config.pbtxt'}")

    def _newest(self, name: str) -> list[int]:
        return versions_on_disk(self.repository / name)[-1:]

    def unload(self, name: str) -> None:
        """Stop serving a model. Requests on their way are lost: to change versions, use :meth:`load` alone."""
        answer = self._connection.call("POST", f"/v2/repository/models/{name}/unload", b"{}")
        if answer.status != HTTPStatus.OK:
            raise ModelError(f"Triton cannot unload {name}: {answer.error}", f"details in {self.log}")

    def ready(self, name: str, version: int) -> bool:
        """Whether this version answers requests."""
        path = f"/v2/models/{name}/versions/{version}/ready"
        return self._connection.call("GET", path).status == HTTPStatus.OK

    def after_stop(self, stack: contextlib.ExitStack) -> None:
        """Hand over what must be closed once the server has ended."""
        self._afterwards.enter_context(stack)

    def stop(self) -> None:
        """Finish cleanly and remove what it leaves in shared memory. Safe to call twice."""
        self._connection.close()
        self._process.stop(EXIT_TIMEOUT_S + 5.0)
        for left in Path("/dev/shm").glob(f"{self._region}*"):
            with contextlib.suppress(OSError):
                left.unlink()
        self._afterwards.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_triton(
    repository: Path,
    home: Path,
    models: Sequence[str] | None = (),
    ports: Sequence[int] = (0, 0, 0),
    timeout_s: float = START_TIMEOUT_S,
) -> TritonServer:
    """Start a server and load ``models``; the caller stops it (see :func:`triton_server` for the block form).

    Parameters
    ----------
    repository
        Model repository: ``<name>/config.pbtxt``, ``<name>/<version>/model.onnx``.
    home
        Where ``backends/`` and ``triton.log`` go.
    models
        Names to load before returning; None loads every model of the repository.
    ports
        HTTP, gRPC and metrics; 0 picks a free one.
    timeout_s
        How long the server, still without models, may take to answer.

    Raises
    ------
    TritonMissingError
        No server environment, or its Python library is missing.
    PortInUseError
        An asked-for port is taken.
    ProcessError
        It died or was not ready in time; the message holds the end of its log.
    ModelError
        A model did not load.
    """
    repository.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        backends = stack.enter_context(backend_folder(home.resolve()))
        layout = Layout(site_packages(), backends, repository.resolve(), home.resolve())
        copy_backends(layout.site, backends)
        require_stub_loads(backends, server_environment(layout.site))
        server = _answering(layout, ports, timeout_s)
        server.after_stop(stack.pop_all())
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(server.stop)
        for name in model_names(repository) if models is None else models:
            server.load(name)
        on_failure.pop_all()
    return server


def _answering(layout: Layout, ports: Sequence[int], timeout_s: float) -> TritonServer:
    """A server that answers; tried again when somebody took a port between its choice and its use."""
    for attempt in range(1, START_ATTEMPTS + 1):
        server = _launch(layout, ports)
        try:
            server.wait_ready(timeout_s)
            break
        except ProcessError as error:
            server.stop()
            if "already in use" not in str(error) or attempt == START_ATTEMPTS:
                raise
    return server


def _launch(layout: Layout, ports: Sequence[int]) -> TritonServer:
    free = free_ports(len(ports))
    names = ("HTTP port", "gRPC port", "metrics port")
    chosen = [require_free(p, name) if p else other for p, other, name in zip(ports, free, names, strict=True)]
    region = f"cryptoscalp_{os.getpid()}_{chosen[0]}_"
    command = _command(layout, chosen, region)
    env = server_environment(layout.site)
    process = start(command, name="tritonserver", log=layout.home / "triton.log", env=env)
    return TritonServer(process, chosen, layout.repository, region)


@contextlib.contextmanager
def triton_server(repository: Path, home: Path, models: Sequence[str] | None = ()) -> Iterator[TritonServer]:
    """A running server for the length of a block (see :func:`start_triton`)."""
    server = start_triton(repository, home, models)
    try:
        yield server
    finally:
        server.stop()
