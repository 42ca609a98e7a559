"""`cryptoscalp serve`: Triton in the foreground."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from infra.triton.launcher import TritonServer

Port = Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one")]


def serve(
    repository: Annotated[Path, typer.Option(help="model repository to serve")] = Path("model_repository"),
    home: Annotated[Path, typer.Option(help="where the server's log and backends go")] = Path("var/triton"),
    http_port: Port = 8000,
    grpc_port: Port = 8001,
    metrics_port: Port = 8002,
) -> None:
    """Serve every published model on loopback until Ctrl-C; prints one JSON line when ready."""
    from infra.cli.supervisor import Supervisor, until_stopped
    from infra.triton.launcher import start_triton

    with until_stopped(), Supervisor() as supervisor:
        ports = (http_port, grpc_port, metrics_port)
        server = supervisor.add("Triton", start_triton(repository, home, models=None, ports=ports))
        print(json.dumps(describe(server)), flush=True)
        supervisor.watch()


def describe(server: "TritonServer") -> dict[str, object]:
    """What a client needs to know: addresses, version, process, models."""
    from infra.triton.config import model_names

    return {
        "http": f"http://{server.http_url}",
        "grpc": server.grpc_url,
        "metrics": server.metrics_url,
        "pid": server.pid,
        "triton": server.version,
        "models": model_names(server.repository),
    }
