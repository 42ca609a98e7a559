"""Bybit's own rules around the exchange: signing, limits, ids, candles, parameters."""

import hashlib
import hmac

import pytest

from market.simulator.bybit_auth import BybitError, check_request, check_socket
from market.simulator.bybit_calls import CODES
from market.simulator.bybit_limits import Limits
from market.simulator.bybit_messages import number_of, public_id
from market.simulator.bybit_params import decimal, integer, page
from market.simulator.bybit_rest import parameters
from market.simulator.errors import Reason
from tests.market.simulator.bybit_case import KEYS

NOW_MS = 1_700_000_000_000


def headers(payload, secret="the-secret", stamp=NOW_MS, window="5000", key="the-key"):
    sign = hmac.new(secret.encode(), f"{stamp}{key}{window}{payload}".encode(), hashlib.sha256).hexdigest()
    return {
        "X-BAPI-API-KEY": key,
        "X-BAPI-TIMESTAMP": str(stamp),
        "X-BAPI-RECV-WINDOW": window,
        "X-BAPI-SIGN": sign,
    }


@pytest.mark.parametrize("payload", ["category=linear&symbol=XYUSDT", '{"category":"linear"}', "", "a=%5B1%5D"])
def test_signed_requests_are_accepted(payload):
    check_request(KEYS, headers(payload), payload, NOW_MS + 500)


@pytest.mark.parametrize(
    ("given", "payload", "code"),
    [
        pytest.param(headers("a=1"), "a=2", 10004, id="altered"),
        pytest.param(headers("a=1", secret="another"), "a=1", 10004, id="another secret"),
        pytest.param(headers("a=1", key="other"), "a=1", 10003, id="another key"),
        pytest.param(headers("a=1", stamp=NOW_MS - 5_001), "a=1", 10002, id="too old"),
        pytest.param(headers("a=1", stamp=NOW_MS + 1_000), "a=1", 10002, id="from the future"),
        pytest.param(headers("a=1", stamp=NOW_MS - 101, window="100"), "a=1", 10002, id="older than its own window"),
        pytest.param({}, "a=1", 10001, id="unsigned"),
        pytest.param(headers("a=1") | {"X-BAPI-TIMESTAMP": "soon"}, "a=1", 10002, id="time is no number"),
    ],
)
def test_bad_requests_are_refused_in_the_venues_codes(given, payload, code):
    with pytest.raises(BybitError) as refused:
        check_request(KEYS, given, payload, NOW_MS)
    assert refused.value.code == code


def socket_sign(expires, secret=b"the-secret"):
    return hmac.new(secret, f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()


def test_socket_login():
    check_socket(KEYS, ["the-key", NOW_MS + 1, socket_sign(NOW_MS + 1)], NOW_MS)
    for arguments, code in (
        (["the-key", NOW_MS, socket_sign(NOW_MS)], 10002),
        (["the-key", NOW_MS + 1, socket_sign(NOW_MS + 2)], 10004),
        (["other", NOW_MS + 1, socket_sign(NOW_MS + 1)], 10003),
        (["the-key"], 10001),
    ):
        with pytest.raises(BybitError) as refused:
            check_socket(KEYS, arguments, NOW_MS)
        assert refused.value.code == code


def test_ten_calls_a_second_of_an_endpoint_slide_with_time():
    limits = Limits()
    left = [limits.spend("/v5/order/create", 10, 1, 100.0 + i / 20)["X-Bapi-Limit-Status"] for i in range(10)]
    assert left == [str(n) for n in range(9, -1, -1)]
    with pytest.raises(BybitError) as refused:
        limits.spend("/v5/order/create", 10, 1, 100.9)
    assert refused.value.code == 10006
    assert refused.value.headers["X-Bapi-Limit-Reset-Timestamp"] == "101000"
    assert limits.spend("/v5/order/cancel", 10, 1, 100.9)["X-Bapi-Limit-Status"] == "9"
    assert limits.spend("/v5/order/create", 10, 1, 101.01)["X-Bapi-Limit-Status"] == "0"


def test_a_batch_counts_by_its_orders():
    limits = Limits()
    limits.spend("/v5/order/create-batch", 10, 6, 1.0)
    with pytest.raises(BybitError):
        limits.spend("/v5/order/create-batch", 10, 5, 1.5)
    limits.spend("/v5/order/create-batch", 10, 4, 1.5)


def test_an_address_over_its_limit_is_shut_out_for_ten_minutes():
    limits = Limits(per_address=3)
    for _ in range(3):
        limits.visit(10.0)
    for at in (10.1, 609.0):
        with pytest.raises(BybitError) as refused:
            limits.visit(at)
        assert refused.value.status == 403
    limits.visit(610.2)


def test_five_hundred_sockets_in_five_minutes_and_no_more():
    limits = Limits()
    assert [limits.connect(1.0) for _ in range(501)] == [True] * 500 + [False]
    assert limits.connect(301.5)


def test_ids_are_read_back_and_others_are_not():
    assert number_of(public_id(2_000_000_001)) == 2_000_000_001
    for name in ("", "7", public_id(7)[:-1], public_id(7).replace("5b", "5c"), public_id(7)[:-1] + "g"):
        assert number_of(name) is None


def test_pages_follow_their_cursor_to_the_end():
    rows = [{"n": n} for n in range(5)]
    first = page(rows, {"limit": "2"}, 50)
    second = page(rows, {"limit": "2", "cursor": first["nextPageCursor"]}, 50)
    last = page(rows, {"limit": "2", "cursor": second["nextPageCursor"]}, 50)
    assert first["list"] + second["list"] + last["list"] == rows
    assert last["nextPageCursor"] == ""


@pytest.mark.parametrize("value", ["NaN", "1e", "", None, "Infinity", "1" * 41])
def test_numbers_that_are_none_are_refused(value):
    with pytest.raises(BybitError):
        decimal({"qty": value}, "qty")


@pytest.mark.parametrize("value", ["-1", "1.5", "x", "9" * 20])
def test_counts_that_are_none_are_refused(value):
    with pytest.raises(BybitError):
        integer({"limit": value}, "limit", 5)


def test_bodies_must_be_objects():
    assert parameters("a=1&b=", "") == {"a": "1", "b": ""}
    assert parameters("", '{"a": [1]}') == {"a": [1]}
    for body in ("[1]", "{", "null"):
        with pytest.raises(BybitError):
            parameters("", body)


def test_every_refusal_of_the_exchange_has_a_code():
    assert set(CODES) == set(Reason)
