"""Accounts at the three simulated exchanges: orders, streams, unknown outcomes, and what is found at the start."""

import asyncio
import json
import random
from decimal import Decimal as D

import pytest
from simulated import SYMBOLS, account, call, exchange

from market.simulator.generator import generate
from market.tape import sessions
from trader.records import AccountUpdate, Order, OrderReply, OrderUpdate
from trader.user_stream import StreamListener, run_user_stream

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
VENUES = tuple(SYMBOLS)


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    generate(folder, 5, minutes=1)
    return folder, sessions(folder)[-1].first_ns + 15_000_000_000


@pytest.fixture(params=VENUES)
def simulated(request, market, tmp_path):
    with exchange(request.param, *market, tmp_path) as told:
        yield request.param, told


class Heard:
    """What a private stream said."""

    def __init__(self):
        self.events, self.ups, self.downs, self.unread = [], 0, [], []

    def listener(self):
        return StreamListener(
            lambda: 1, lambda r: self.events.extend(r.events), self.unread.append, self.up, self.downs.append
        )

    def up(self):
        self.ups += 1

    def of(self, client_id):
        return [e for e in self.events if isinstance(e, OrderUpdate) and e.client_id == client_id]

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.02)


class Listening:
    def __init__(self, venue):
        self.heard = Heard()
        self._venue = venue

    async def __aenter__(self):
        self._task = asyncio.create_task(
            run_user_stream(self._venue.user_stream, self.heard.listener(), random.Random(1).random)
        )
        await self.heard.until(lambda: self.heard.ups)
        return self.heard

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def order(symbol, name, side, lots, px_ticks=None, reduce_only=False):
    return Order(name, symbol, side, lots, px_ticks, px_ticks is not None, reduce_only, "test")


async def touch(venue, symbol, instrument):
    """A price in ticks that rests: a tenth under the best bid that the venue's own snapshot shows."""
    told = json.loads(await venue.depth_snapshot(symbol))
    bids = told.get("bids") or told.get("data", [{}])[0].get("bids") or told["result"]["b"]
    best = max(D(level[0]) for level in bids)
    return int(best * D("0.97") / instrument.tick_size)


async def test_an_order_rests_is_told_queried_cancelled_and_ends(simulated):
    name, told = simulated
    symbol = SYMBOLS[name]
    async with account(name, told) as venue:
        (instrument,) = await venue.instruments([symbol])
        async with Listening(venue) as heard:
            ticks, sent = await touch(venue, symbol, instrument), []
            lots = instrument.min_order_lots(instrument.px(ticks)) + 1
            told_us = await venue.place(order(symbol, "csaax1", 1, lots, ticks), lambda: sent.append(1))
            assert told_us[0] == ("accepted" if name == "binanceusdm" else "acknowledged"), told_us
            assert sent == [1]
            await heard.until(lambda: [e.status for e in heard.of("csaax1")] == ["NEW"])
            (listed,) = await venue.open_orders([symbol])
            assert (listed.client_id, listed.side, listed.qty) == ("csaax1", 1, instrument.qty(lots))
            assert [u.status for u in await venue.query("csaax1", symbol)] == ["NEW"]
            assert (await venue.cancel("csaax1", symbol))[0] == "cancel_accepted"
            await heard.until(lambda: heard.of("csaax1")[-1].status == "CANCELED")
            assert await venue.open_orders([symbol]) == []
            assert (await venue.cancel("csaax1", symbol))[0] == "cancel_rejected"
            absent = await venue.query("csaax2", symbol)
            assert isinstance(absent, OrderReply) and absent.outcome == "absent"
        assert heard.unread == []


async def test_fills_fees_and_positions_are_the_exchanges_own(simulated):
    name, told = simulated
    symbol = SYMBOLS[name]
    async with account(name, told) as venue:
        (instrument,) = await venue.instruments([symbol])
        before = await venue.account()
        async with Listening(venue) as heard:
            lots = 2 * instrument.min_order_lots(instrument.px(await touch(venue, symbol, instrument)))
            await venue.place(order(symbol, "csaax1", 1, lots), lambda: None)
            await heard.until(lambda: heard.of("csaax1") and heard.of("csaax1")[-1].status == "FILLED")
            held = await venue.account()
            assert held.positions == {symbol: instrument.qty(lots)}
            await heard.until(lambda: any(isinstance(e, AccountUpdate) for e in heard.events))
            told_qty = [e.positions[symbol] for e in heard.events if isinstance(e, AccountUpdate)][-1]
            assert told_qty == instrument.qty(lots)
            await venue.place(order(symbol, "csaax2", -1, lots, reduce_only=True), lambda: None)
            await heard.until(lambda: heard.of("csaax2") and heard.of("csaax2")[-1].status == "FILLED")
        fills = [e for e in heard.events if isinstance(e, OrderUpdate) and e.fill_qty > 0]
        listed = await venue.fills(symbol, 0)
        queried = [u for c in ("csaax1", "csaax2") for u in await venue.query(c, symbol) if u.fill_qty > 0]
        after = await venue.account()
    key = lambda f: (f.trade_id, f.side, f.fill_qty, f.fill_px, f.fee, f.maker)  # noqa: E731
    assert sorted(map(key, fills)) == sorted(map(key, listed)) == sorted(map(key, queried))
    assert len({f.trade_id for f in fills}) == len(fills)
    assert sum(f.fill_qty * f.side for f in fills) == 0
    assert after.positions == {}
    truth = call(told["rest"] + "/sim/state")
    assert sum(f.fee for f in fills) == pytest.approx(D(truth["fees_paid"]), abs=D("1e-7"))
    cash = -sum(f.side * f.fill_qty * f.fill_px for f in fills) - sum(f.fee for f in fills)
    assert after.balance - before.balance == pytest.approx(cash, abs=D("1e-6"))


async def test_an_unknown_answer_stays_unknown_until_the_query_tells(simulated):
    name, told = simulated
    symbol = SYMBOLS[name]
    async with account(name, told) as venue:
        (instrument,) = await venue.instruments([symbol])
        ticks = await touch(venue, symbol, instrument)
        lots = instrument.min_order_lots(instrument.px(ticks))
        call(told["rest"] + "/sim/faults", {"kind": "order_503_unknown", "count": 1})
        answer = await venue.place(order(symbol, "csaax1", 1, lots, ticks), lambda: None)
        assert answer[0] == "unknown", answer
        assert [u.status for u in await venue.query("csaax1", symbol)] == ["NEW"]
        assert (await venue.place(order(symbol, "csaax1", 1, lots, ticks), lambda: None))[0] == "unknown"
        assert len(await venue.open_orders([symbol])) == 1
        refused = await venue.place(order(symbol, "csaax3", 1, 10**8, ticks), lambda: None)
        assert refused[0] == "rejected" and refused[1].lstrip("-").isdigit(), refused
        await venue.cancel_all(symbol)
        assert await venue.open_orders([symbol]) == []


async def test_a_broken_or_expired_stream_is_replaced(simulated):
    name, told = simulated
    async with account(name, told) as venue:
        await venue.instruments([SYMBOLS[name]])
        async with Listening(venue) as heard:
            call(told["rest"] + "/sim/faults", {"kind": "disconnect_user"})
            await heard.until(lambda: heard.ups == 2)
            if name == "binanceusdm":
                call(told["rest"] + "/sim/faults", {"kind": "expire_listen_key"})
                await heard.until(lambda: heard.ups == 3)
                assert "listenKeyExpired" in heard.downs[-1]


@pytest.mark.slow
async def test_the_venues_own_dead_mans_switch_fires_and_disarms(simulated):
    name, told = simulated
    symbol = SYMBOLS[name]
    async with account(name, told) as venue:
        if not venue.has_dead_man:
            pytest.skip("ordinary accounts have none here: the watchdog stands in")
        (instrument,) = await venue.instruments([symbol])
        ticks = await touch(venue, symbol, instrument)
        lots = instrument.min_order_lots(instrument.px(ticks))
        await venue.place(order(symbol, "csaax1", 1, lots, ticks), lambda: None)
        countdown_ms = 1_000 if name == "binanceusdm" else 10_000
        await venue.arm_dead_man([symbol], countdown_ms)
        await asyncio.sleep(countdown_ms / 1e3 * 0.6)
        await venue.arm_dead_man([symbol], 0)
        await asyncio.sleep(countdown_ms / 1e3 * 0.7)
        assert len(await venue.open_orders([symbol])) == 1
        await venue.arm_dead_man([symbol], countdown_ms)
        await asyncio.sleep(countdown_ms / 1e3 + 1)
        assert await venue.open_orders([symbol]) == []
