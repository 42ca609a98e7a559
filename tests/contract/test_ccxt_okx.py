"""Unmodified ccxt and ccxt.pro on the simulated OKX: only scheme and host of their addresses are replaced."""

import asyncio
import math

import ccxt.pro
import pytest

from tests.market.simulator.okx_server import INST_ID, RATE, SYMBOL, client, okx, until, within

pytestmark = pytest.mark.integration
FAR_PX = 99.0
AWAY = {"postOnly": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with okx(tmp_path_factory.mktemp("tape"), "--latency-ms", 2) as ready:
        yield ready


@pytest.fixture
async def exchange(server):
    async with client(server) as exchange:
        yield exchange


async def test_markets_are_swaps_counted_in_contracts(exchange):
    market = exchange.market(SYMBOL)
    assert (market["id"], market["swap"], market["linear"]) == (INST_ID, True, True)
    assert (market["contractSize"], market["precision"]) == (0.01, market["precision"] | {"amount": 0.1, "price": 0.1})
    assert market["limits"]["amount"]["min"] == 0.1
    assert list(exchange.markets) == [SYMBOL]


async def test_ticker_book_trades_and_candles(exchange):
    await within(exchange.watch_trades(SYMBOL))
    ticker, book, trades, bars = await asyncio.gather(
        exchange.fetch_ticker(SYMBOL),
        exchange.fetch_order_book(SYMBOL, 3),
        exchange.fetch_trades(SYMBOL, limit=5),
        exchange.fetch_ohlcv(SYMBOL, "1m", limit=5),
    )
    assert (ticker["bid"], ticker["ask"], ticker["last"]) == (100.0, 100.1, 100.0)
    assert [row[0] for row in book["bids"]] == [100.0, 99.9, 99.0]
    assert book["bids"][2][1] == 500.0  # 5 base units, 0.01 each contract
    assert trades[-1]["side"] == "sell" and trades[-1]["amount"] == 20.0
    assert bars[-1][1:5] == [100.0] * 4 and bars[-1][5] > 0


async def test_funding_mark_open_interest_and_tiers(exchange):
    await within(exchange.watch_mark_prices([SYMBOL]))
    funding = await exchange.fetch_funding_rate(SYMBOL)
    assert funding["fundingRate"] == float(RATE) and funding["interval"] == "8h"
    mark = await exchange.fetch_mark_price(SYMBOL)
    assert 100 <= mark["markPrice"] <= 101
    tiers = await exchange.fetch_market_leverage_tiers(SYMBOL)
    assert [tier["maxLeverage"] for tier in tiers[:2]] == [125, 100]
    assert tiers[0]["maxNotional"] <= tiers[1]["minNotional"] + 1
    assert (await exchange.fetch_open_interest(SYMBOL))["openInterestAmount"] >= 0


async def test_balance_counts_margin_and_profit(exchange):
    before = await exchange.fetch_balance()
    await exchange.create_order(SYMBOL, "market", "buy", 10)
    after = await exchange.fetch_balance()
    fee = 10 * 0.01 * 100.1 * 0.0005
    assert before["USDT"]["total"] - after["USDT"]["total"] == pytest.approx(fee, abs=0.2)
    assert after["USDT"]["free"] < after["USDT"]["total"]


async def test_place_amend_cancel(exchange):
    order = await exchange.create_order(SYMBOL, "limit", "buy", 5, FAR_PX, {"clientOrderId": "abc1"})
    shown = await exchange.fetch_order(order["id"], SYMBOL)
    assert (shown["status"], shown["amount"], shown["price"]) == ("open", 5.0, FAR_PX)
    assert shown["clientOrderId"] == "abc1"
    await exchange.edit_order(order["id"], SYMBOL, "limit", "buy", 6, 99.5)
    (only,) = await exchange.fetch_open_orders(SYMBOL)
    assert (only["amount"], only["price"]) == (6.0, 99.5)
    await exchange.cancel_order(order["id"], SYMBOL)
    assert (await exchange.fetch_order(None, SYMBOL, {"clientOrderId": "abc1"}))["status"] == "canceled"
    assert order["id"] in {row["id"] for row in await exchange.fetch_canceled_orders(SYMBOL)}


async def test_market_order_fills_and_is_in_the_history(exchange):
    order = await exchange.create_order(SYMBOL, "market", "buy", 2)
    done = await exchange.fetch_order(order["id"], SYMBOL)
    assert (done["status"], done["filled"], done["average"]) == ("closed", 2.0, 100.1)
    assert done["fee"]["cost"] == pytest.approx(2 * 0.01 * 100.1 * 0.0005)
    fill = next(row for row in await exchange.fetch_my_trades(SYMBOL) if row["order"] == order["id"])
    assert (fill["takerOrMaker"], fill["amount"], fill["price"]) == ("taker", 2.0, 100.1)
    assert order["id"] in {row["id"] for row in await exchange.fetch_closed_orders(SYMBOL)}


async def test_resting_order_is_filled_by_recorded_trades_behind_its_queue(exchange):
    order = await exchange.create_order(SYMBOL, "limit", "buy", 30, 100.0, AWAY)
    await within(exchange.watch_trades(SYMBOL))
    done = await until(lambda: exchange.watch_orders(SYMBOL), lambda row: row["status"] == "closed")
    assert (done["id"], done["filled"], done["average"]) == (order["id"], 30.0, 100.0)
    assert {row["takerOrMaker"] for row in await exchange.fetch_my_trades(SYMBOL) if row["order"] == order["id"]} == {
        "maker"
    }


async def test_post_only_that_crosses_is_accepted_then_cancelled(exchange):
    order = await exchange.create_order(SYMBOL, "limit", "buy", 1, 100.1, AWAY)
    shown = await exchange.fetch_order(order["id"], SYMBOL)
    assert (shown["status"], shown["filled"], shown["info"]["cancelSource"]) == ("canceled", 0.0, "31")


@pytest.mark.parametrize(("kind", "source"), [("IOC", "14"), ("FOK", "13")])
async def test_what_cannot_be_filled_at_once_is_cancelled(exchange, kind, source):
    order = await exchange.create_order(SYMBOL, "limit", "buy", 1, FAR_PX, {"timeInForce": kind})
    shown = await exchange.fetch_order(order["id"], SYMBOL)
    assert (shown["status"], shown["info"]["cancelSource"]) == ("canceled", source)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("limit", "buy", 1e8, FAR_PX), ccxt.pro.InsufficientFunds),
        (("limit", "buy", 1, 120.0), ccxt.pro.ExchangeError),
        (("market", "sell", 1, None, {"reduceOnly": True}), ccxt.pro.ExchangeError),
    ],
    ids=["margin", "price band", "nothing to reduce"],
)
async def test_refusals_are_ccxts_own_errors(exchange, arguments, error):
    with pytest.raises(error):
        await exchange.create_order(SYMBOL, *arguments)


async def test_orders_that_are_gone_cannot_be_cancelled_or_found(exchange):
    with pytest.raises(ccxt.pro.OrderNotFound):
        await exchange.cancel_order("1", SYMBOL)
    with pytest.raises(ccxt.pro.OrderNotFound):
        await exchange.fetch_order("1", SYMBOL)


async def test_client_ids_are_used_once(exchange):
    await exchange.create_order(SYMBOL, "limit", "buy", 1, FAR_PX, {"clientOrderId": "once"})
    with pytest.raises(ccxt.pro.InvalidOrder, match="51016"):
        await exchange.create_order(SYMBOL, "limit", "buy", 1, FAR_PX, {"clientOrderId": "once"})


async def test_batches_answer_each_order(exchange):
    good = {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 1, "price": FAR_PX}
    placed = await exchange.create_orders([good, {**good, "price": 120.0}])
    assert [row["status"] for row in placed] == [None, "rejected"]
    cancelled = await exchange.cancel_orders([placed[0]["id"]], SYMBOL)
    assert [row["id"] for row in cancelled] == [placed[0]["id"]]


async def test_trigger_order_waits_then_trades(exchange):
    mark = float((await exchange.fetch_mark_price(SYMBOL))["markPrice"])
    trigger_px = math.floor(mark * 10 + 2) / 10
    params = {"triggerPrice": trigger_px, "triggerPxType": "mark"}
    stop = await exchange.create_order(SYMBOL, "market", "buy", 3, None, params)
    waiting = await exchange.fetch_open_orders(SYMBOL, params={"trigger": True})
    assert [(row["id"], row["triggerPrice"]) for row in waiting] == [(stop["id"], trigger_px)]
    await exchange.watch_mark_prices([SYMBOL])
    done = await until(lambda: exchange.watch_orders(SYMBOL), lambda row: row["status"] == "closed")
    assert done["filled"] == 3.0
    after = await exchange.fetch_order(stop["id"], SYMBOL, {"trigger": True})
    assert (after["status"], after["info"]["ordId"]) == ("closed", done["id"])


async def test_stop_loss_and_take_profit_wait_and_are_cancelled(exchange):
    await exchange.create_order(SYMBOL, "market", "buy", 2)
    for name, px in (("stopLossPrice", 98.0), ("takeProfitPrice", 103.0)):
        stop = await exchange.create_order(SYMBOL, "market", "sell", 2, None, {name: px, "reduceOnly": True})
        query = {"trigger": True, "ordType": "conditional"}
        (row,) = await exchange.fetch_open_orders(SYMBOL, params=query)
        assert (row["id"], row[name], row["reduceOnly"]) == (stop["id"], px, True)
        await exchange.cancel_order(stop["id"], SYMBOL, {"trigger": True})
        assert await exchange.fetch_open_orders(SYMBOL, params=query) == []


async def test_attached_stop_loss_and_take_profit_follow_the_fill(exchange):
    params = {"stopLoss": {"triggerPrice": 97.0}, "takeProfit": {"triggerPrice": 104.0}}
    await exchange.create_order(SYMBOL, "market", "buy", 2, None, params)
    query = {"trigger": True, "ordType": "conditional,oco"}
    rows = await exchange.fetch_open_orders(SYMBOL, params=query)
    assert {row["stopLossPrice"] or row["takeProfitPrice"] for row in rows} == {97.0, 104.0}
    assert {(row["side"], row["amount"], row["reduceOnly"]) for row in rows} == {("sell", 2.0, True)}
    await exchange.cancel_order(rows[0]["id"], SYMBOL, {"trigger": True})
    assert await exchange.fetch_open_orders(SYMBOL, params=query) == []


async def test_position_is_closed_by_one_call(exchange):
    await exchange.create_order(SYMBOL, "market", "sell", 3)
    await exchange.close_position(SYMBOL)
    assert await exchange.fetch_positions([SYMBOL]) == []


async def test_positions_leverage_and_isolated_margin(exchange):
    await exchange.set_leverage(8, SYMBOL)
    assert (await exchange.fetch_leverage(SYMBOL))["longLeverage"] == 8
    await exchange.create_order(SYMBOL, "market", "sell", 4, None, {"marginMode": "isolated"})
    (position,) = await exchange.fetch_positions([SYMBOL])
    assert (position["side"], position["contracts"]) == ("short", 4.0)
    assert 99.9 <= position["entryPrice"] <= 100.0  # what earlier sales took of the best bid is gone
    assert (position["leverage"], position["marginMode"]) == (8.0, "isolated")
    assert position["liquidationPrice"] > 100
    assert position["initialMargin"] == pytest.approx(4 * 0.01 * 100 / 8, rel=0.02)


async def test_long_short_mode_holds_both_sides(exchange):
    await exchange.set_position_mode(True)
    try:
        for side in ("buy", "sell"):
            await exchange.create_order(SYMBOL, "market", side, 1, None, {"hedged": True})
        positions = await exchange.fetch_positions([SYMBOL])
        assert {(row["side"], row["contracts"]) for row in positions} == {("long", 1.0), ("short", 1.0)}
        with pytest.raises(ccxt.pro.BadRequest, match="posSide"):
            await exchange.create_order(SYMBOL, "market", "buy", 1)
        for side in ("buy", "sell"):
            params = {"hedged": True, "reduceOnly": True}
            await exchange.create_order(SYMBOL, "market", side, 1, None, params)
    finally:
        await exchange.set_position_mode(False)
    assert (await exchange.fetch_position_mode())["hedged"] is False


async def test_trading_fee_and_dead_mans_switch(exchange):
    fee = await exchange.fetch_trading_fee(SYMBOL)
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)
    armed = await exchange.cancel_all_orders_after(10_000)
    assert int(armed["data"][0]["triggerTime"]) > exchange.milliseconds()
    await asyncio.sleep(1.0)  # one request a second
    assert (await exchange.cancel_all_orders_after(0))["data"][0]["triggerTime"] == "0"


async def test_watch_order_book_follows_the_sequence(exchange):
    first = await within(exchange.watch_order_book(SYMBOL))
    start = first["nonce"]
    for _ in range(20):
        book = await within(exchange.watch_order_book(SYMBOL))
    assert book["nonce"] > start
    assert (book["bids"][0][0], book["asks"][0][0]) == (100.0, 100.1)


async def test_watch_best_levels_ticker_trades_candles_and_funding(exchange):
    book = await within(exchange.watch_order_book(SYMBOL, 5))
    assert (book["bids"][0][0], book["asks"][0][0]) == (100.0, 100.1)
    best = await within(exchange.watch_bids_asks([SYMBOL]))
    assert best[SYMBOL]["bid"] == 100.0
    assert (await within(exchange.watch_ticker(SYMBOL)))["ask"] == 100.1
    assert (await within(exchange.watch_trades(SYMBOL)))[-1]["price"] == 100.0
    assert (await within(exchange.watch_ohlcv(SYMBOL, "1m")))[-1][4] == 100.0
    assert (await within(exchange.watch_funding_rates([SYMBOL])))[SYMBOL]["fundingRate"] == float(RATE)


async def test_watch_liquidations(exchange):
    (forced,) = await within(exchange.watch_liquidations(SYMBOL))
    assert (forced["symbol"], forced["contracts"]) == (SYMBOL, 30.0)


async def test_watch_orders_trades_positions_and_balance(exchange):
    await within(exchange.watch_balance())
    watching = [
        asyncio.create_task(until(lambda: exchange.watch_orders(SYMBOL), lambda row: row["status"] == "closed")),
        asyncio.create_task(until(lambda: exchange.watch_my_trades(SYMBOL), lambda row: row["amount"] == 7.0)),
        asyncio.create_task(until(lambda: exchange.watch_positions([SYMBOL]), lambda row: row["contracts"] == 7.0)),
        asyncio.create_task(within(exchange.watch_balance())),
    ]
    await asyncio.sleep(0.5)
    placed = await exchange.create_order(SYMBOL, "market", "buy", 7)
    order, trade, position, balance = await asyncio.gather(*watching)
    assert (order["id"], order["filled"]) == (placed["id"], 7.0)
    assert (trade["order"], trade["price"]) == (placed["id"], 100.1)
    assert (position["side"], position["entryPrice"]) == ("long", 100.1)
    assert balance["USDT"]["free"] < balance["USDT"]["total"]


async def test_orders_over_the_socket(exchange):
    order = await within(exchange.create_order_ws(SYMBOL, "limit", "buy", 1, FAR_PX))
    await within(exchange.edit_order_ws(order["id"], SYMBOL, "limit", "buy", 2, 99.1))
    (shown,) = await exchange.fetch_open_orders(SYMBOL)
    assert (shown["id"], shown["amount"], shown["price"]) == (order["id"], 2.0, 99.1)
    await within(exchange.cancel_order_ws(order["id"], SYMBOL))
    assert await exchange.fetch_open_orders(SYMBOL) == []


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"secret": "another"}, ccxt.pro.AuthenticationError),
        ({"password": "another"}, ccxt.pro.AuthenticationError),
        ({"apiKey": "another"}, ccxt.pro.AuthenticationError),
    ],
)
async def test_wrong_keys_are_refused(server, config, error):
    exchange = ccxt.pro.okx({"apiKey": server["api_key"], "secret": server["secret"], "password": server["password"]})
    exchange.urls["api"]["rest"] = server["rest"]
    for name, value in config.items():
        setattr(exchange, name, value)
    try:
        with pytest.raises(error):
            await exchange.private_get_account_balance()
    finally:
        await exchange.close()
