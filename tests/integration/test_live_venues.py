"""The same trader on the other two venues: frames in, orders out, flat at the end, replayed without a difference."""

import json
import os
import sys
import time
from decimal import Decimal

import pytest

from infra.processes import start
from infra.triton.launcher import triton_server
from market.simulator.generator import generate
from market.tape import sessions
from pipelines.run_summary import replay_run
from tests.integration.bundles import publish_small
from tests.integration.test_live_paper import call, wait_end
from trader.journal import Run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
SPEED = 4
SYMBOLS = {"okx": "BTC-USDT-SWAP,ETH-USDT-SWAP", "bybit": "BTCUSDT,ETHUSDT"}


@pytest.mark.parametrize("venue", list(SYMBOLS))
def test_a_run_on_each_venue_ends_flat_agrees_with_it_and_replays(venue, tmp_path):
    generate(tmp_path / "market", 5, minutes=1.8)
    first_ns = sessions(tmp_path / "market")[-1].first_ns
    log = tmp_path / "exchange.log"
    command = [
        *(sys.executable, "-m", "market.simulator", "--venue", venue, "--tape", str(tmp_path / "market")),
        *("--start-ns", str(first_ns + 15_000_000_000), "--speed", str(SPEED)),
    ]
    repository = publish_small(tmp_path / "models")
    exchange = start(command, name="exchange", log=log)
    try:
        exchange.wait_ready(lambda: log.exists() and '{"rest"' in log.read_text(), 60)
        ready = json.loads(next(line for line in log.read_text().splitlines() if line.startswith('{"rest"')))
        with triton_server(repository, tmp_path / "triton", ["scalper"]) as triton:
            summary = trade(venue, ready, triton.http_url, repository, tmp_path / "run")
        time.sleep(0.2)
        truth = call(ready["rest"] + "/sim/state")
    finally:
        exchange.stop()
    result, observed = replay_run(Run(tmp_path / "run"), repository)
    assert result.differing == 0
    assert result.decisions > 300
    assert summary["flat"] and not truth["open_orders"]
    assert all(Decimal(q) == 0 for q in truth["positions"].values())
    assert len(observed.fills) == truth["fills"]
    assert observed.engine.books.ledger.balance == Decimal(truth["wallet"])


def trade(venue, ready, triton, repository, home):
    command = [
        *(sys.executable, "-m", "infra.cli.main", "trade", "--json", "--stop-on-tape-end", "--venue", venue),
        *("--symbols", SYMBOLS[venue], "--rest", ready["rest"], "--ws", ready["ws"], "--triton", triton),
        *("--repository", str(repository), "--home", str(home)),
    ]
    keys = {
        "CRYPTOSCALP_API_KEY": ready["api_key"],
        "CRYPTOSCALP_API_SECRET": ready["secret"],
        "CRYPTOSCALP_API_PASSWORD": ready["password"] or "",
    }
    process = start(command, name="trader", log=home.with_suffix(".log"), env={**os.environ, **keys})
    try:
        return wait_end(process, 120)
    finally:
        process.stop()
