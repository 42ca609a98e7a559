"""The same trader on the other two venues: frames in, orders out, flat at the end, replayed without a difference."""

import json
import os
import sys
import time
from decimal import Decimal
from functools import partial

import pytest

from infra.processes import start
from infra.triton.launcher import triton_server
from market.simulator.generator import generate
from market.tape import sessions
from market.tape_stats import tape_stats
from pipelines.run_summary import replay_run
from tests.integration.bundles import publish_small
from tests.integration.test_live_paper import call, wait_end
from tests.venues import slow_but
from trader.journal import JournalReader, Run
from trader.records import Control

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
SPEED = 4
LINES = {"binanceusdm": 4, "okx": 2, "bybit": 2}
SYMBOLS = {"binanceusdm": "BTCUSDT,ETHUSDT", "okx": "BTC-USDT-SWAP,ETH-USDT-SWAP", "bybit": "BTCUSDT,ETHUSDT"}


@pytest.mark.parametrize("venue", slow_but("okx", ["okx", "bybit"]))
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


@pytest.mark.slow
@pytest.mark.parametrize("venue", LINES)
def test_with_two_hot_lines_trouble_of_either_is_no_trouble(venue, tmp_path):
    """Cut, lossy and late lines, one at a time: no gap in any book, no outage, and the run replays as it was."""
    generate(tmp_path / "market", 5, minutes=1.8)
    first_ns = sessions(tmp_path / "market")[-1].first_ns
    log, config = tmp_path / "exchange.log", tmp_path / "two.toml"
    config.write_text("[feed]\nlines = 2\n")
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
            troubles = partial(harm_lines, ready["rest"], LINES[venue])
            summary = trade(venue, ready, triton.http_url, repository, tmp_path / "run", config, troubles)
        truth = call(ready["rest"] + "/sim/state")
    finally:
        exchange.stop()
    result, observed = replay_run(Run(tmp_path / "run"), repository)
    controls = [r for r in JournalReader(tmp_path / "run" / "journal.cslog") if isinstance(r, Control)]
    assert result.differing == 0 and result.decisions > 300
    assert (summary["gaps"], summary["quarantined"]) == (0, 0) and summary["flat"]
    assert [c.detail for c in controls if c.what == "market_down" and "tape ended" not in c.detail] == []
    assert any(c.what == "feed_lead" for c in controls)
    assert observed.engine.books.ledger.balance == Decimal(truth["wallet"])
    stats = tape_stats(Run(tmp_path / "run").tape).stats
    assert stats.chain_breaks == stats.trade_ids_missing == stats.trade_ids_duplicate == 0
    # a quote that one line swallowed while the other was behind is gone, and Binance's next one does not tell its id
    assert venue == "binanceusdm" or stats.book_vs_ticker.differing == 0


def harm_lines(rest, sockets):
    """Every market socket in turn, while its twin is whole: late, then lossy, then cut."""
    faults = rest + "/sim/faults"
    wait_for_market(rest, sockets)
    for line in range(sockets):
        call(faults, {"kind": "line_delay_ms", "line": line, "value": 80})
        time.sleep(0.4)
        call(faults, {"kind": "line_delay_ms", "line": line, "value": 0})
        for _ in range(3):
            call(faults, {"kind": "line_swallow", "line": line, "count": 2})
            time.sleep(0.3)
        time.sleep(1.0)
        # what is cut comes back as the youngest: the oldest is always one that was not cut yet
        call(faults, {"kind": "line_disconnect", "line": 0})
        time.sleep(1.5)


def wait_for_market(rest, sockets):
    end = time.monotonic() + 90
    while call(rest + "/sim/state")["market_sockets"] < sockets:
        assert time.monotonic() < end, "the trader opened fewer sockets"
        time.sleep(0.1)
    time.sleep(2.0)


def trade(venue, ready, triton, repository, home, config=None, meanwhile=lambda: None):
    command = [
        *(sys.executable, "-m", "infra.cli.main", "trade", "--json", "--stop-on-tape-end", "--venue", venue),
        *("--symbols", SYMBOLS[venue], "--rest", ready["rest"], "--ws", ready["ws"], "--triton", triton),
        *("--repository", str(repository), "--home", str(home)),
        *(("--config", str(config)) if config else ()),
    ]
    keys = {
        "CRYPTOSCALP_API_KEY": ready["api_key"],
        "CRYPTOSCALP_API_SECRET": ready["secret"],
        "CRYPTOSCALP_API_PASSWORD": ready["password"] or "",
    }
    process = start(command, name="trader", log=home.with_suffix(".log"), env={**os.environ, **keys})
    try:
        meanwhile()
        return wait_end(process, 120)
    finally:
        process.stop()
