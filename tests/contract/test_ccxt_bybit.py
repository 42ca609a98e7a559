"""Unmodified ccxt and ccxt.pro on the simulated Bybit: only scheme and host of their addresses are replaced."""

import asyncio
import time
from contextlib import asynccontextmanager

import ccxt.pro
import pytest

from market.tape import TapeWriter
from tests.market.simulator.server import START_NS, STEP_NS, compact, frames, ms, running

pytestmark = pytest.mark.integration
SYMBOL = "XY/USDT:USDT"
ID = "XYUSDT"
RATE = "0.00012500"
WITHIN_S = 10


def mark_frames(seconds):
    """A mark price of 100.05 each second; the first funding settlement is four seconds in."""
    due_ms = ms(400)
    for step in range(50, int(seconds * 1e9 / STEP_NS), 100):
        next_ms = due_ms if ms(step) < due_ms else due_ms + 28_800_000
        data = {"e": "markPriceUpdate", "E": ms(step), "s": ID, "p": "100.05", "i": "100.04", "P": "100.05", "r": RATE}
        yield START_NS + step * STEP_NS, compact({"stream": "xyusdt@markPrice@1s", "data": {**data, "T": next_ms}})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One exchange for the module, warmed up with five seconds of its market."""
    folder = tmp_path_factory.mktemp("tape")
    with TapeWriter(folder / "xyusdt_20231114.gz") as tape:
        for recv_ns, frame in sorted([*frames(180.0), *mark_frames(180.0)], key=lambda row: row[0]):
            tape.write(recv_ns, frame)
    start_ns = START_NS + 5_000_000_000
    with running("--venue", "bybit", "--tape", folder, "--start-ns", start_ns, "--latency-ms", 2) as (ready, _):
        yield ready


@asynccontextmanager
async def client(ready):
    """ccxt.pro, which is ccxt's asynchronous client with streams."""
    exchange = ccxt.pro.bybit({"apiKey": ready["api_key"], "secret": ready["secret"], "enableRateLimit": False})
    exchange.urls["api"] = _moved(exchange.urls["api"], ready)
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.cancel_all_orders(SYMBOL)
        await exchange.close()


def _moved(urls, ready):
    if isinstance(urls, dict):
        return {name: _moved(url, ready) for name, url in urls.items()}
    for scheme, host, ours in (("https", "api", "rest"), ("wss", "stream", "ws")):
        for domain in ("{hostname}", "bybit.com"):
            urls = urls.replace(f"{scheme}://{host}.{domain}", ready[ours])
    return urls


async def within(awaitable):
    return await asyncio.wait_for(awaitable, WITHIN_S)


async def until(watch, condition):
    """Updates of a stream until one satisfies the condition; that one."""

    async def search():
        while True:
            for row in await watch():
                if condition(row):
                    return row

    return await within(search())


async def flat(exchange):
    """Close what an earlier test left open."""
    for position in await exchange.fetch_positions():
        side = "sell" if position["side"] == "long" else "buy"
        await exchange.create_order(SYMBOL, "market", side, position["contracts"], None, {"reduceOnly": True})


# -- the market -------------------------------------------------------------------------------------------------------


async def test_markets_have_the_filters_of_the_tape(server):
    async with client(server) as exchange:
        market = exchange.market(SYMBOL)
        assert (market["id"], market["type"], market["linear"], market["active"]) == (ID, "swap", True, True)
        assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
        assert (market["limits"]["amount"]["min"], market["limits"]["cost"]["min"]) == (0.001, 5)
        assert market["limits"]["leverage"]["max"] == 125
        assert abs(await exchange.fetch_time() - exchange.milliseconds()) < 5_000


async def test_ticker_book_trades_and_candles(server):
    async with client(server) as exchange:
        ticker = await exchange.fetch_ticker(SYMBOL)
        assert (ticker["last"], ticker["bid"], ticker["ask"]) == (100.0, 100.0, 100.1)
        assert ticker["markPrice"] == 100.05
        assert ticker["baseVolume"] > 0
        assert list(await exchange.fetch_tickers([SYMBOL])) == [SYMBOL]
        book = await exchange.fetch_order_book(SYMBOL, 3)
        assert [px for px, _ in book["bids"]] == [100.0, 99.9, 99.0]
        assert [px for px, _ in book["asks"]] == [100.1, 100.2, 101.0]
        trades = await exchange.fetch_trades(SYMBOL, limit=5)
        assert [(t["price"], t["amount"], t["side"]) for t in trades] == [(100.0, 0.2, "sell")] * 5
        assert trades == sorted(trades, key=lambda trade: trade["timestamp"])
        assert len({trade["id"] for trade in trades}) == 5
        candles = await exchange.fetch_ohlcv(SYMBOL, "1m")
        assert candles[0][1:5] == [100.0] * 4
        assert candles[0][0] % 60_000 == 0
        assert sum(candle[5] for candle in candles) >= 0.2 * 99
        marks = await exchange.fetch_ohlcv(SYMBOL, "5m", params={"price": "mark"})
        assert marks[0][1:5] == [100.0] * 4 or marks[0][1:5] == [100.1] * 4


async def test_funding_rate_history_interest_and_tiers(server):
    async with client(server) as exchange:
        funding = await exchange.fetch_funding_rate(SYMBOL)
        assert funding["fundingRate"] == float(RATE)
        assert funding["fundingTimestamp"] == ms(400) + 28_800_000
        assert funding["interval"] == "8h"
        settled = await exchange.fetch_funding_rate_history(SYMBOL)
        assert [(row["timestamp"], row["fundingRate"]) for row in settled] == [(ms(400), float(RATE))]
        assert (await exchange.fetch_open_interest(SYMBOL))["openInterestAmount"] == 0
        tiers = await exchange.fetch_market_leverage_tiers(SYMBOL)
        assert [tier["maxLeverage"] for tier in tiers[:2]] == [125, 100]
        assert tiers[0]["maintenanceMarginRate"] == 0.004
        fee = await exchange.fetch_trading_fee(SYMBOL)
        assert (fee["maker"], fee["taker"]) == (0.0002, 0.00055)


async def test_streams_of_the_market(server):
    async with client(server) as exchange:
        book = await within(exchange.watch_order_book(SYMBOL, 50))
        assert [px for px, _ in book["bids"][:2]] == [100.0, 99.9]
        sizes = {(await within(exchange.watch_order_book(SYMBOL, 50)))["bids"][1][1] for _ in range(20)}
        assert len(sizes) > 1
        rest = await exchange.fetch_order_book(SYMBOL, 50)
        assert [px for px, _ in rest["asks"]] == [px for px, _ in exchange.orderbooks[SYMBOL]["asks"]]
        trade = (await within(exchange.watch_trades(SYMBOL)))[-1]
        assert (trade["price"], trade["amount"], trade["side"]) == (100.0, 0.2, "sell")
        ticker = await within(exchange.watch_ticker(SYMBOL))
        later = await within(exchange.watch_ticker(SYMBOL))
        assert (ticker["last"], later["last"], later["markPrice"]) == (100.0, 100.0, 100.05)
        assert later["baseVolume"] >= ticker["baseVolume"] > 0
        candle = (await within(exchange.watch_ohlcv(SYMBOL, "1m")))[-1]
        assert candle[4] == 100.0
        top = await within(exchange.watch_bids_asks([SYMBOL]))
        assert (top[SYMBOL]["bid"], top[SYMBOL]["ask"]) == (100.0, 100.1)


# -- the account ------------------------------------------------------------------------------------------------------


async def test_balance_and_leverage(server):
    async with client(server) as exchange:
        await flat(exchange)
        before = (await exchange.fetch_balance())["USDT"]
        assert before["total"] == pytest.approx(10_000, abs=50)
        assert before["free"] == pytest.approx(before["total"])
        order = await exchange.create_order(SYMBOL, "limit", "buy", 10, 99.0)
        bound = (await exchange.fetch_balance())["USDT"]
        assert bound["used"] == pytest.approx(990 / (await exchange.fetch_leverage(SYMBOL))["longLeverage"])
        await exchange.cancel_order(order["id"], SYMBOL)
        await exchange.set_leverage(7, SYMBOL)
        assert (await exchange.fetch_leverage(SYMBOL))["longLeverage"] == 7
        with pytest.raises(ccxt.BadRequest):
            await exchange.set_leverage(7, SYMBOL)
        with pytest.raises(ccxt.BadRequest):
            await exchange.set_leverage(126, SYMBOL)
        await exchange.set_leverage(20, SYMBOL)


async def test_place_amend_cancel(server):
    async with client(server) as exchange:
        placed = await exchange.create_order(SYMBOL, "limit", "buy", 1, 98.0, {"clientOrderId": "mine-1"})
        found = await exchange.fetch_open_order(placed["id"], SYMBOL)
        assert (found["clientOrderId"], found["status"], found["price"]) == ("mine-1", "open", 98.0)
        with pytest.raises(ccxt.InvalidOrder):
            await exchange.create_order(SYMBOL, "limit", "buy", 1, 98.0, {"clientOrderId": "mine-1"})
        await exchange.edit_order(placed["id"], SYMBOL, "limit", "buy", 2, 97.5)
        found = (await exchange.fetch_open_orders(SYMBOL))[0]
        assert (found["id"], found["price"], found["amount"]) == (placed["id"], 97.5, 2.0)
        await exchange.cancel_order(placed["id"], SYMBOL)
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.cancel_order(placed["id"], SYMBOL)
        assert await exchange.fetch_open_orders(SYMBOL) == []
        assert (await exchange.fetch_canceled_orders(SYMBOL))[-1]["id"] == placed["id"]
        several = [{"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 1, "price": px} for px in (97.0, 96.0)]
        made = await exchange.create_orders(several)
        assert len(await exchange.fetch_open_orders()) == 2
        await exchange.cancel_orders([made[0]["id"]], SYMBOL)
        assert [o["id"] for o in await exchange.fetch_open_orders()] == [made[1]["id"]]
        assert [o["id"] for o in await exchange.cancel_all_orders(SYMBOL)] == [made[1]["id"]]


@pytest.mark.parametrize(
    ("amount", "price", "error"),
    [
        (1, 94.0, None),
        (1, 106.0, ccxt.InvalidOrder),
        (0.01, 99.0, ccxt.InvalidOrder),
        (3_000, 99, ccxt.InsufficientFunds),
    ],
    ids=["far below is fine", "far above the mark", "too small", "too large for the margin"],
)
async def test_filters_and_margin(server, amount, price, error):
    async with client(server) as exchange:
        if error is None:
            assert (await exchange.create_order(SYMBOL, "limit", "buy", amount, price))["id"]
            return
        with pytest.raises(error):
            await exchange.create_order(SYMBOL, "limit", "buy", amount, price)


async def test_post_only_that_would_take_is_acknowledged_then_cancelled(server):
    async with client(server) as exchange:
        watching = asyncio.ensure_future(until(exchange.watch_orders, lambda order: order["status"] == "canceled"))
        await asyncio.sleep(0.6)
        placed = await exchange.create_order(SYMBOL, "limit", "buy", 1, 100.1, {"postOnly": True})
        cancelled = await watching
        assert cancelled["id"] == placed["id"]
        assert cancelled["info"]["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"
        assert cancelled["filled"] == 0


async def test_market_orders_fill_and_streams_tell(server):
    async with client(server) as exchange:
        await flat(exchange)
        await exchange.watch_positions()
        filled = asyncio.ensure_future(until(exchange.watch_orders, lambda order: order["status"] == "closed"))
        traded = asyncio.ensure_future(until(exchange.watch_my_trades, lambda trade: trade["amount"] > 0))
        held = asyncio.ensure_future(until(exchange.watch_positions, lambda position: position["contracts"] > 0))
        paid = asyncio.ensure_future(within(exchange.watch_balance()))
        await asyncio.sleep(0.8)
        placed = await exchange.create_order(SYMBOL, "market", "buy", 0.3)
        order, trade, position, balance = await filled, await traded, await held, await paid
        assert (order["id"], order["type"], order["timeInForce"], order["average"]) == (
            placed["id"],
            "market",
            "IOC",
            100.1,
        )
        assert (trade["order"], trade["price"], trade["takerOrMaker"]) == (placed["id"], 100.1, "taker")
        assert trade["fee"]["cost"] == pytest.approx(100.1 * 0.3 * 5.5e-4)
        assert (position["side"], position["contracts"], position["entryPrice"]) == ("long", 0.3, 100.1)
        assert balance["USDT"]["total"] < 10_000
        assert (await exchange.fetch_my_trades(SYMBOL))[-1]["id"] == trade["id"]
        closed = (await exchange.fetch_closed_orders(SYMBOL))[-1]
        assert (closed["id"], closed["filled"], closed["fee"]["currency"]) == (placed["id"], 0.3, "USDT")
        fetched = await exchange.fetch_position(SYMBOL)
        assert (fetched["side"], fetched["contracts"], fetched["leverage"]) == ("long", 0.3, 20)
        assert 0 < fetched["maintenanceMargin"] < fetched["initialMargin"]
        await flat(exchange)
        assert await exchange.fetch_positions() == []


async def test_reduce_only_needs_a_position(server):
    async with client(server) as exchange:
        await flat(exchange)
        with pytest.raises(ccxt.InvalidOrder):
            await exchange.create_order(SYMBOL, "limit", "sell", 1, 101.0, {"reduceOnly": True})


async def test_stops_wait_are_amended_cancelled_and_limited_to_ten(server):
    async with client(server) as exchange:
        trigger = {"triggerPrice": 101.0, "triggerDirection": "ascending"}
        stop = await exchange.create_order(SYMBOL, "market", "buy", 0.5, None, trigger | {"clientOrderId": "stop-1"})
        found = (await exchange.fetch_open_orders(SYMBOL, params={"trigger": True}))[0]
        assert (found["id"], found["triggerPrice"], found["clientOrderId"]) == (stop["id"], 101.0, "stop-1")
        assert found["info"]["orderStatus"] == "Untriggered"
        await exchange.edit_order(stop["id"], SYMBOL, "market", "buy", 0.6, None, {"triggerPrice": 101.5})
        found = (await exchange.fetch_open_orders(SYMBOL, params={"trigger": True}))[0]
        assert (found["triggerPrice"], found["amount"]) == (101.5, 0.6)
        await exchange.cancel_order(stop["id"], SYMBOL)
        assert await exchange.fetch_open_orders(SYMBOL, params={"trigger": True}) == []
        with pytest.raises(ccxt.InvalidOrder):
            late = {"triggerPrice": 99.0, "triggerDirection": "ascending"}
            await exchange.create_order(SYMBOL, "market", "buy", 0.5, None, late)
        await asyncio.sleep(1.0)
        for _ in range(10):
            await exchange.create_order(SYMBOL, "market", "buy", 0.5, None, trigger)
        await asyncio.sleep(1.0)
        with pytest.raises(ccxt.InvalidOrder):
            await exchange.create_order(SYMBOL, "market", "buy", 0.5, None, trigger)


async def test_attached_limits_come_and_go_with_the_position(server):
    async with client(server) as exchange:
        await flat(exchange)
        limits = {"stopLoss": {"triggerPrice": 95.0}, "takeProfit": {"triggerPrice": 105.0}}
        await exchange.create_order(SYMBOL, "market", "buy", 0.3, None, limits)
        await asyncio.sleep(0.2)
        position = await exchange.fetch_position(SYMBOL)
        assert (position["stopLossPrice"], position["takeProfitPrice"]) == (95.0, 105.0)
        assert len(await exchange.fetch_open_orders(SYMBOL, params={"trigger": True})) == 2
        await flat(exchange)
        await asyncio.sleep(0.2)
        assert await exchange.fetch_open_orders(SYMBOL, params={"trigger": True}) == []


async def test_hedge_mode_holds_both_sides(server):
    async with client(server) as exchange:
        await flat(exchange)
        await exchange.set_position_mode(True, SYMBOL)
        with pytest.raises(ccxt.NoChange):
            await exchange.set_position_mode(True, SYMBOL)
        for side in ("buy", "sell"):
            await exchange.create_order(SYMBOL, "market", side, 0.2, None, {"hedged": True})
        held = {p["side"]: p["contracts"] for p in await exchange.fetch_positions()}
        assert held == {"long": 0.2, "short": 0.2}
        for side in ("sell", "buy"):
            await exchange.create_order(SYMBOL, "market", side, 0.2, None, {"hedged": True, "reduceOnly": True})
        assert await exchange.fetch_positions() == []
        await exchange.set_position_mode(False, SYMBOL)


async def test_orders_over_the_socket(server):
    async with client(server) as exchange:
        placed = await within(exchange.create_order_ws(SYMBOL, "limit", "buy", 1, 98.0))
        await within(exchange.edit_order_ws(placed["id"], SYMBOL, "limit", "buy", 1, 97.0))
        assert [o["price"] for o in await exchange.fetch_open_orders(SYMBOL)] == [97.0]
        await within(exchange.cancel_order_ws(placed["id"], SYMBOL))
        assert await exchange.fetch_open_orders(SYMBOL) == []


async def test_dead_mans_switch_is_not_for_ordinary_accounts(server):
    async with client(server) as exchange:
        with pytest.raises(ccxt.PermissionDenied):
            await exchange.cancel_all_orders_after(10_000)


async def test_ten_orders_a_second_and_no_more(server):
    async with client(server) as exchange:
        await asyncio.sleep(1.0)
        started = time.monotonic()
        orders = [exchange.create_order(SYMBOL, "limit", "buy", 1, 96.0) for _ in range(40)]
        answers = await asyncio.gather(*orders, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, ccxt.RateLimitExceeded)]
        assert 10 <= 40 - len(refused) <= 10 * (1 + int(time.monotonic() - started))
        assert exchange.last_response_headers["X-Bapi-Limit"] == "10"
        await asyncio.sleep(1.0)


async def test_wrong_secret_is_refused(server):
    async with client(server) as exchange:
        secret, exchange.secret = exchange.secret, "x" * 64
        with pytest.raises(ccxt.AuthenticationError):
            await exchange.fetch_balance()
        exchange.secret = secret
