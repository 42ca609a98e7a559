"""Parameters of Bybit calls, which come as text in a query or as JSON in a body, and pages of answers."""

from decimal import Decimal, InvalidOperation
from typing import Any

from market.simulator.bybit_auth import BybitError


def require(params: dict[str, Any], name: str) -> str:
    """A mandatory parameter, as text."""
    value = str(params.get(name) or "")
    if not value:
        raise BybitError(10001, f"params error: {name} is required")
    return value


def boolean(params: dict[str, Any], name: str) -> bool:
    """An optional truth value, as JSON or as text."""
    return str(params.get(name) or "false").lower() == "true"


def integer(params: dict[str, Any], name: str, default: int) -> int:
    """An optional whole number, not negative."""
    value = str(params.get(name) or default)
    if not value.isdecimal() or len(value) > 19:
        raise BybitError(10001, f"params error: {name} invalid")
    return int(value)


def decimal(params: dict[str, Any], name: str) -> Decimal:
    """A mandatory decimal number."""
    value = require(params, name)
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or len(value) > 40:
        raise BybitError(10001, f"params error: {name} invalid")
    return number


def check_linear(params: dict[str, Any]) -> None:
    """Orders of other categories have nothing to trade on here."""
    if require(params, "category") != "linear":
        raise BybitError(10001, "params error: category invalid")


def page(rows: list[dict[str, Any]], params: dict[str, Any], most: int, default: int = 20) -> dict[str, Any]:
    """One page of rows, and the cursor to the next ("" at the end)."""
    size, start = min(integer(params, "limit", default), most), integer(params, "cursor", 0)
    more = str(start + size) if start + size < len(rows) else ""
    return {"category": params.get("category", "linear"), "list": rows[start : start + size], "nextPageCursor": more}
