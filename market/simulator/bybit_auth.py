"""Bybit v5 request signing, checked for real: API key, HMAC SHA256 over timestamp + key + window + payload."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from market.simulator.binance_auth import Credentials

DEFAULT_WINDOW_MS: Final = 5_000
FUTURE_MS: Final = 1_000
WS_PATH: Final = "GET/realtime"


class BybitError(Exception):
    """A refusal in Bybit's own words. Nearly all of them travel with HTTP status 200."""

    def __init__(self, code: int, message: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.headers = code, message, status, headers or {}


def digest(secret: str, payload: str) -> str:
    """Signature of a payload, in lower-case hexadecimal."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def check_request(credentials: Credentials, headers: Mapping[str, str], payload: str, now_ms: int) -> None:
    """A signed HTTP request: ``payload`` is the raw query string of a GET, the raw body of a POST."""
    key, stamp = headers.get("X-BAPI-API-KEY", ""), headers.get("X-BAPI-TIMESTAMP", "")
    given, window = headers.get("X-BAPI-SIGN", ""), headers.get("X-BAPI-RECV-WINDOW", "")
    if not key or not stamp or not given:
        raise BybitError(10001, f"empty value: apiTimestamp[{stamp}] apiKey[{key}] apiSignature[{given}]")
    check_key(credentials, key)
    check_time(stamp, window, now_ms)
    origin = f"{stamp}{key}{window}{payload}"
    if not hmac.compare_digest(given.encode(), digest(credentials.secret, origin).encode()):
        raise BybitError(10004, f"error sign! origin_string[{origin}]")


def check_key(credentials: Credentials, key: str) -> None:
    """The API key is ours."""
    if not hmac.compare_digest(key.encode(), credentials.api_key.encode()):
        raise BybitError(10003, "API key is invalid.")


def check_time(stamp: str, window: str, now_ms: int) -> None:
    """``server_time - window <= stamp < server_time + 1000`` (ms), as the venue documents it."""
    window_ms = int(window) if window.isdecimal() else DEFAULT_WINDOW_MS
    if not stamp.isdecimal() or not now_ms - window_ms <= int(stamp) < now_ms + FUTURE_MS:
        raise BybitError(
            10002,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{window_ms}]",
        )


def check_socket(credentials: Credentials, arguments: list[object], now_ms: int) -> None:
    """Arguments of the ``auth`` operation: key, expiry (ms, still to come) and its signature."""
    if len(arguments) != 3:
        raise BybitError(10001, "Params Error")
    key, expires, given = (str(argument) for argument in arguments)
    check_key(credentials, key)
    if not expires.isdecimal() or int(expires) <= now_ms:
        raise BybitError(10002, "The request time exceeds the time window range.")
    if not hmac.compare_digest(given.encode(), digest(credentials.secret, WS_PATH + expires).encode()):
        raise BybitError(10004, "Error sign, please check your signature generation algorithm.")
