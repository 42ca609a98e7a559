"""A real trader process on simulated accounts: killed and stopped under a watchdog, and started on a used account."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from decimal import Decimal as D

import pytest
from bundles import publish_small
from simulated import SYMBOLS, account, call, exchange, wait_until

from infra.processes import start
from infra.triton.launcher import triton_server
from market.simulator.generator import generate
from market.tape import sessions
from pipelines.run_summary import replay_run
from trader.heartbeat import read_state
from trader.journal import JournalReader, Run
from trader.records import Order, Start
from trader.watchdog import is_alive

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(240)]
SILENT_S = 5.0


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    generate(folder, 5, minutes=1.8)
    return folder, sessions(folder)[-1].first_ns + 15_000_000_000


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    repository = publish_small(folder / "models")
    with triton_server(repository, folder / "triton", ["scalper"]) as triton:
        yield repository, triton.http_url


def trader(venue, told, served, home, *options):
    repository, triton = served
    command = [
        *(sys.executable, "-m", "infra.cli.main", "trade", "--json", "--stop-on-tape-end", "--venue", venue),
        *("--symbols", SYMBOLS[venue], "--rest", told["rest"], "--ws", told["ws"], "--triton", triton),
        *("--repository", str(repository), "--home", str(home), *options),
    ]
    secrets = {"CRYPTOSCALP_API_KEY": told["api_key"], "CRYPTOSCALP_API_SECRET": told["secret"]}
    secrets["CRYPTOSCALP_API_PASSWORD"] = told["password"] or ""
    return start(command, name="trader", log=home.with_suffix(".log"), env={**os.environ, **secrets})


def state(told):
    return call(told["rest"] + "/sim/state")


@pytest.mark.parametrize(
    ("venue", "sign", "options"),
    [
        ("bybit", signal.SIGKILL, ()),
        ("bybit", signal.SIGSTOP, ()),
        ("binanceusdm", signal.SIGKILL, ("--watchdog", "always")),
        ("okx", signal.SIGSTOP, ("--watchdog", "always")),
    ],
)
def test_a_silent_traders_orders_are_cancelled_by_its_watchdog(market, served, tmp_path, venue, sign, options):
    home = tmp_path / "run"
    with exchange(venue, *market, tmp_path, speed=2) as told:
        # one order that surely rests when the trader falls silent
        asyncio.run(prepare(venue, told, held=False))
        with trader(venue, told, served, home, *options) as process, watched(home):
            wait_until(lambda: state(told)["user_sockets"] and state(told)["market_sockets"], 40, "it does not trade")
            time.sleep(3)
            assert process.alive() and read_state(home).state == "guarding"
            os.kill(process.pid, sign)
            began = time.monotonic()
            wait_until(lambda: not state(told)["open_orders"], SILENT_S + 5, "orders still open")
            assert time.monotonic() - began > SILENT_S - 1
            wait_until(lambda: read_state(home).state == "fired", 5, "not fired")
            time.sleep(1)
            assert not state(told)["open_orders"]
            if sign == signal.SIGSTOP:
                os.kill(process.pid, signal.SIGCONT)
                wait_until(lambda: "kill_soft" in controls(home), 10, "the trader goes on as if nothing had happened")
            process.stop()
            wait_until(lambda: not is_alive(read_state(home).pid), 30, "the watchdog did not end")


@contextlib.contextmanager
def watched(home):
    """Leaves no watchdog behind."""
    try:
        yield
    finally:
        told = read_state(home)
        if told is not None and is_alive(told.pid):
            os.kill(told.pid, signal.SIGTERM)


def controls(home):
    return [getattr(r, "what", "") for r in JournalReader(home / "journal.cslog")]


async def prepare(venue, told, held=True):
    """A resting order that is not the trader's and, if ``held``, a position; the position's size."""
    async with account(venue, told) as client:
        symbol = SYMBOLS[venue]
        (instrument,) = await client.instruments([symbol])
        book = json.loads(await client.depth_snapshot(symbol))
        bids = book.get("bids") or book.get("data", [{}])[0].get("bids") or book["result"]["b"]
        ticks = int(max(D(b[0]) for b in bids) * D("0.97") / instrument.tick_size)
        lots = 2 * instrument.min_order_lots(instrument.px(ticks))
        if held:
            await client.place(Order("byhand1", symbol, 1, lots, None, False, False, "hand"), lambda: None)
        await client.place(Order("byhand2", symbol, 1, lots, ticks, True, False, "hand"), lambda: None)
        await asyncio.sleep(0.5)
        return instrument.qty(lots)


@pytest.mark.parametrize("venue", list(SYMBOLS))
@pytest.mark.parametrize("foreign", ["keep", "cancel"])
def test_a_used_account_is_adopted_traded_and_replays(market, served, tmp_path, venue, foreign):
    home = tmp_path / "run"
    with exchange(venue, *market, tmp_path, speed=4) as told:
        qty = asyncio.run(prepare(venue, told))
        before = state(told)
        with trader(venue, told, served, home, "--foreign-orders", foreign) as process:
            process.wait_done(120)
        after = state(told)
    begun = next(iter(JournalReader(home / "journal.cslog")))
    assert isinstance(begun, Start)
    assert begun.positions[SYMBOLS[venue]].qty == qty
    assert [o.client_id for o in begun.foreign_orders] == (["byhand2"] if foreign == "keep" else [])
    assert after["open_orders"] == (["byhand2"] if foreign == "keep" else [])
    result, observed = replay_run(Run(home), served[0])
    assert result.differing == 0
    ledger = observed.engine.books.ledger
    assert ledger.balance == pytest.approx(D(after["wallet"]), abs=D("1e-6"))
    assert ledger.fees == pytest.approx(D(after["fees_paid"]) - D(before["fees_paid"]), abs=D("1e-6"))
    assert {s: p.qty for s, p in ledger.positions.items() if p.qty} == {
        s: D(q) for s, q in after["positions"].items() if D(q)
    }
    assert len(observed.fills) == after["fills"] - before["fills"] > 0
