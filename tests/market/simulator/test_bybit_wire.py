"""Field by field against examples of the venue's own messages: what a client may read there, it finds here."""

import json

import pytest

from market.events import Mark
from market.simulator import bybit_orders
from market.simulator.bybit_rest import ROUTES, envelope
from tests.market.simulator.bybit_case import face, listen, order, user
from tests.market.simulator.cases import MS, SYMBOL, trade
from tests.market.simulator.data import recorded

pytestmark = pytest.mark.data
AT = {"category": "linear", "symbol": SYMBOL}
CALLS = {
    "http_get_account_info": "account/info",
    "http_get_executions": "execution/list",
    "http_get_fee_rate": "account/fee-rate",
    "http_get_funding_history": "market/funding/history",
    "http_get_instruments_linear": "market/instruments-info",
    "http_get_klines_linear": "market/kline",
    "http_get_orderbook": "market/orderbook",
    "http_get_orders_realtime": "order/realtime",
    "http_get_orders_history": "order/history",
    "http_get_positions": "position/list",
    "http_get_trades_recent": "market/recent-trade",
    "http_get_user_query_api": "user/query-api",
    "http_get_wallet_balance": "account/wallet-balance",
}
TOPICS = {
    "ws_account_order_stop_market": "order",
    "ws_account_execution": "execution",
    "ws_account_position": "position",
    "ws_account_wallet": "wallet",
    "ws_kline": f"kline.5.{SYMBOL}",
    "ws_orderbook_snapshot": f"orderbook.1.{SYMBOL}",
    "ws_public_trade": f"publicTrade.{SYMBOL}",
    "ws_ticker_linear": f"tickers.{SYMBOL}",
}
OF_OTHER_ACCOUNTS = {"positionIMByMp", "positionMMByMp", "totalPerpUpl"}
OF_OTHER_TIMES = {"kycLevel", "kycRegion", "userIDInt64", "inviterIDInt64", "affiliateIDInt64", "unifiedMarginStatus"}


def paths(value, at=""):
    """Names of all fields, those of list entries once."""
    if isinstance(value, dict):
        return {path for name, inner in value.items() for path in {f"{at}.{name}", *paths(inner, f"{at}.{name}")}}
    if isinstance(value, list):
        return {path for inner in value if not isinstance(inner, str | list) for path in paths(inner, at)}
    return set()


def fields(value):
    own = {path for path in paths(value) if ".permissions." not in path}
    return {path for path in own if path.rpartition(".")[2] not in OF_OTHER_ACCOUNTS | OF_OTHER_TIMES}


@pytest.fixture(scope="module")
def played():
    """A face that saw a market, two fundings, a position, an open, a cancelled and a conditional order."""
    made = face()
    mine = user(made, "order", "execution", "position", "wallet")
    seen = listen(made, *(topic for topic in TOPICS.values() if SYMBOL in topic))
    made.exchange.on_event(trade(1000, 5, -1, at_ms=1_000))
    for at_ms, next_ms in ((2_000, 10_000), (11_000, 20_000)):
        made.exchange.on_event(Mark(SYMBOL, at_ms * MS, at_ms * MS, 100.0, 100.0, 0.001, next_ms * MS))
    bybit_orders.place(made, order(orderType="Market", qty="0.2"))
    bybit_orders.place(made, order(price="99.0"))
    bybit_orders.place(made, order(price="100.1", timeInForce="PostOnly"))
    bybit_orders.place(made, order(orderType="Market", triggerPrice="101", triggerDirection=1))
    return made, mine.messages + seen.messages


@pytest.mark.parametrize("name", sorted(CALLS))
def test_answers_hold_the_fields_of_the_venues_example(played, name):
    made, _ = played
    example = json.loads((recorded("wire_examples/bybit") / f"{name}.json").read_text())
    asked = AT | {"accountType": "UNIFIED", "interval": "1"}
    answer = envelope(made, ROUTES["GET", f"/v5/{CALLS[name]}"].handler(made, asked))
    assert fields(example) - fields(answer) == set()


@pytest.mark.parametrize("name", sorted(TOPICS))
def test_messages_hold_the_fields_of_the_venues_example(played, name):
    _, messages = played
    example = json.loads((recorded("wire_examples/bybit") / f"{name}.json").read_text())
    ours = [message for message in messages if message["topic"] == TOPICS[name]]
    assert fields(example) - set().union(*(fields(message) for message in ours)) == set()
