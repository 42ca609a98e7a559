"""Private frames of the three venues, as their documents show them, against what the engine is told."""

import json
import os
from decimal import Decimal as D
from pathlib import Path

import pytest

from market.errors import FrameError
from trader.records import AccountUpdate, OrderUpdate, WalletChange
from trader.venues import Keys
from trader.venues import binance_messages as binance
from trader.venues import bybit_messages as bybit
from trader.venues import okx_messages as okx

EXAMPLES = Path(os.environ.get("DATA_DIR", Path(__file__).parents[3] / "shared" / "data")) / "wire_examples"
USER = EXAMPLES / "binance/futures/user_data_json"
CONTRACTS = {"BTC-USDT-SWAP": D("0.01"), "ETH-USDT-SWAP": D("0.1")}
KEYS = Keys("key", "secret", "phrase")

needs_examples = pytest.mark.skipif(not EXAMPLES.exists(), reason="recorded examples absent (set DATA_DIR)")


def okx_stream():
    return okx.OkxStream("ws://x", KEYS, CONTRACTS, lambda: 1538054050)


def bybit_stream():
    return bybit.BybitStream("ws://x", KEYS, lambda: 1_000)


@pytest.mark.data
@needs_examples
@pytest.mark.parametrize("path", sorted(USER.glob("order_update_*.json")), ids=lambda p: p.stem)
def test_every_documented_binance_order_event_parses(path):
    told = json.loads(path.read_bytes())["o"]
    (event,) = binance.parse_user_event(path.read_bytes(), 7)
    assert isinstance(event, OrderUpdate)
    assert event.client_id == told["c"]
    assert event.fill_qty == D(told["l"])
    assert event.side == (1 if told["S"] == "BUY" else -1)


@pytest.mark.data
@needs_examples
def test_a_binance_account_event_tells_one_way_positions_only():
    (event,) = binance.parse_user_event((USER / "account_update.json").read_bytes(), 7)
    assert event == AccountUpdate(7, 1564745798939 * 1_000_000, "ORDER", {"BTCUSDT": D(0)})


def test_binance_funding_is_money_without_a_trade():
    raw = b'{"e":"ACCOUNT_UPDATE","E":5,"a":{"m":"FUNDING_FEE","B":[{"a":"USDT","wb":"9","bc":"-0.25"}],"P":[]}}'
    events = binance.parse_user_event(raw, 1)
    assert [e.change for e in events if isinstance(e, WalletChange)] == [D("-0.25")]


def test_an_expired_listen_key_ends_the_stream():
    stream = binance.BinanceStream("ws://x")
    assert stream.receive(b'{"e":"listenKeyExpired","E":1}', 1).lost == "listenKeyExpired"
    assert stream.receive(b'{"e":"TRADE_LITE","E":1}', 1).lost == ""


@pytest.mark.parametrize("stream", [binance.BinanceStream("ws://x"), okx_stream(), bybit_stream()])
@pytest.mark.parametrize("raw", [b"", b"[]", b'{"e":1,"event":1,"op":1}', b"\xff"])
def test_unreadable_account_events_are_frame_errors(stream, raw):
    with pytest.raises(FrameError):
        stream.receive(raw, 1)


@pytest.mark.parametrize(
    ("stream", "raw"),
    [
        (binance.BinanceStream("x"), b'{"e":"ORDER_TRADE_UPDATE","o":{"c":"x"}}'),
        (binance.BinanceStream("x"), b'{"e":"ACCOUNT_UPDATE"}'),
        (okx_stream(), b'{"arg":{"channel":"orders"},"data":[{"instId":"BTC-USDT-SWAP"}]}'),
        (bybit_stream(), b'{"topic":"execution","data":[{"symbol":"BTCUSDT"}]}'),
    ],
)
def test_incomplete_account_events_are_frame_errors(stream, raw):
    with pytest.raises(FrameError):
        stream.receive(raw, 1)


@pytest.mark.data
@needs_examples
def test_okx_contracts_become_base_units_and_a_fee_paid_is_positive():
    (event,) = okx_stream().receive((EXAMPLES / "okx/ws_orders.json").read_bytes(), 7).events
    assert (event.client_id, event.status, event.side) == ("001BTCUSDT20250106001", "FILLED", 1)
    assert event.fill_qty == D("0.03") * D("0.01")
    assert (event.fee, event.maker, event.trade_id) == (D("0.021776769"), True, 1518905529)


@pytest.mark.data
@needs_examples
@pytest.mark.parametrize(
    ("name", "client_id"),
    [("liquidation", "full_liquidation-2497956918703120999"), ("adl", "adl-2497956918703121000")],
)
def test_okx_orders_of_the_venue_get_a_name_of_their_own(name, client_id):
    (event,) = okx_stream().receive((EXAMPLES / f"okx/ws_orders_{name}.json").read_bytes(), 7).events
    assert event.client_id == client_id
    assert event.fill_qty > 0


def okx_order(**over):
    row = {"instId": "BTC-USDT-SWAP", "ordId": "1", "clOrdId": "c", "side": "sell", "state": "partially_filled"}
    row |= {"sz": "3", "accFillSz": "1", "uTime": "5", "fillTime": "5", "fillSz": "1", "fillPx": "9", "tradeId": "7"}
    return json.dumps({"arg": {"channel": "orders"}, "data": [row | over]}).encode()


def test_okx_sums_of_fees_are_split_by_fill():
    stream = okx_stream()
    first = stream.receive(okx_order(fee="-1.5"), 1).events[0]
    second = stream.receive(okx_order(fee="-2.0", tradeId="8"), 1).events[0]
    rebate = stream.receive(okx_order(fee="-1.0", fillFee="1.0", tradeId="9"), 1).events[0]
    assert [first.fee, second.fee, rebate.fee] == [D("1.5"), D("0.5"), D(-1)]


def test_okx_logs_in_then_subscribes_and_is_ready_with_its_orders():
    stream = okx_stream()
    (login,) = stream.hello()
    args = json.loads(login)["args"][0]
    assert (args["apiKey"], args["passphrase"], args["timestamp"]) == ("key", "phrase", "1538054050")
    asked = stream.receive(b'{"event":"login","code":"0","msg":""}', 1)
    channels = {a["channel"] for a in json.loads(asked.send[0])["args"]}
    assert channels == {"orders", "positions", "balance_and_position"}
    assert not stream.receive(b'{"event":"subscribe","arg":{"channel":"positions"}}', 1).ready
    assert stream.receive(b'{"event":"subscribe","arg":{"channel":"orders","instType":"SWAP"}}', 1).ready
    assert stream.receive(b"pong", 1).events == ()
    assert "60009" in stream.receive(b'{"event":"error","code":"60009","msg":"Login failed."}', 1).lost
    assert "64008" in stream.receive(b'{"event":"notice","code":"64008","msg":"upgrade"}', 1).lost


def okx_balances(event, **cash):
    data = [{"ccy": ccy, "cashBal": amount, "uTime": "5"} for ccy, amount in cash.items()]
    row = {"pTime": "5", "eventType": event, "balData": data, "posData": [], "trades": []}
    return json.dumps({"arg": {"channel": "balance_and_position", "uid": "1"}, "data": [row]}).encode()


def test_okx_funding_is_the_step_of_the_balance_that_no_trade_made():
    stream = okx_stream()
    pushes = [
        ("snapshot", "100"),
        ("filled", "99.5"),
        ("funding_fee", "99.25"),
        ("filled", "98"),
        ("funding_fee", "98.1"),
    ]
    events = [e for event, cash in pushes for e in stream.receive(okx_balances(event, USDT=cash, BTC="3"), 7).events]
    assert [(e.reason, e.change, e.ts_event) for e in events] == [
        ("funding_fee", D("-0.25"), 5_000_000),
        ("funding_fee", D("0.1"), 5_000_000),
    ]
    assert stream.receive(okx_balances("transferred", USDT="108.1"), 7).events[0].change == D(10)
    assert stream.receive(okx_balances("transferred", BTC="4"), 7).events == ()


@pytest.mark.data
@needs_examples
def test_bybit_fills_come_from_executions_and_ends_from_orders():
    stream = bybit_stream()
    (fill,) = stream.receive((EXAMPLES / "bybit/ws_account_execution.json").read_bytes(), 7).events
    assert (fill.client_id, fill.status, fill.side) == ("test-order-link-001", "FILLED", -1)
    assert (fill.fill_qty, fill.fill_px, fill.fee) == (D("0.5"), D("95900.1"), D("26.3725275"))
    (end,) = stream.receive((EXAMPLES / "bybit/ws_account_order.json").read_bytes(), 7).events
    assert (end.status, end.fill_qty) == ("CANCELED", 0)
    assert stream.receive((EXAMPLES / "bybit/ws_account_order_filled.json").read_bytes(), 7).events == ()


@pytest.mark.data
@needs_examples
def test_bybit_auto_deleveraging_is_a_fill_with_a_name_of_its_own():
    (fill,) = bybit_stream().receive((EXAMPLES / "bybit/ws_account_execution_adl.json").read_bytes(), 7).events
    assert fill.client_id == "AdlTrade-9aac161b-8ed6-450d-9cab-c5cc67c21785"
    assert fill.fill_qty == D("0.5")


@pytest.mark.data
@needs_examples
def test_bybit_positions_are_signed():
    (told,) = bybit_stream().receive((EXAMPLES / "bybit/ws_account_position_short.json").read_bytes(), 7).events
    assert all(qty < 0 for qty in told.positions.values())


@pytest.mark.data
@needs_examples
@pytest.mark.parametrize("path", sorted((EXAMPLES / "bybit").glob("ws_account_*.json")), ids=lambda p: p.stem)
def test_every_documented_bybit_account_frame_parses(path):
    bybit_stream().receive(path.read_bytes(), 7)


def test_bybit_funding_is_no_fill():
    row = {"symbol": "BTCUSDT", "orderId": "o", "side": "Buy", "execId": "e", "execPrice": "1", "execQty": "5"}
    row |= {
        "execType": "Funding",
        "execFee": "0.3",
        "execTime": "5",
        "orderQty": "0",
        "leavesQty": "0",
        "isMaker": False,
    }
    (event,) = bybit_stream().receive(json.dumps({"topic": "execution", "data": [row]}).encode(), 1).events
    assert isinstance(event, WalletChange)
    assert event.change == D("-0.3")


def test_bybit_authenticates_then_subscribes():
    stream = bybit_stream()
    told = json.loads(stream.hello()[0])
    assert (told["op"], told["args"][:2]) == ("auth", ["key", 11_000])
    asked = stream.receive(b'{"op":"auth","success":true,"retCode":0}', 1)
    assert set(json.loads(asked.send[0])["args"]) == {"order", "execution", "position", "wallet"}
    assert stream.receive(b'{"success":true,"ret_msg":"","op":"subscribe"}', 1).ready
    assert (
        "Invalid" in stream.receive(b'{"op":"auth","success":false,"retCode":10003,"retMsg":"Invalid apikey"}', 1).lost
    )
    assert stream.receive(b'{"op":"pong","args":["1"],"conn_id":"x"}', 1).lost == ""


def rows(path):
    return json.loads((EXAMPLES / path).read_bytes())


@pytest.mark.data
@needs_examples
def test_okx_instruments_are_in_base_units():
    row = next(r for r in rows("okx/http_get_instruments_swap.json")["data"] if r["instId"] == "ETH-USDT-SWAP")
    i = okx.parse_instrument(row, {"maker": "", "makerU": "-0.0002", "taker": "", "takerU": "-0.0005"})
    assert (i.tick_size, i.lot_size, i.min_lots) == (D("0.01"), D("0.001"), 1)
    assert i.max_lots == 2_000_000
    assert (i.base, i.quote, i.maker_fee_bps, i.taker_fee_bps) == ("ETH", "USDT", D(2), D(5))


@pytest.mark.data
@needs_examples
def test_bybit_instruments_use_filters():
    row = rows("bybit/http_get_instruments_linear.json")["result"]["list"][0]
    i = bybit.parse_instrument(row, rows("bybit/http_get_fee_rate.json")["result"]["list"][0])
    assert (i.tick_size, i.lot_size, i.min_lots, i.max_lots) == (D("0.5"), D("0.001"), 1, 50_000)
    assert (i.min_notional, i.maker_fee_bps, i.taker_fee_bps) == (D(5), D(1), D(6))


def test_binance_instrument_uses_filters_not_precision():
    row = {
        "symbol": "ABCUSDT",
        "baseAsset": "ABC",
        "quoteAsset": "USDT",
        "pricePrecision": 8,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.05"},
            {"filterType": "LOT_SIZE", "stepSize": "0.1", "minQty": "0.2", "maxQty": "1000"},
            {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.1", "minQty": "0.2", "maxQty": "120"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
    }
    i = binance.parse_instrument(row, {"makerCommissionRate": "0.0002", "takerCommissionRate": "0.0005"})
    assert (i.tick_size, i.lot_size, i.min_lots, i.max_lots) == (D("0.05"), D("0.1"), 2, 1_200)
    assert (i.maker_fee_bps, i.taker_fee_bps) == (D(2), D(5))


def test_a_binance_query_gives_each_trade_and_then_the_state():
    order = {"side": "SELL", "clientOrderId": "c", "symbol": "X", "executedQty": "3", "updateTime": 9}
    trades = [{"time": 8, "qty": "3", "price": "10", "commission": "0.1", "maker": True, "id": 4}]
    fill, state = binance.query_updates(order | {"status": "CANCELED"}, trades, lambda: 1)
    assert (fill.fill_qty, fill.trade_id, fill.side, fill.client_id) == (D(3), 4, -1, "c")
    assert (state.status, state.fill_qty) == ("CANCELED", 0)
