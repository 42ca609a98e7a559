"""The watchdog against a hand-written venue: when it acts, how long, and when it ends."""

import asyncio
import os
from decimal import Decimal as D

import pytest
from harness import instrument

from trader.desk import dead_man_plan
from trader.errors import ConnectionRefused
from trader.heartbeat import Beat, Heartbeat, beat_path, read_state, write
from trader.records import AccountSnapshot, OpenOrder
from trader.watchdog import Watchdog, WatchdogSettings, is_alive

SYMBOL = "AAAUSDT"
DEAD_PID = 2**22 - 3


class Account:
    """Two orders and a position; the first ``refusals`` calls fail."""

    def __init__(self, refusals=0):
        self.orders, self.qty, self.refusals, self.placed = 2, D("0.5"), refusals, []

    def _answer(self):
        if self.refusals:
            self.refusals -= 1
            raise ConnectionRefused("away", "wait")

    async def open_orders(self, symbols):
        self._answer()
        return [OpenOrder("c", SYMBOL, 1, D(1))] * self.orders

    async def cancel_all(self, symbol):
        self._answer()
        self.orders = 0

    async def account(self):
        return AccountSnapshot(1, D(1), {SYMBOL: self.qty, "OTHER": D(1)} if self.qty else {})

    async def place(self, order, sent):
        self.placed.append(order)
        self.qty = D(0)
        return "accepted", "", ""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("trader.watchdog.SWEEP_S", 0.02)
    monkeypatch.setattr("trader.watchdog.SETTLED_S", 0.1)
    monkeypatch.setattr("trader.watchdog.POLL_S", 0.01)


def watchdog(folder, account, flatten=False):
    settings = WatchdogSettings("bybit", (SYMBOL,), folder, timeout_s=0.2, flatten=flatten)
    return Watchdog(settings, account, [instrument(SYMBOL)])


async def test_a_beating_heart_is_left_alone_and_a_finished_one_ends_the_guard(tmp_path):
    account, heart = Account(), Heartbeat(tmp_path)
    heart.beat()
    guard = asyncio.create_task(watchdog(tmp_path, account).run())
    for _ in range(20):
        await asyncio.sleep(0.03)
        heart.beat()
    assert account.orders == 2
    heart.finish()
    assert (await guard).state == "done"
    assert account.orders == 2


@pytest.mark.parametrize("refusals", [0, 5])
async def test_a_dead_traders_orders_are_cancelled_however_often_the_venue_fails(tmp_path, refusals):
    account = Account(refusals)
    write(beat_path(tmp_path), Beat(DEAD_PID, 1))
    state = await asyncio.wait_for(watchdog(tmp_path, account).run(), 5)
    assert (state.state, account.orders, account.placed) == ("fired", 0, [])
    assert state.sweeps > refusals


async def test_positions_of_our_symbols_are_closed_if_so_asked(tmp_path):
    account = Account()
    write(beat_path(tmp_path), Beat(DEAD_PID, 1))
    await asyncio.wait_for(watchdog(tmp_path, account, flatten=True).run(), 5)
    (order,) = account.placed
    assert (order.symbol, order.side, order.lots, order.reduce_only, order.px_ticks) == (SYMBOL, -1, 500, True, None)


async def test_a_trader_that_only_slept_is_guarded_on_and_told(tmp_path):
    account, heart = Account(), Heartbeat(tmp_path)
    heart.beat()
    guard = asyncio.create_task(watchdog(tmp_path, account).run())
    while account.orders:
        await asyncio.sleep(0.01)
    assert heart.fired()
    account.orders = 1
    while account.orders:
        await asyncio.sleep(0.01)
    heart.beat()
    await asyncio.sleep(0.05)
    heart.finish()
    assert (await asyncio.wait_for(guard, 5)).state == "done"


def test_half_written_or_missing_files_are_no_sign_of_life(tmp_path):
    assert read_state(tmp_path) is None
    (tmp_path / "watchdog.json").write_bytes(b'{"pid":')
    assert read_state(tmp_path) is None


def test_processes_are_told_apart():
    assert is_alive(os.getpid())
    assert not is_alive(DEAD_PID)


@pytest.mark.parametrize("symbols", [1, 5, 20, 60])
def test_arming_stays_within_a_quarter_of_the_weight_and_three_times_a_countdown(symbols):
    every_s, countdown_ms = dead_man_plan(symbols, 30_000)
    assert 600 * symbols / every_s <= 2_400 / 4
    assert countdown_ms >= 3 * every_s * 1_000
