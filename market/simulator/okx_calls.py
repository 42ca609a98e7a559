"""REST calls of OKX as data: one route each, and the parameters they read."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from market.simulator.okx_auth import ApiError
from market.simulator.okx_contracts import Contract
from market.simulator.okx_face import PARAMETER, OkxFace

Json = dict[str, Any]


class Call(msgspec.Struct):
    """One request: its parameters, and all items of a batch (a single request is a batch of itself)."""

    params: Json
    items: list[Json]
    exp_ms: int = 0


class Route(msgspec.Struct, frozen=True):
    """One REST call: ``limit`` requests in two seconds, counted per instrument where ``by_instrument``.

    ``handler`` runs when the request reaches the exchange if it ``travels``, else at once.
    """

    handler: Callable[[OkxFace, Call], list[Any]]
    limit: int = 20
    is_private: bool = True
    travels: bool = False
    by_instrument: bool = False
    new_orders: bool = False
    window_s: float = 2.0


def value(params: Json, name: str, default: str = "") -> str:
    """A parameter as text, whatever JSON type the client gave it."""
    given = params.get(name)
    if given is None:
        return default
    return str(given).lower() if isinstance(given, bool) else str(given)


def require(params: Json, name: str) -> str:
    """A mandatory parameter."""
    text = value(params, name)
    if not text:
        raise ApiError("50014", f"Parameter {name} cannot be empty.", 400)
    return text


def decimal(params: Json, name: str) -> Decimal:
    """A mandatory positive decimal number."""
    text = value(params, name)
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number <= 0 or len(text) > 40:
        raise ApiError(PARAMETER, f"Parameter {name} error")
    return number


def integer(params: Json, name: str, default: int = 0) -> int:
    """An optional whole number, not negative."""
    text = value(params, name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ApiError(PARAMETER, f"Parameter {name} error")
    return int(text)


def choice(params: Json, name: str, choices: dict[str, Any], default: str = "") -> Any:
    """A parameter out of a list."""
    text = value(params, name) or default
    if text not in choices:
        raise ApiError(PARAMETER, f"Parameter {name} error")
    return choices[text]


def flag(params: Json, name: str) -> bool:
    """An optional ``true`` or ``false``."""
    return bool(choice(params, name, {"true": True, "false": False}, "false"))


def contract_of(face: OkxFace, params: Json) -> Contract:
    """The contract a request names, by ``instId`` or its numeric ``instIdCode``."""
    code = value(params, "instIdCode")
    if code:
        found = face.codes.get(int(code)) if code.isdecimal() else None
        return face.contract("" if found is None else found.inst_id)
    return face.contract(require(params, "instId"))


def asked(face: OkxFace, params: Json) -> list[Contract]:
    """The contracts a query covers: those named in ``instId`` (a list with commas), else all."""
    if value(params, "instType", "SWAP") not in ("SWAP", "ANY"):
        return []
    named = value(params, "instId")
    if named:
        return [face.contract(one) for one in named.split(",")]
    family = value(params, "instFamily") or value(params, "uly")
    return [contract for contract in face.contracts.values() if family in ("", contract.family)]


def page(rows: list[Any], params: Json, number: Callable[[Any], int], most: int = 100) -> list[Any]:
    """Rows newest first: older than ``after``, newer than ``before``, at most ``limit``; ``rows`` come oldest first."""
    after, before = integer(params, "after", 2**63), integer(params, "before", -1)
    kept = [row for row in reversed(rows) if before < number(row) < after]
    return kept[: min(integer(params, "limit", most), most) or most]
