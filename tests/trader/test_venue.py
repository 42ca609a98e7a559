import json
import os
from decimal import Decimal as D
from pathlib import Path

import ccxt.async_support as ccxt
import pytest

from market.errors import FrameError
from trader.budget import Budget
from trader.records import OrderUpdate
from trader.venue import Keys, _outcome, parse_instrument, parse_user_event, query_updates

EXAMPLES = (
    Path(os.environ.get("DATA_DIR", Path(__file__).parents[3] / "shared" / "data")) / "wire_examples/binance/futures"
)


async def failing(error):
    raise error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ccxt.RequestTimeout("slow"), "unknown"),
        (ccxt.NetworkError("gone"), "unknown"),
        (ccxt.ExchangeNotAvailable("503 Unknown error, please check your request or try again later."), "unknown"),
        (ccxt.ExchangeError('binanceusdm {"code":-1007,"msg":"Timeout"}'), "unknown"),
        (ccxt.ExchangeError('binanceusdm {"code":-1006,"msg":"Unexpected"}'), "unknown"),
        (ccxt.OperationFailed("odd"), "unknown"),
        (ConnectionResetError("reset"), "unknown"),
        (TimeoutError(), "unknown"),
        (ccxt.InsufficientFunds('binanceusdm {"code":-2019,"msg":"Margin is insufficient."}'), "rejected"),
        (ccxt.InvalidOrder('binanceusdm {"code":-1111,"msg":"Precision"}'), "rejected"),
        (ccxt.RateLimitExceeded("429"), "rejected"),
    ],
)
async def test_only_an_explicit_refusal_is_a_rejection(error, outcome):
    assert (await _outcome(failing(error), ("accepted", "rejected", "unknown")))[0] == outcome


async def test_the_venues_own_code_is_kept():
    error = ccxt.InsufficientFunds('binanceusdm {"code":-2019,"msg":"Margin is insufficient."}')
    assert (await _outcome(failing(error), ("accepted", "rejected", "unknown")))[1] == "-2019"


@pytest.mark.data
@pytest.mark.skipif(not EXAMPLES.exists(), reason="recorded examples absent (set DATA_DIR)")
@pytest.mark.parametrize(
    "path", sorted((EXAMPLES / "user_data_json").glob("order_update_*.json")), ids=lambda p: p.stem
)
def test_every_documented_order_event_parses(path):
    raw = path.read_bytes()
    told = json.loads(raw)
    event = parse_user_event(raw, 7)
    assert isinstance(event, OrderUpdate)
    assert event.client_id == told["o"]["c"]
    assert event.fill_qty == D(told["o"]["l"])
    assert event.side == (1 if told["o"]["S"] == "BUY" else -1)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"e":1}', b'{"e":"ORDER_TRADE_UPDATE","o":{"c":"x"}}', b"\xff"])
def test_unreadable_account_events_are_frame_errors(raw):
    with pytest.raises(FrameError):
        parse_user_event(raw, 1)


def test_other_user_events_come_back_by_name():
    assert parse_user_event(b'{"e":"listenKeyExpired","E":1}', 1) == "listenKeyExpired"


def test_instrument_uses_filters_not_precision():
    row = {
        "symbol": "ABCUSDT",
        "baseAsset": "ABC",
        "quoteAsset": "USDT",
        "pricePrecision": 8,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.05"},
            {"filterType": "LOT_SIZE", "stepSize": "0.1", "minQty": "0.2", "maxQty": "1000"},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ],
    }
    i = parse_instrument(row, {"makerCommissionRate": "0.0002", "takerCommissionRate": "0.0005"})
    assert (i.tick_size, i.lot_size, i.min_lots, i.max_lots) == (D("0.05"), D("0.1"), 2, 10_000)
    assert (i.maker_fee_bps, i.taker_fee_bps) == (D(2), D(5))


def test_a_query_gives_each_trade_and_then_the_state():
    order = {
        "side": "SELL",
        "clientOrderId": "c",
        "symbol": "X",
        "executedQty": "3",
        "updateTime": 9,
        "status": "CANCELED",
    }
    trades = [{"time": 8, "qty": "3", "price": "10", "commission": "0.1", "maker": True, "id": 4}]
    fill, state = query_updates(order, trades, lambda: 1)
    assert (fill.fill_qty, fill.trade_id, fill.side) == (D(3), 4, -1)
    assert (state.status, state.fill_qty) == ("CANCELED", 0)


def test_the_secret_is_not_in_the_repr():
    assert "s3cret" not in repr(Keys("k", "s3cret"))


def test_budget_keeps_a_reserve_for_essential_actions():
    now = [0]
    budget = Budget(lambda: now[0])
    taken = sum(budget.take(1, essential=False) for _ in range(400))
    assert taken == 240
    assert budget.take(1, essential=True)
    now[0] = 10_000_000_001
    assert budget.take(1, essential=False)
