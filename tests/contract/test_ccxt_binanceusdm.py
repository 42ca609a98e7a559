"""Unmodified ccxt and ccxt.pro trade on the simulated Binance USD-M: only scheme and host of their addresses differ."""

import asyncio
import json
import time

import aiohttp
import ccxt
import ccxt.pro
import pytest

from market.tape import TapeWriter
from tests.market.simulator.server import START_NS, client, frames, ms, running, wrapped

pytestmark = pytest.mark.integration
SYMBOL = "XY/USDT:USDT"
MARK_EVERY = 50
FUNDING_MS = ms(2_880_000)
WITHIN_S = 10.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A quiet market that refills what is taken, with a mark price every half second, running from the start."""
    folder = tmp_path_factory.mktemp("tape")
    with TapeWriter(folder / "xyusdt_20231114.gz") as tape:
        for step, (recv_ns, frame) in enumerate(frames(90.0)):
            tape.write(recv_ns, refilled(frame, step))
            if step % MARK_EVERY == MARK_EVERY - 1:
                tape.write(recv_ns, mark(step))
    with running("--tape", folder, "--start-ns", START_NS + 2 * 10**9, "--latency-ms", 1) as (ready, _):
        asyncio.run(start(ready))
        yield ready


def refilled(frame, step):
    """The touch shows 5, then 3, then 5 again: new lots come as old ones go."""
    size = b'"5.000"' if step // 2 % 2 else b'"3.000"'
    bids, asks = (b'"%s":[[' % name for name in (b"b", b"a"))
    frame = frame.replace(b'"B":"0.500"', b'"B":' + size).replace(b'"A":"0.800"', b'"A":' + size)
    return frame.replace(bids, bids + b'"100.00",' + size + b"],[").replace(asks, asks + b'"100.10",' + size + b"],[")


def mark(step):
    """Funding is due eight hours on."""
    prices = {"p": "100.04000000", "i": "100.03000000", "P": "100.04000000", "r": "0.00010000", "T": FUNDING_MS}
    return wrapped("markPrice@1s", prices, step).replace(b'"e":"markPrice@1s"', b'"e":"markPriceUpdate"')


async def start(ready):
    """The recording plays from the first subscription on, whether or not anybody stays."""
    address = f"{ready['ws']}/public/ws/xyusdt@bookTicker"
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as ws:
        await ws.receive(WITHIN_S)


@pytest.fixture(scope="module")
def rest(server):
    exchange = client(server, ccxt)
    exchange.load_markets()
    return exchange


@pytest.fixture
def flat(rest):
    """The client, with nothing open before and after."""
    yield rest
    rest.cancel_all_orders(SYMBOL)
    rest.cancel_all_orders(SYMBOL, {"trigger": True})
    for position in rest.fetch_positions([SYMBOL]):
        if position["contracts"]:
            close(rest, position)
    assert [p for p in rest.fetch_positions([SYMBOL]) if p["contracts"]] == []


def close(rest, position):
    side = "sell" if position["side"] == "long" else "buy"
    how = {"positionSide": position["side"].upper()} if position["hedged"] else {"reduceOnly": True}
    rest.create_order(SYMBOL, "market", side, position["contracts"], None, how)


@pytest.fixture
async def live(server):
    exchange = client(server, ccxt.pro)
    await exchange.load_markets()
    yield exchange
    await exchange.close()


async def soon(awaitable):
    return await asyncio.wait_for(awaitable, WITHIN_S)


# -- public ------------------------------------------------------------------------------------------------------------


def test_markets_carry_the_real_filters(rest):
    market = rest.market(SYMBOL)
    assert (market["swap"], market["linear"], market["settle"], market["active"]) == (True, True, "USDT", True)
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
    assert (market["limits"]["amount"]["min"], market["limits"]["cost"]["min"]) == (0.001, 5.0)
    assert abs(rest.fetch_time() - time.time() * 1000) < 1_000


def test_ticker_book_and_trades_agree(rest):
    book = rest.fetch_order_book(SYMBOL, 5)
    assert (book["bids"][0][0], book["asks"][0][0]) == (100.0, 100.1)
    assert book["nonce"] > 0
    ticker = rest.fetch_ticker(SYMBOL)
    assert (ticker["last"], ticker["symbol"]) == (100.0, SYMBOL)
    assert rest.fetch_tickers()[SYMBOL]["last"] == 100.0
    best = rest.fetch_bids_asks([SYMBOL])[SYMBOL]
    assert (best["bid"], best["ask"]) == (100.0, 100.1)
    trades = rest.fetch_trades(SYMBOL, limit=3)
    assert [(t["price"], t["amount"], t["side"]) for t in trades] == [(100.0, 0.2, "sell")] * 3


def test_candles_sum_the_trades_they_hold(rest):
    before = rest.fetch_ticker(SYMBOL)["baseVolume"]
    minutes = rest.fetch_ohlcv(SYMBOL, "1m")
    assert before - 1e-9 <= sum(candle[5] for candle in minutes) <= rest.fetch_ticker(SYMBOL)["baseVolume"] + 1e-9
    assert {candle[4] for candle in minutes} == {100.0}
    assert rest.fetch_ohlcv(SYMBOL, "1h")[0][0] % 3_600_000 == 0
    assert rest.fetch_mark_ohlcv(SYMBOL, "1m")[0][1] == 100.0


def test_funding_interest_and_leverage_tiers(rest):
    funding = rest.fetch_funding_rate(SYMBOL)
    assert (funding["fundingRate"], funding["markPrice"]) == (0.0001, 100.04)
    assert funding["fundingTimestamp"] == FUNDING_MS
    assert rest.fetch_funding_rate_history(SYMBOL) == []
    assert rest.fetch_open_interest(SYMBOL)["openInterestAmount"] == 0.0
    tiers = rest.fetch_leverage_tiers([SYMBOL])[SYMBOL]
    rates = [tier["maintenanceMarginRate"] for tier in tiers]
    assert rates == sorted(rates)
    assert len(rates) > 5


# -- orders ------------------------------------------------------------------------------------------------------------


def test_order_is_placed_amended_found_and_cancelled(flat):
    placed = flat.create_order(SYMBOL, "limit", "buy", 0.2, 99.0, {"clientOrderId": "life-1", "postOnly": True})
    assert (placed["status"], placed["clientOrderId"], placed["postOnly"]) == ("open", "life-1", True)
    amended = flat.edit_order(placed["id"], SYMBOL, "limit", "buy", 0.3, 98.0)
    assert (amended["price"], amended["amount"], amended["id"]) == (98.0, 0.3, placed["id"])
    assert [order["id"] for order in flat.fetch_open_orders(SYMBOL)] == [placed["id"]]
    assert flat.fetch_order(None, SYMBOL, {"clientOrderId": "life-1"})["id"] == placed["id"]
    assert flat.cancel_order(placed["id"], SYMBOL)["status"] == "canceled"
    assert flat.fetch_order(placed["id"], SYMBOL)["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        flat.cancel_order(placed["id"], SYMBOL)


def test_orders_go_in_batches_and_are_cancelled_together(flat):
    wanted = [
        {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.1, "price": 99.0 - i, "params": {}}
        for i in range(3)
    ]
    placed = flat.create_orders(wanted)
    assert [order["status"] for order in placed] == ["open"] * 3
    mixed = flat.create_orders([wanted[0], wanted[0] | {"amount": 0.001}])
    accepted = [order["id"] for order in mixed if order["id"] is not None]
    assert (len(mixed), len(accepted)) == (2, 1)
    flat.cancel_orders([order["id"] for order in placed[:2]], SYMBOL)
    left = {order["id"] for order in flat.fetch_open_orders(SYMBOL)}
    assert left == {placed[2]["id"], *accepted}
    flat.cancel_all_orders(SYMBOL)
    assert flat.fetch_open_orders(SYMBOL) == []


def test_market_order_fills_and_the_books_balance(flat):
    before = flat.fetch_balance()["USDT"]["total"]
    bought = flat.create_order(SYMBOL, "market", "buy", 0.4)
    assert (bought["status"], bought["filled"]) == ("closed", 0.4)
    position = flat.fetch_positions([SYMBOL])[0]
    assert (position["side"], position["contracts"], position["entryPrice"]) == ("long", 0.4, 100.1)
    assert (position["marginMode"], position["hedged"]) == ("cross", False)
    flat.create_order(SYMBOL, "market", "sell", 0.4, None, {"reduceOnly": True})
    trades = flat.fetch_my_trades(SYMBOL)[-2:]
    assert [(t["side"], t["takerOrMaker"], t["price"]) for t in trades] == [
        ("buy", "taker", 100.1),
        ("sell", "taker", 100.0),
    ]
    fees = sum(trade["fee"]["cost"] for trade in trades)
    assert flat.fetch_balance()["USDT"]["total"] == pytest.approx(before - fees - 0.4 * 0.1)
    kinds = {row["incomeType"] for row in flat.fapiPrivateGetIncome({"symbol": "XYUSDT"})}
    assert kinds == {"COMMISSION", "REALIZED_PNL"}


def test_refusals_are_ccxts_own_errors(flat):
    cases = [
        (("limit", "buy", 0.1, 100.1, {"postOnly": True}), ccxt.InvalidOrder, "-5022"),
        (("limit", "buy", 9_000.0, 100.0), ccxt.ExchangeError, "-2019"),
        (("limit", "buy", 0.1, 100.0, {"reduceOnly": True}), ccxt.ExchangeError, "-2022"),
        (("limit", "sell", 0.1, 80.0), ccxt.BaseError, "-4024"),
        (("limit", "buy", 0.1, 120.0), ccxt.BaseError, "-4016"),
        (("limit", "buy", 0.1, 100.0, {"positionSide": "LONG"}), ccxt.ExchangeError, "-4061"),
    ]
    for order, error, code in cases:
        with pytest.raises(error, match=code):
            flat.create_order(SYMBOL, *order)


@pytest.mark.parametrize(
    ("side", "kind", "params"),
    [
        ("sell", "market", {"stopLossPrice": 95.0}),
        ("sell", "market", {"takeProfitPrice": 105.0}),
        ("sell", "limit", {"triggerPrice": 95.0}),
        ("sell", "market", {"trailingPercent": 2.0}),
        ("buy", "market", {"triggerPrice": 105.0, "workingType": "MARK_PRICE"}),
    ],
    ids=["stop", "take profit", "stop limit", "trailing", "on the mark price"],
)
def test_stops_live_on_the_venues_conditional_endpoint(flat, side, kind, params):
    flat.create_order(SYMBOL, "market", "buy", 0.2)
    placed = flat.create_order(SYMBOL, kind, side, 0.2, 95.0 if kind == "limit" else None, params)
    opened = flat.fetch_open_orders(SYMBOL, params={"trigger": True})
    assert [(order["id"], order["side"], order["amount"]) for order in opened] == [(placed["id"], side, 0.2)]
    assert flat.fetch_open_orders(SYMBOL) == []
    assert flat.cancel_order(placed["id"], SYMBOL, {"trigger": True})["id"] == placed["id"]
    assert flat.fetch_open_orders(SYMBOL, params={"trigger": True}) == []


# -- the account -------------------------------------------------------------------------------------------------------


def test_leverage_and_margin_mode_are_set_and_read(flat):
    assert float(flat.set_leverage(10, SYMBOL)["leverage"]) == 10
    assert flat.fetch_leverage(SYMBOL)["longLeverage"] == 10
    flat.set_margin_mode("isolated", SYMBOL)
    flat.create_order(SYMBOL, "market", "buy", 0.4)
    position = flat.fetch_positions([SYMBOL])[0]
    assert (position["marginMode"], position["entryPrice"]) == ("isolated", 100.1)
    assert position["collateral"] == pytest.approx(4.004, abs=0.05)
    assert 85 < position["liquidationPrice"] < 95
    flat.add_margin(SYMBOL, 2.0)
    assert flat.fetch_positions([SYMBOL])[0]["collateral"] == pytest.approx(6.004, abs=0.05)
    with pytest.raises(ccxt.BaseError, match="-4048"):
        flat.set_margin_mode("cross", SYMBOL)
    close(flat, flat.fetch_positions([SYMBOL])[0])
    flat.set_margin_mode("cross", SYMBOL)
    flat.set_leverage(20, SYMBOL)
    with pytest.raises(ccxt.BaseError, match="-4028"):
        flat.fapiPrivatePostLeverage({"symbol": "XYUSDT", "leverage": 126})


def test_hedge_mode_holds_both_sides_at_once(flat):
    assert flat.fetch_position_mode(SYMBOL)["hedged"] is False
    flat.set_position_mode(True)
    assert flat.fetch_position_mode(SYMBOL)["hedged"] is True
    with pytest.raises(ccxt.BaseError, match="-4061"):
        flat.create_order(SYMBOL, "market", "buy", 0.1)
    flat.create_order(SYMBOL, "market", "buy", 0.3, None, {"positionSide": "LONG"})
    flat.create_order(SYMBOL, "market", "sell", 0.2, None, {"positionSide": "SHORT"})
    held = {position["side"]: position for position in flat.fetch_positions([SYMBOL])}
    assert {side: position["contracts"] for side, position in held.items()} == {"long": 0.3, "short": 0.2}
    with pytest.raises(ccxt.BaseError, match="-4068"):
        flat.set_position_mode(False)
    for position in held.values():
        close(flat, position)
    with pytest.raises(ccxt.BaseError, match="-2022"):
        flat.create_order(SYMBOL, "market", "sell", 0.1, None, {"positionSide": "LONG"})
    flat.set_position_mode(False)
    assert flat.fetch_trading_fee(SYMBOL)["taker"] == 0.0005


# -- streams -----------------------------------------------------------------------------------------------------------


async def test_book_trades_ticker_and_candles_are_watched(live):
    book = await soon(live.watch_order_book(SYMBOL))
    assert (book["bids"][0][0], book["asks"][0][0]) == (100.0, 100.1)
    trades = await soon(live.watch_trades(SYMBOL))
    assert (trades[0]["price"], trades[0]["amount"]) == (100.0, 0.2)
    ticker = await soon(live.watch_ticker(SYMBOL))
    assert ticker["last"] == 100.0
    assert (await soon(live.watch_mark_price(SYMBOL)))["markPrice"] == 100.04
    assert (await soon(live.watch_bids_asks([SYMBOL])))[SYMBOL]["bid"] == 100.0
    candles = await soon(live.watch_ohlcv(SYMBOL, "1m"))
    assert candles[-1][4] == 100.0


async def test_orders_trades_balance_and_positions_are_watched(live):
    live.options["watchPositions"] = {"fetchPositionsSnapshot": False}
    watching = {
        "orders": asyncio.create_task(live.watch_orders(SYMBOL)),
        "trades": asyncio.create_task(live.watch_my_trades(SYMBOL)),
        "balance": asyncio.create_task(live.watch_balance()),
        "positions": asyncio.create_task(live.watch_positions([SYMBOL])),
    }
    await asyncio.sleep(0.5)
    bought = await live.create_order(SYMBOL, "market", "buy", 0.1)
    seen = {name: await soon(task) for name, task in watching.items()}
    assert seen["orders"][0]["id"] == bought["id"]
    assert (seen["trades"][0]["order"], seen["trades"][0]["amount"]) == (bought["id"], 0.1)
    assert 9_000 < seen["balance"]["USDT"]["total"] < 10_000
    assert (seen["positions"][0]["side"], seen["positions"][0]["contracts"]) == ("long", 0.1)
    closing = asyncio.create_task(until_closed(live))
    sold = await live.create_order(SYMBOL, "market", "sell", 0.1, None, {"reduceOnly": True})
    last = await soon(closing)
    assert (last["id"], last["reduceOnly"], last["filled"]) == (sold["id"], True, 0.1)


async def until_closed(live):
    while True:
        for order in await live.watch_orders(SYMBOL):
            if order["reduceOnly"] and order["status"] == "closed":
                return order


async def test_stop_is_watched_from_its_trigger_to_its_order(live):
    watching = asyncio.create_task(live.watch_orders(SYMBOL))
    await asyncio.sleep(0.5)
    placed = await live.create_order(SYMBOL, "market", "buy", 0.1, None, {"triggerPrice": 105.0})
    seen = (await soon(watching))[0]
    assert (seen["id"], seen["triggerPrice"], seen["status"]) == (placed["id"], 105.0, "open")
    await live.cancel_order(placed["id"], SYMBOL, {"trigger": True})


# -- limits (last: the address is banned afterwards) -------------------------------------------------------------------


def test_limits_are_told_then_enforced_then_the_address_is_banned(rest):
    rest.fetch_time()
    assert int(rest.last_response_headers["X-Mbx-Used-Weight-1m"]) > 0
    seen = []
    while not seen or seen[-1][0] == 200 or (seen[-1][0] == 429 and len(seen) < 500):
        try:
            rest.fapiPublicGetTicker24hr()
            seen.append((200, None))
        except ccxt.BaseError:
            answer = rest.last_http_response, rest.last_response_headers
            assert json.loads(answer[0])["code"] == -1003
            banned = "Way too many" in answer[0]
            seen.append((418 if banned else 429, int(answer[1]["Retry-After"])))
    assert [status for status, _ in seen] == sorted(status for status, _ in seen) or seen[-1][0] == 418
    assert seen[-1][0] == 418
    assert 0 < min(wait for status, wait in seen if status == 429) <= 60
    assert 60 < seen[-1][1] <= 121
    with pytest.raises(ccxt.DDoSProtection):
        rest.fetch_balance()
