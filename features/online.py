"""The online feature row as it lies in Redis, in Feast's own encoding (Redis store, entity keys of version 3).

One hash per symbol: its key is the serialized entity key and the project, a field per feature named by the murmur3 hash
of ``view:feature`` that holds a ``Value`` protobuf, and the row's event time. The view's name carries the schema id, so
that a reader can never take a row of another schema. Pure bytes: who talks to Redis is elsewhere.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Final

import mmh3
import msgspec

from features.schema import NAMES, SCHEMA_ID
from market.errors import CryptoScalpError

PROJECT: Final = "cryptoscalp"
ENTITY: Final = "symbol"
VIEW: Final = f"tick_features_{SCHEMA_ID}"

_STRING: Final = 2
_DOUBLE: Final = b")"
_SECONDS, _NANOS = 0x08, 0x10
_STAMP: Final = f"_ts:{VIEW}".encode()


class OnlineRowError(CryptoScalpError):
    """What the online store holds is no feature row of this schema."""


class OnlineRow(msgspec.Struct, frozen=True):
    """The latest stored row of a symbol: event time (ns UTC, whole microseconds) and values in schema order."""

    event_ns: int
    features: tuple[float, ...]


def row_key(symbol: str) -> bytes:
    """The Redis key of ``symbol``'s hash."""
    name, value = ENTITY.encode(), symbol.encode()
    head = struct.pack("<III", 1, _STRING, len(name)) + name
    return head + struct.pack("<II", _STRING, len(value)) + value + PROJECT.encode()


def _field(feature: str) -> bytes:
    return struct.pack("<I", mmh3.hash(f"{VIEW}:{feature}", signed=False))


FIELDS: Final = (*map(_field, NAMES), _STAMP)
"""Fields of the hash: one per feature in schema order, then the event time."""


def encode_row(event_ns: int, features: Sequence[float]) -> dict[bytes, bytes]:
    """Fields and values of one row's hash.

    >>> row = encode_row(1_700_000_000_123_456_789, [0.5] * len(NAMES))
    >>> decode_row([row[field] for field in FIELDS], "X").event_ns
    1700000000123456000
    """
    seconds, nanos = divmod(event_ns // 1_000 * 1_000, 1_000_000_000)
    stamp = _varint_field(_SECONDS, seconds) + _varint_field(_NANOS, nanos)
    values = (_DOUBLE + struct.pack("<d", value) for value in features)
    return dict(zip(FIELDS, (*values, stamp), strict=True))


def decode_row(values: Sequence[bytes | None], symbol: str) -> OnlineRow | None:
    """A row from the values of ``FIELDS``; None when the store has nothing of ``symbol``.

    Raises
    ------
    OnlineRowError
        When only a part is there, or a value is no finite double.
    """
    if not any(values):
        return None
    *raw, stamp = values
    if stamp is None or not all(value is not None and len(value) == 9 and value[:1] == _DOUBLE for value in raw):
        missing = [name for name, value in zip(NAMES, raw, strict=True) if value is None or value[:1] != _DOUBLE]
        raise OnlineRowError(
            f"the online row of {symbol} is no row of schema {SCHEMA_ID}: {', '.join(missing) or 'event time'}",
            "materialize feature_store again",
        )
    features = tuple(struct.unpack("<d", value[1:])[0] for value in raw if value is not None)
    if not all(float("-inf") < value < float("inf") for value in features):
        raise OnlineRowError(f"the online row of {symbol} holds NaN or infinity", "materialize feature_store again")
    parts = _varint_fields(stamp)
    return OnlineRow(parts.get(_SECONDS, 0) * 1_000_000_000 + parts.get(_NANOS, 0), features)


def _varint_field(tag: int, value: int) -> bytes:
    """A protobuf integer field; like protobuf, nothing for 0."""
    if value == 0:
        return b""
    out = bytearray([tag])
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _varint_fields(raw: bytes) -> Mapping[int, int]:
    found, at = {}, 0
    while at < len(raw):
        tag, value, shift = raw[at], 0, 0
        at += 1
        while at < len(raw):
            value |= (raw[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if raw[at - 1] < 0x80:
                break
        found[tag] = value
    return found
