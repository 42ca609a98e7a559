"""What the three accounts share: how an answer is judged, and ids, sizes and texts within every venue's rules."""

import asyncio
import re
from decimal import Decimal as D

import ccxt.async_support as ccxt
import pytest

from market.instruments import Instrument
from trader.budget import LocalBudget
from trader.engine import client_id
from trader.errors import ConfigError
from trader.records import Order
from trader.venues import Addresses, Keys, binance, bybit, make_venue, okx
from trader.venues.common import Rest, code_of, plain, redirect, trade_number

NAMES = ("accepted", "rejected", "unknown")
OKX_NO = 'okx {"code":"1","data":[{"clOrdId":"","sCode":"%s","sMsg":"no"}],"msg":"All operations failed"}'


def rest(venue):
    client = {"binance": ccxt.binanceusdm, "okx": ccxt.okx, "bybit": ccxt.bybit}[venue]({})
    codes = {"binance": binance.CODES, "okx": okx.CODES, "bybit": bybit.CODES}[venue]
    return Rest(client, Addresses(), LocalBudget(()), codes, lambda *_: None)


def failing(error):
    async def call():
        raise error

    return call


@pytest.mark.parametrize(
    ("venue", "error", "outcome", "code"),
    [
        ("binance", ccxt.RequestTimeout("binanceusdm POST https://x"), "unknown", "RequestTimeout"),
        ("binance", ccxt.ExchangeNotAvailable("binanceusdm POST x 502 Bad Gateway <html>"), "unknown", None),
        ("binance", ccxt.OperationFailed('binanceusdm {"code":-1000,"msg":"Unknown error, please"}'), "unknown", "-1000"),  # noqa: E501
        ("binance", ccxt.ExchangeError('binanceusdm {"code":-1007,"msg":"Timeout"}'), "unknown", "-1007"),
        ("binance", ccxt.ExchangeError('binanceusdm {"code":-1006,"msg":"Unexpected"}'), "unknown", "-1006"),
        ("binance", ccxt.InvalidOrder('binanceusdm {"code":-4116,"msg":"ClientOrderId is duplicated."}'), "unknown", "-4116"),  # noqa: E501
        ("binance", ConnectionResetError("reset"), "unknown", None),
        ("binance", TimeoutError(), "unknown", None),
        ("binance", ccxt.ExchangeError("binanceusdm something without a code"), "unknown", None),
        ("binance", ccxt.InsufficientFunds('binanceusdm {"code":-2019,"msg":"Margin is insufficient."}'), "rejected", "-2019"),  # noqa: E501
        ("binance", ccxt.ExchangeError('binanceusdm {"code":-5022,"msg":"Post Only order will be rejected"}'), "rejected", "-5022"),  # noqa: E501
        ("binance", ccxt.ExchangeNotAvailable('binanceusdm {"code":-1008,"msg":"overload"}'), "rejected", "-1008"),
        ("binance", ccxt.DDoSProtection('binanceusdm 418 I\'m a teapot {"code":-1003,"msg":"banned"}'), "rejected", "-1003"),  # noqa: E501
        ("binance", ccxt.RateLimitExceeded("429"), "rejected", None),
        ("okx", ccxt.InsufficientFunds(OKX_NO % "51008"), "rejected", "51008"),
        ("okx", ccxt.ExchangeError(OKX_NO % "51016"), "unknown", "51016"),
        ("okx", ccxt.ExchangeNotAvailable('okx {"code":"50004","data":[],"msg":"timeout"}'), "unknown", "50004"),
        ("okx", ccxt.ExchangeNotAvailable('okx {"code":"50013","data":[],"msg":"busy"}'), "unknown", "50013"),
        ("okx", ccxt.RateLimitExceeded('okx {"code":"50011","data":[],"msg":"slow down"}'), "rejected", "50011"),
        ("bybit", ccxt.InsufficientFunds('bybit {"retCode":110007,"retMsg":"ab not enough"}'), "rejected", "110007"),
        ("bybit", ccxt.ExchangeError('bybit {"retCode":10016,"retMsg":"internal"}'), "unknown", "10016"),
        ("bybit", ccxt.ExchangeError('bybit {"retCode":110072,"retMsg":"OrderLinkedID is duplicate"}'), "unknown", "110072"),  # noqa: E501
        ("bybit", ccxt.RateLimitExceeded('bybit {"retCode":10006,"retMsg":"too many"}'), "rejected", "10006"),
    ],
)  # fmt: skip
async def test_only_an_explicit_refusal_is_a_rejection(venue, error, outcome, code):
    told = await rest(venue).act(failing(error), {}, False, NAMES)
    assert told[0] == outcome
    assert code is None or told[1] == code


@pytest.mark.parametrize(
    ("venue", "error", "outcome"),
    [
        ("binance", ccxt.OrderNotFound('binanceusdm {"code":-2013,"msg":"Order does not exist."}'), "absent"),
        ("okx", ccxt.OrderNotFound('okx {"code":"51603","data":[],"msg":"Order does not exist"}'), "absent"),
        ("bybit", ccxt.OrderNotFound('bybit {"retCode":110001,"retMsg":"order not exists"}'), "absent"),
        ("binance", ccxt.OrderNotFound("found nothing, says ccxt"), "unknown"),
        ("okx", ccxt.RequestTimeout("okx GET x"), "unknown"),
    ],
)
async def test_an_order_is_absent_only_in_the_venues_own_words(venue, error, outcome):
    assert (await rest(venue).look(failing(error), 1, "c", lambda: 1)).outcome == outcome


async def test_a_spent_budget_refuses_before_anything_is_sent():
    venue = rest("binance")
    venue._budget = LocalBudget(binance.LIMITS)
    await venue._budget.hold(60_000)
    sent = []

    async def call():
        sent.append(1)

    assert (await venue.act(call, {"orders": 1}, True, NAMES))[:2] == ("rejected", "RATE_BUDGET")
    assert not sent


@pytest.mark.parametrize("pattern", [r"[.A-Z:/a-z0-9_-]{1,36}", r"[A-Za-z0-9]{1,32}", r"[A-Za-z0-9_-]{1,36}"])
def test_client_ids_fit_every_venues_alphabet_and_length(pattern):
    run_id = f"cs{2**33:x}{0xFFFF:04x}"
    assert re.fullmatch(pattern, client_id(run_id, 10**9))
    assert client_id(run_id, 1) != client_id(run_id, 11)


@pytest.mark.parametrize("kind", [ccxt.binanceusdm, ccxt.okx, ccxt.bybit])
def test_an_address_replaces_scheme_and_host_and_keeps_every_path(kind):
    client = kind({})
    before = dict(client.urls["api"])
    redirect(client.urls["api"], "http://127.0.0.1:1/")
    for name, url in client.urls["api"].items():
        path = before[name].split("://")[1].partition("/")[2]
        assert url == "http://127.0.0.1:1" + (f"/{path}" if path else "")


def test_codes_are_read_from_the_order_before_the_request():
    assert code_of(ValueError(OKX_NO % "51020")) == "51020"
    assert code_of(ValueError('okx {"code":"50011","data":[]}')) == "50011"
    assert code_of(ValueError("no body")) == code_of(ValueError("x {broken")) == ""


@pytest.mark.parametrize(("value", "text"), [("1E-8", "0.00000001"), ("100000000", "100000000"), ("0.10", "0.1")])
def test_numbers_are_sent_without_exponent(value, text):
    assert plain(D(value)) == text


def test_trade_ids_are_stable_numbers_of_63_bits():
    assert trade_number("1518905529") == 1518905529
    odd = "0ab1bdf7-4219-438b-b30a-32ec863018f7"
    assert trade_number(odd) == trade_number(odd) != trade_number(odd[:-1] + "8")
    assert 0 < trade_number(odd) < 2**63


def instrument(tick, lot):
    return Instrument("x", "ABC", "A", "USDT", D(tick), D(lot), 1, 10**9, D(5), D(2), D(5))


@pytest.mark.parametrize(("tick", "lot"), [("1E-8", "1"), ("0.1", "0.001"), ("100", "1E-8"), ("0.05", "1000")])
def test_orders_are_sent_on_the_grid_of_the_filters(tick, lot):
    i = instrument(tick, lot)
    order = Order("c", "ABC", -1, 7, 13, True, False, "s")
    for params, px, qty in (
        (binance.order_params(order, i), "price", "quantity"),
        (bybit.order_params(order, i), "price", "qty"),
        (okx.order_params(order, i, D(lot)), "px", "sz"),
    ):
        assert D(params[px]) == D(tick) * 13
        assert D(params[qty]) == (D(7) if qty == "sz" else D(lot) * 7)
        assert "E" not in params[px] + params[qty]


def test_exits_are_market_orders_that_only_reduce():
    order = Order("c", "ABC", 1, 1, None, False, True, "exit")
    i = instrument("0.1", "1")
    assert binance.order_params(order, i) | {"type": "MARKET", "reduceOnly": "true"} == binance.order_params(order, i)
    assert okx.order_params(order, i, D(1)) | {"ordType": "market", "reduceOnly": True} == okx.order_params(
        order, i, D(1)
    )
    assert bybit.order_params(order, i) | {"orderType": "Market", "reduceOnly": True} == bybit.order_params(order, i)


@pytest.mark.parametrize(("name", "keys"), [("kraken", Keys("k", "s", "p")), ("okx", Keys("k", "s"))])
def test_an_unknown_venue_or_a_missing_passphrase_is_refused(name, keys):
    with pytest.raises(ConfigError):
        make_venue(name, Addresses(), keys, lambda: 1)


def test_no_secret_is_in_the_repr():
    assert not {"s3cret", "phr4se"} & set(re.findall(r"\w+", repr(Keys("k", "s3cret", "phr4se"))))


async def test_each_venue_comes_with_its_own_limits():
    for name in ("binanceusdm", "okx", "bybit"):
        venue, budget = make_venue(name, Addresses(rest="http://127.0.0.1:1"), Keys("k", "s", "p"), lambda: 1)
        assert venue.name == name
        assert await budget.take({"weight": 1}, essential=False)
        await asyncio.gather(venue.close(), budget.close())
