"""Starts the simulated exchange and the paper trader as processes of their own."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.processes import Process, start

READY_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Exchange:
    """A running simulated exchange and what a client needs to reach it."""

    process: Process
    rest: str
    ws: str
    api_key: str
    secret: str

    def alive(self) -> bool:
        return self.process.alive()

    def stop(self) -> None:
        self.process.stop()


def start_exchange(tape: Path, start_ns: int, seed: int, log: Path) -> Exchange:
    """A simulated exchange streaming ``tape`` from ``start_ns`` on; waits for its ready line."""
    log.unlink(missing_ok=True)
    module = [sys.executable, "-m", "market.simulator"]
    options = ["--tape", str(tape), "--start-ns", str(start_ns), "--seed", str(seed)]
    process = start([*module, *options], name="simulated exchange", log=log)
    process.wait_ready(lambda: bool(_ready(log)), READY_TIMEOUT_S)
    ready = _ready(log)
    return Exchange(process, ready["rest"], ready["ws"], ready["api_key"], ready["secret"])


def _ready(log: Path) -> dict[str, str]:
    """Its one JSON line, whole; empty until it stands in the log."""
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line for line in text.splitlines(keepends=True) if line.startswith('{"rest"') and line.endswith("\n")]
    return dict(json.loads(lines[0])) if lines else {}


def start_trader(
    exchange: Exchange, symbols: Sequence[str], triton_http: str, repository: Path, run: Path, online_store: str
) -> Process:
    """A paper trader against ``exchange``, in a new folder ``run``; it ends with the exchange's tape."""
    run.mkdir(parents=True)
    command = [
        *(sys.executable, "-m", "infra.cli.main", "trade", "--mode", "paper", "--json", "--stop-on-tape-end"),
        *("--symbols", ",".join(symbols), "--rest", exchange.rest, "--ws", exchange.ws),
        *("--triton", triton_http, "--repository", str(repository), "--home", str(run)),
        *("--online-store", online_store),
    ]
    keys = {"CRYPTOSCALP_API_KEY": exchange.api_key, "CRYPTOSCALP_API_SECRET": exchange.secret}
    return start(command, name="trader", log=run / "trader.log", env={**os.environ, **keys})
