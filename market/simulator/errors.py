"""Refusals of the simulated exchange: typed for clients (``Reject``), a sentence for operators (``SimulatorError``)."""

from enum import StrEnum

from market.errors import CryptoScalpError


class SimulatorError(CryptoScalpError):
    """The simulated exchange cannot start or go on: a used port, a tape of another venue, a bad setting."""


class Reason(StrEnum):
    """Venue-neutral refusals; each protocol face spells them in its venue's own codes."""

    UNKNOWN_SYMBOL = "unknown symbol"
    PRECISION = "more decimals than the instrument has"
    PX_TICK = "price is off the tick grid"
    PX_RANGE = "price is outside the price filter"
    PX_BAND = "price is too far above the mark price"
    PX_BAND_LOW = "price is too far below the mark price"
    QTY_STEP = "quantity is off the lot grid"
    QTY_MIN = "quantity is below the minimum"
    QTY_MAX = "quantity is above the maximum"
    NOTIONAL = "notional is below the minimum"
    MARGIN = "margin is insufficient"
    REDUCE_ONLY = "a reduce-only order would not reduce the position"
    POST_ONLY = "a post-only order would take"
    FILL_OR_KILL = "a fill-or-kill order cannot be filled at once"
    DUPLICATE_ID = "client order id is in use"
    TOO_MANY_ORDERS = "too many open orders"
    UNKNOWN_ORDER = "no such open order"
    NO_SUCH_ORDER = "no such order"
    WOULD_TRIGGER = "a conditional order would trigger at once"
    NOT_AMENDABLE = "this order cannot be amended"
    NO_CHANGE = "the amendment changes nothing"
    LEVERAGE = "leverage is out of range"
    OPEN_ORDERS = "open orders forbid this change"
    OPEN_POSITIONS = "open positions forbid this change"
    POSITION_SIDE = "the order's position side does not match the position mode"
    POSITION_CAP = "the position would exceed the cap of its leverage"
    ADD_MARGIN = "margin can only be moved to and from an isolated position, within what is free"


class Reject(Exception):
    """A request the exchange refuses; nothing was changed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason
