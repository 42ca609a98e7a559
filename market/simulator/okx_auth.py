"""OKX's request signing, checked for real: key, passphrase, ISO timestamp, HMAC SHA256 in base64."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from random import Random
from typing import Final

import msgspec

WINDOW_S: Final = 30.0
LOGIN_PATH: Final = "/users/self/verify"
CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
HEADERS: Final = (
    ("OK-ACCESS-KEY", "50103"),
    ("OK-ACCESS-PASSPHRASE", "50104"),
    ("OK-ACCESS-SIGN", "50106"),
    ("OK-ACCESS-TIMESTAMP", "50107"),
)


class ApiError(Exception):
    """A refusal in OKX's own words: code, message, HTTP status."""

    def __init__(self, code: str, message: str, status: int = 200) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


class Credentials(msgspec.Struct, frozen=True):
    """The one account's key, secret and passphrase."""

    api_key: str
    secret: str
    passphrase: str

    def __repr__(self) -> str:
        return f"Credentials(api_key={self.api_key!r}, secret=***, passphrase=***)"


def credentials_of(seed: int) -> Credentials:
    """The keys of the simulated account, the same for the same seed; they open nothing but this loopback server."""
    random = Random(f"okx credentials {seed}")
    return Credentials(*("".join(random.choices(CHARACTERS, k=size)) for size in (36, 32, 16)))


def sign(secret: str, timestamp: str, method: str, path: str, body: str) -> str:
    """Signature over timestamp, method, path with its query, and body.

    >>> sign("22582BD0CFF14C41EDBF1AB98506286D", "2020-12-08T09:08:57.715Z", "GET", "/api/v5/account/balance", "")
    'AkD5YszBhggtIyjDlmTy/9PpNVntel+1Lff8wh0qpQw='
    """
    signed = (timestamp + method + path + body).encode()
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def _matches(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def iso_s(timestamp: str) -> float | None:
    """Seconds of an ISO timestamp; None when it is none.

    >>> iso_s("1970-01-01T00:00:01.500Z"), iso_s("soon")
    (1.5, None)
    """
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def check_request(
    credentials: Credentials, headers: Mapping[str, str], method: str, path: str, body: str, now_s: float
) -> None:
    """Check a REST request's ``OK-ACCESS-*`` headers; ``path`` includes the query string as sent.

    Raises
    ------
    ApiError
        A header is missing, the key or passphrase is not ours, the request is too old, or its signature is wrong.
    """
    for name, code in HEADERS:
        if not headers.get(name):
            raise ApiError(code, f'Request header "{name}" cannot be empty.', 401)
    timestamp = headers["OK-ACCESS-TIMESTAMP"]
    sent_s = iso_s(timestamp)
    if sent_s is None:
        raise ApiError("50112", "Invalid OK-ACCESS-TIMESTAMP", 401)
    if abs(now_s - sent_s) > WINDOW_S:
        raise ApiError("50102", "Timestamp request expired", 401)
    if not _matches(headers["OK-ACCESS-KEY"], credentials.api_key):
        raise ApiError("50111", "Invalid OK-ACCESS-KEY", 401)
    if not _matches(headers["OK-ACCESS-PASSPHRASE"], credentials.passphrase):
        raise ApiError("50105", "Request header OK-ACCESS-PASSPHRASE incorrect.", 401)
    if not _matches(headers["OK-ACCESS-SIGN"], sign(credentials.secret, timestamp, method, path, body)):
        raise ApiError("50113", "Invalid Sign", 401)


class Login(msgspec.Struct):
    """What a WebSocket client logs in with; ``timestamp`` in seconds."""

    apiKey: str
    passphrase: str
    timestamp: str
    sign: str


def check_login(credentials: Credentials, login: Login, now_s: float) -> None:
    """Check a WebSocket login; raises ApiError in the venue's 6xxxx codes."""
    try:
        sent_s = float(login.timestamp)
    except ValueError:
        raise ApiError("60004", "Invalid timestamp") from None
    if not abs(now_s - sent_s) <= WINDOW_S:
        raise ApiError("60006", "Timestamp request expired")
    if not _matches(login.apiKey, credentials.api_key):
        raise ApiError("60005", "Invalid apiKey")
    if not _matches(login.passphrase, credentials.passphrase):
        raise ApiError("60024", "Wrong passphrase")
    if not _matches(login.sign, sign(credentials.secret, login.timestamp, "GET", LOGIN_PATH, "")):
        raise ApiError("60007", "Invalid sign")
