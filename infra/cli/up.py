"""`cryptoscalp up`: everything at once, until Ctrl-C."""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from infra.cli.supervisor import WATCH_S, Supervisor, until_stopped
from infra.errors import ModelError
from infra.processes import Process, free_ports, require_free, start

if TYPE_CHECKING:
    from infra.triton.launcher import TritonServer

MODEL = "scalper"
SIMULATED_MINUTES = 20.0
SHORTEST_RUN_S = 5.0
EXCHANGE, TRADER = "simulated exchange", "trader"


@dataclass(frozen=True)
class House:
    """The workspace, the models served, and the tape that is traded on."""

    home: Path
    repository: Path
    tape: Path
    start_ns: int
    symbols: tuple[str, ...]
    seed: int


def up(
    home: Annotated[Path, typer.Option(help="workspace; the demo's holds a model and runs already")] = Path("var/demo"),
    repository: Annotated[Path, typer.Option(help="model repository to serve")] = Path("model_repository"),
    tape: Annotated[Path | None, typer.Option(help="tape to stream; else the demo's, or a simulated one")] = None,
    seed: Annotated[int, typer.Option(help="seed of the exchange and of a simulated tape")] = 7,
    dagster_port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one")] = 3000,
) -> None:
    """Run Postgres, Valkey, Dagster, Triton, a simulated exchange and the paper trader until Ctrl-C stops all of them.

    Prints one JSON line with the addresses when everything runs. A tape that ends is streamed again.
    """
    from infra.stores import REDIS_SETTING
    from infra.triton.launcher import start_triton

    port = require_free(dagster_port, "--dagster-port") if dagster_port else free_ports(1)[0]
    with until_stopped(), Supervisor() as supervisor:
        house = _house(home.resolve(), repository.resolve(), tape, seed)
        env = _start_stores(supervisor, house)
        _say("starting Triton")
        triton = supervisor.add("Triton", start_triton(house.repository, house.home / "triton", [MODEL]))
        _start_dagster(supervisor, house, port, env)
        run = _start_trading(supervisor, house, triton, env[REDIS_SETTING])
        print(json.dumps(_addresses(triton, port, env, run)), flush=True)
        _say("everything runs; Ctrl-C stops it all")
        _keep_trading(supervisor, house, triton, env[REDIS_SETTING])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _house(home: Path, repository: Path, tape: Path | None, seed: int) -> House:
    """The latest session of the given tape, of the demo's newest one, or of one simulated now."""
    from infra.triton.config import model_names
    from market.tape import sessions

    if MODEL not in model_names(repository):
        fix = "run `make demo` once: it trains and publishes one"
        raise ModelError(f"no model {MODEL} is published in {repository}", fix)
    chosen = tape or _newest_tape(home / "tapes") or _simulate(home / "tapes" / f"up_seed{seed}", seed)
    session = sessions(chosen)[-1]
    return House(home, repository, chosen, session.first_ns, session.symbols, seed)


def _newest_tape(folder: Path) -> Path | None:
    whole = [path for path in folder.glob("*") if path.is_dir() and not path.name.startswith(".")]
    return max(whole, key=lambda path: path.stat().st_mtime, default=None)


def _simulate(folder: Path, seed: int) -> Path:
    """Generate into a hidden folder first, so that an interrupted start leaves no half tape."""
    import shutil

    from market.simulator.generator import generate

    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    _say(f"simulating {SIMULATED_MINUTES:g} minutes of market into {folder}")
    generate(part, seed, minutes=SIMULATED_MINUTES)
    return part.replace(folder)


def _start_stores(supervisor: Supervisor, house: House) -> dict[str, str]:
    """Start both stores; the environment in which Dagster and the pipeline find them and the workspace."""
    from infra.dagster_instance import write_dagster_home
    from infra.stores import PG_SETTING, REDIS_SETTING, postgres, redis_server

    _say("starting Postgres and Valkey")
    database = supervisor.add("Postgres", postgres(house.home / "postgres"))
    cache = supervisor.add("Valkey", redis_server(house.home / "redis"))
    return {
        PG_SETTING: database.dsn,
        REDIS_SETTING: cache.url,
        "DAGSTER_HOME": str(write_dagster_home(house.home, database.dsn)),
        "DO_NOT_TRACK": "1",
        "CRYPTOSCALP__PIPELINE__HOME": str(house.home / "pipeline"),
        "CRYPTOSCALP__PIPELINE__TAPE": str(house.tape),
        "CRYPTOSCALP__PIPELINE__MODEL_REPOSITORY": str(house.repository),
        "CRYPTOSCALP__PIPELINE__REDIS_URL": cache.url,
        "CRYPTOSCALP__PIPELINE__PG_DSN": database.dsn,
    }


def _start_dagster(supervisor: Supervisor, house: House, port: int, env: Mapping[str, str]) -> None:
    """The web page, and the daemon behind its schedules and sensors; both read ``pipelines.definitions``."""
    from infra.processes import accepts

    _say(f"starting Dagster on http://127.0.0.1:{port}")
    code = ["-m", "pipelines.definitions"]
    web = ["-m", "dagster_webserver", *code, "-h", "127.0.0.1", "-p", str(port)]
    page = _start_python(supervisor, "Dagster page", web, house.home / "dagster-page.log", env)
    daemon = ["-m", "dagster._daemon", "run", *code]
    _start_python(supervisor, "Dagster daemon", daemon, house.home / "dagster-daemon.log", env)
    page.wait_ready(lambda: accepts("127.0.0.1", port), timeout_s=120.0)


def _start_python(
    supervisor: Supervisor, name: str, arguments: Sequence[str], log: Path, env: Mapping[str, str]
) -> Process:
    return supervisor.add(name, start([sys.executable, *arguments], name=name, log=log, env={**os.environ, **env}))


def _start_trading(supervisor: Supervisor, house: House, triton: "TritonServer", online_store: str) -> Path:
    """A fresh exchange and a trader on it; both run once through the tape. Returns the trader's run folder."""
    from infra.cli.exchange import start_exchange, start_trader

    supervisor.drop(TRADER)
    log = house.home / "exchange.log"
    exchange = supervisor.add(EXCHANGE, start_exchange(house.tape, house.start_ns, house.seed, log))
    run = house.home / "runs" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    url = f"http://{triton.http_url}"
    supervisor.add(TRADER, start_trader(exchange, house.symbols, url, house.repository, run, online_store))
    _say(f"trading {', '.join(house.symbols)} on paper; journal in {run}")
    return run


def _keep_trading(supervisor: Supervisor, house: House, triton: "TritonServer", online_store: str) -> NoReturn:
    """Stream the tape again whenever the trader has come to its end; anything else that ends is an error."""
    started = time.monotonic()
    while True:
        played = time.monotonic() - started > SHORTEST_RUN_S
        if supervisor.finished(TRADER) and played:
            _start_trading(supervisor, house, triton, online_store)
            started = time.monotonic()
        supervisor.check()
        time.sleep(WATCH_S)


def _addresses(triton: "TritonServer", port: int, env: Mapping[str, str], run: Path) -> dict[str, str]:
    from infra.stores import PG_SETTING, REDIS_SETTING, masked

    return {
        "dagster": f"http://127.0.0.1:{port}",
        "triton": f"http://{triton.http_url}",
        "triton_metrics": triton.metrics_url,
        "postgres": masked(env[PG_SETTING]),
        "redis": env[REDIS_SETTING],
        "run": str(run),
    }
