"""The real trader process against the real Triton and the simulated exchange, undisturbed and under planted faults."""

import contextlib
import json
import os
import signal
import sys
import time
import urllib.request
from decimal import Decimal

import pytest
from bundles import publish_small

from infra.processes import start
from infra.triton.launcher import triton_server
from market.simulator.generator import generate
from market.tape import sessions
from market.tape_stats import tape_stats
from pipelines.run_summary import replay_run
from trader.journal import JournalReader, Run
from trader.records import DecisionRecord, OrderReply, OrderUpdate, Resync

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
SPEED = 4


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    generate(folder, 5, minutes=1.8)
    return folder, sessions(folder)[-1]


def call(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=10) as reply:
        return json.loads(reply.read())


@contextlib.contextmanager
def exchange(market, home):
    tape, session = market
    start_ns = session.first_ns + 15_000_000_000
    command = [sys.executable, "-m", "market.simulator", "--tape", tape, "--start-ns", start_ns, "--speed", SPEED]
    log = home / "exchange.log"
    process = start([str(part) for part in command], name="exchange", log=log)
    try:
        process.wait_ready(lambda: log.exists() and '{"rest"' in log.read_text(), 60)
        yield json.loads(next(line for line in log.read_text().splitlines() if line.startswith('{"rest"')))
    finally:
        process.stop()


def start_trader(venue, triton, repository, home, symbols, wrapper=()):
    command = [
        *wrapper,
        *(sys.executable, "-m", "infra.cli.main", "trade", "--json", "--stop-on-tape-end", "--symbols", symbols),
        *("--rest", venue["rest"], "--ws", venue["ws"], "--triton", triton, "--repository", str(repository)),
        *("--home", str(home)),
    ]
    keys = {"CRYPTOSCALP_API_KEY": venue["api_key"], "CRYPTOSCALP_API_SECRET": venue["secret"]}
    return start(command, name="trader", log=home.with_suffix(".log"), env={**os.environ, **keys})


def wait_end(process, limit_s):
    end = time.monotonic() + limit_s
    while process.alive() and time.monotonic() < end:
        time.sleep(0.1)
    assert not process.alive(), process.log_tail()
    assert process.returncode == 0, process.log_tail()
    return json.loads(next(line for line in process.log.read_text().splitlines() if line.startswith('{"run"')))


def test_a_quiet_run_trades_ends_flat_agrees_with_the_venue_and_replays(market, tmp_path):
    repository = publish_small(tmp_path / "models")
    with triton_server(repository, tmp_path / "triton", ["scalper"]) as triton, exchange(market, tmp_path) as venue:
        trader = start_trader(venue, triton.http_url, repository, tmp_path / "run", ",".join(market[1].symbols))
        summary = wait_end(trader, 90)
        truth = call(venue["rest"] + "/sim/state")
    result, observed = replay_run(Run(tmp_path / "run"), repository)
    assert result.differing == 0
    assert result.decisions > 500
    assert result.score_max_abs_diff <= 1e-6
    assert summary["flat"] and not truth["open_orders"]
    assert len(observed.fills) == truth["fills"] > 0
    assert observed.engine.books.ledger.balance == Decimal(truth["wallet"])
    assert observed.engine.books.ledger.fees == Decimal(truth["fees_paid"])
    assert {s.source for s in observed.scores} >= {"triton"}
    taped = tape_stats(Run(tmp_path / "run").tape).stats
    assert taped.by_type["openInterest"] >= 2 * len(market[1].symbols) and taped.quarantined == 0


def test_faults_end_in_safe_states_and_still_replay(market, tmp_path):
    """Lost Triton, unknown orders, lost frames, cut sockets: decisions go on, books resync, the ledger is right."""
    repository = publish_small(tmp_path / "models")
    symbols = market[1].symbols
    with triton_server(repository, tmp_path / "triton", ["scalper"]) as triton, exchange(market, tmp_path) as venue:
        trader = start_trader(venue, triton.http_url, repository, tmp_path / "run", ",".join(symbols))
        faults = venue["rest"] + "/sim/faults"
        time.sleep(14)
        call(faults, {"kind": "order_503_unknown", "count": 3})
        call(faults, {"kind": "drop", "symbol": symbols[0], "count": 8})
        time.sleep(1)
        call(faults, {"kind": "disconnect_user"})
        time.sleep(1)
        call(faults, {"kind": "disconnect_market"})
        os.kill(triton.pid, signal.SIGKILL)
        wait_end(trader, 90)
        truth = call(venue["rest"] + "/sim/state")
    records = list(JournalReader(tmp_path / "run" / "journal.cslog"))
    unknown = {r.client_id for r in records if isinstance(r, OrderReply) and r.outcome == "unknown"}
    settled = {r.client_id for r in records if isinstance(r, OrderUpdate)}
    assert unknown and unknown <= settled
    assert sum(isinstance(r, Resync) for r in records) > len(symbols)
    late = [r for r in records if isinstance(r, DecisionRecord)][-50:]
    assert {r.score.source for r in late if r.score is not None} == {"local"}
    result, observed = replay_run(Run(tmp_path / "run"), repository)
    assert result.differing == 0
    assert observed.engine.books.ledger.balance == Decimal(truth["wallet"])
    assert not truth["open_orders"]
    assert all(Decimal(q) == 0 for q in truth["positions"].values())


@pytest.mark.slow
def test_a_model_that_was_not_promoted_scores_but_never_trades(market, tmp_path):
    repository = publish_small(tmp_path / "models", promoted=False)
    with triton_server(repository, tmp_path / "triton", ["scalper"]) as triton, exchange(market, tmp_path) as venue:
        trader = start_trader(venue, triton.http_url, repository, tmp_path / "run", ",".join(market[1].symbols))
        summary = wait_end(trader, 90)
    _, observed = replay_run(Run(tmp_path / "run"), repository)
    assert summary["orders"] == 0
    assert observed.scores
    assert observed.intents == sum(observed.denials.values()) > 0


def test_sigterm_cancels_flattens_and_ends_with_a_whole_journal(market, tmp_path):
    repository = publish_small(tmp_path / "models")
    with triton_server(repository, tmp_path / "triton", ["scalper"]) as triton, exchange(market, tmp_path) as venue:
        trader = start_trader(venue, triton.http_url, repository, tmp_path / "run", ",".join(market[1].symbols))
        time.sleep(17)
        os.kill(trader.pid, signal.SIGTERM)
        summary = wait_end(trader, 15)
        truth = call(venue["rest"] + "/sim/state")
    reader = JournalReader(tmp_path / "run" / "journal.cslog")
    assert list(reader) and reader.torn_at is None
    assert summary["flat"] and not truth["open_orders"]
    assert all(Decimal(q) == 0 for q in truth["positions"].values())


def test_a_full_disk_cancels_flattens_and_ends_with_one_sentence(market, tmp_path):
    """Past its file size limit the journal cannot grow: the trader leaves the market, and what was written replays."""
    repository = publish_small(tmp_path / "models")
    with triton_server(repository, tmp_path / "triton", ["scalper"]) as triton, exchange(market, tmp_path) as venue:
        limited = ("bash", "-c", 'ulimit -f 700; exec "$@"', "limited")
        trader = start_trader(
            venue, triton.http_url, repository, tmp_path / "run", ",".join(market[1].symbols), wrapper=limited
        )
        end = time.monotonic() + 60
        while trader.alive() and time.monotonic() < end:
            time.sleep(0.1)
        truth = call(venue["rest"] + "/sim/state")
    said = trader.log_tail()
    assert trader.returncode == 2, said
    assert "cannot be written" in said and "fix:" in said and "Traceback" not in said
    assert not truth["open_orders"]
    assert all(Decimal(q) == 0 for q in truth["positions"].values())
    result, _ = replay_run(Run(tmp_path / "run"), repository)
    assert result.differing == 0
    assert result.decisions > 100


@pytest.mark.parametrize(
    ("broken", "says"), [("triton", "Triton does not answer"), ("bundle", "sha"), ("schema", "schema")]
)
def test_a_start_that_must_be_refused_is_one_sentence_and_code_2(market, tmp_path, broken, says):
    repository = publish_small(tmp_path / "models")
    folder = repository / "scalper" / "1"
    if broken == "bundle":
        (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"x")
    if broken == "schema":
        manifest = (folder / "manifest.json").read_text()
        told = json.loads(manifest)["schema_id"]
        (folder / "manifest.json").write_text(manifest.replace(told, "0" * len(told)))
    venue = {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9", "api_key": "k", "secret": "s"}
    process = start_trader(venue, "127.0.0.1:9", repository, tmp_path / "run", market[1].symbols[0])
    end = time.monotonic() + 30
    while process.alive() and time.monotonic() < end:
        time.sleep(0.05)
    said = process.log_tail()
    assert process.returncode == 2, said
    assert says.lower() in said.lower()
    assert "fix:" in said and "Traceback" not in said
