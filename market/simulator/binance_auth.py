"""Binance's request signing, checked for real: API key, HMAC SHA256 over the parameters as sent, receive window."""

import hashlib
import hmac
from typing import Final
from urllib.parse import parse_qsl

import msgspec

DEFAULT_RECV_WINDOW_MS: Final = 5_000
MAX_RECV_WINDOW_MS: Final = 60_000
FUTURE_MS: Final = 1_000


class ApiError(Exception):
    """A refusal in Binance's own words: HTTP status, code and message."""

    def __init__(self, code: int, message: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.headers = code, message, status, headers or {}


class Credentials(msgspec.Struct, frozen=True):
    """The one account's key pair."""

    api_key: str
    secret: str

    def __repr__(self) -> str:
        return f"Credentials(api_key={self.api_key!r}, secret=***)"


def parse(query: str, body: str) -> dict[str, str]:
    """Parameters of query string and form body; the query string wins, as on Binance."""
    return dict(parse_qsl(body, keep_blank_values=True)) | dict(parse_qsl(query, keep_blank_values=True))


def unsigned(text: str) -> str:
    """A parameter string without its signature, otherwise as sent.

    >>> unsigned("a=1&b=%20x&signature=ff")
    'a=1&b=%20x'
    """
    return "&".join(part for part in text.split("&") if part and not part.startswith("signature="))


def sign(secret: str, query: str, body: str) -> str:
    """Signature of a request: its query string and body joined, without the signature itself."""
    signed = (unsigned(query) + unsigned(body)).encode()
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def check_key(credentials: Credentials, api_key: str | None) -> None:
    """The API key is present and ours."""
    if not api_key:
        raise ApiError(-2014, "API-key format invalid.", 401)
    if not hmac.compare_digest(api_key, credentials.api_key):
        raise ApiError(-2015, "Invalid API-key, IP, or permissions for action, request ip: 127.0.0.1", 401)


def check_signature(credentials: Credentials, query: str, body: str, now_ms: int) -> None:
    """The signature matches and ``timestamp`` (wall clock, ms) lies within ``recvWindow`` before ``now_ms``."""
    params = parse(query, body)
    given = params.get("signature")
    if not given:
        raise ApiError(-1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
    timestamp = _integer(params, "timestamp", None)
    window = _integer(params, "recvWindow", DEFAULT_RECV_WINDOW_MS)
    if window > MAX_RECV_WINDOW_MS:
        raise ApiError(-1131, "recvWindow must be less than 60000.")
    if timestamp > now_ms + FUTURE_MS:
        raise ApiError(-1021, f"Timestamp for this request was {FUTURE_MS}ms ahead of the server's time.")
    if now_ms - timestamp > window:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")
    if not hmac.compare_digest(given.encode(), sign(credentials.secret, query, body).encode()):
        raise ApiError(-1022, "Signature for this request is not valid.")


def _integer(params: dict[str, str], name: str, default: int | None) -> int:
    text = params.get(name, "")
    if text.isascii() and text.isdigit():
        return int(text)
    if not text and default is not None:
        return default
    raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
