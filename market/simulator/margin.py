"""Whether an account can carry one more order."""

from market.simulator.account import Account
from market.simulator.errors import Reason, Reject
from market.simulator.orders import Order


def check_margin(account: Account, resting: dict[str, list[Order]], order: Order) -> None:
    """Free margin and the cap of the leverage cover the order; an open order of the same id is replaced by it.

    An order that adds nothing to the worst case passes whatever is free, so that positions can always be closed.

    Raises
    ------
    Reject
        The position could grow beyond its cap, or the margin is insufficient.
    """
    orders = resting[order.symbol]
    others = [other for other in orders if other.order_id != order.order_id]
    before = account.worst_notional(order.symbol, orders)
    after = account.worst_notional(order.symbol, [*others, order])
    if after <= before:
        return
    if after > account.max_notional(order.symbol):
        raise Reject(Reason.POSITION_CAP)
    if (after - before) / account.leverage[order.symbol] > account.available(resting):
        raise Reject(Reason.MARGIN)
