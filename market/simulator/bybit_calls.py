"""What Bybit's REST calls share: their table entries, the venue's codes for refusals, and the listed symbols."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from market.simulator.bybit_auth import BybitError
from market.simulator.bybit_params import check_linear, require
from market.simulator.errors import Reason, Reject

if TYPE_CHECKING:
    from market.simulator.bybit_face import BybitFace

CODES: Final[dict[Reason, tuple[int, str]]] = {
    Reason.UNKNOWN_SYMBOL: (10001, "params error: symbol invalid"),
    Reason.PRECISION: (10001, "params error: more decimals than the symbol has"),
    Reason.PX_TICK: (10001, "params error: price is not a multiple of tickSize"),
    Reason.PX_RANGE: (10001, "params error: price invalid"),
    Reason.PX_BAND: (110003, "Order price exceeds the allowable range."),
    Reason.PX_BAND_LOW: (110003, "Order price exceeds the allowable range."),
    Reason.QTY_STEP: (10001, "Qty invalid"),
    Reason.QTY_MIN: (10001, "The number of contracts is below the minimum allowed"),
    Reason.QTY_MAX: (10001, "The number of contracts exceeds the maximum limit allowed"),
    Reason.NOTIONAL: (110094, "Order does not meet minimum order value {notional}{quote}"),
    Reason.MARGIN: (110007, "ab not enough for new order"),
    Reason.REDUCE_ONLY: (110017, "current position is zero, cannot fix reduce-only order qty"),
    Reason.POST_ONLY: (110117, "the post-only order would take"),
    Reason.FILL_OR_KILL: (110117, "the fill-or-kill order cannot be filled"),
    Reason.DUPLICATE_ID: (110072, "OrderLinkedID is duplicate"),
    Reason.TOO_MANY_ORDERS: (110020, "Not allowed to have more than 500 active orders."),
    Reason.UNKNOWN_ORDER: (110001, "order not exists or too late to cancel"),
    Reason.NO_SUCH_ORDER: (110001, "order not exists"),
    Reason.WOULD_TRIGGER: (110092, "trigger price is reached already"),
    Reason.NOT_AMENDABLE: (110064, "The number of contracts modified cannot be less than or equal to the filled one."),
    Reason.NO_CHANGE: (10001, "The order remains unchanged as the parameters entered match the existing ones."),
    Reason.LEVERAGE: (110013, "cannot set leverage due to risk limit"),
    Reason.OPEN_ORDERS: (110028, "Open orders exist, so you cannot change position mode."),
    Reason.OPEN_POSITIONS: (110024, "You have an existing position, so the position mode cannot be switched."),
    Reason.POSITION_SIDE: (10001, "position idx not match position mode"),
    Reason.POSITION_CAP: (110090, "Order placement failed as your position may exceed the max limit."),
    Reason.ADD_MARGIN: (110014, "Insufficient available balance to add additional margin."),
}


def api_error(face: "BybitFace", reject: Reject, symbol: str) -> BybitError:
    """A refusal of the exchange in Bybit's codes."""
    code, message = CODES[reject.reason]
    market = face.exchange.markets.get(symbol)
    if market is not None and reject.reason is Reason.NOTIONAL:
        instrument = market.instrument
        message = message.format(notional=format(instrument.min_notional, "f"), quote=instrument.quote)
    return BybitError(code, message)


class Route(msgspec.Struct, frozen=True):
    """One REST call. ``handler`` runs when the request reaches the exchange if it ``travels``, else at once.

    ``limit`` is calls per second of the account, 0 for public calls; ``places``: it may create or change an order.
    """

    handler: Callable[["BybitFace", dict[str, Any]], Any]
    limit: int = 0
    travels: bool = False
    places: bool = False


def linear_symbol(face: "BybitFace", params: dict[str, Any]) -> str:
    """The mandatory symbol, which must be listed; only linear contracts are."""
    check_linear(params)
    symbol = require(params, "symbol")
    if symbol not in face.exchange.markets:
        raise BybitError(10001, "params error: symbol invalid")
    return symbol
