from decimal import Decimal as D

import pytest
from harness import instrument

from risk.types import Intent
from trader.execution import Status, WorkingOrder
from trader.quoting import plan
from trader.records import Order

I = instrument(tick="0.1")  # noqa: E741


def intent(side=1, px=100.0, reduce_only=False, post_only=True):
    return Intent("AAAUSDT", side, 1.0, px, post_only, reduce_only, "s", "r", 0.7, 10.0)


def order(side=1, px_ticks=1000, reduce_only=False, status=Status.OPEN):
    working = WorkingOrder(Order("c", "AAAUSDT", side, 1, px_ticks, px_ticks is not None, reduce_only, "s"), D(1), 0)
    working.status = status
    return working


@pytest.mark.parametrize(
    ("intents", "orders", "kept", "sent", "cancelled"),
    [
        ([], [], 0, 0, 0),
        ([intent()], [], 0, 1, 0),
        ([], [order()], 0, 0, 1),
        ([intent()], [order()], 1, 0, 0),
        ([intent(px=100.1)], [order()], 0, 0, 1),
        ([intent(px=100.1)], [order(status=Status.CANCELING)], 0, 0, 0),
        ([intent()], [order(status=Status.UNKNOWN)], 0, 0, 0),
        ([intent(), intent(-1, 100.2)], [order()], 1, 1, 0),
        ([intent(-1, reduce_only=True)], [order(-1)], 0, 1, 1),
        ([intent(-1, reduce_only=True, post_only=False)], [order(-1, None, reduce_only=True)], 1, 0, 0),
        ([intent(-1, reduce_only=True, post_only=False)], [order(-1, 1000, reduce_only=True)], 0, 0, 1),
    ],
)
def test_plan(intents, orders, kept, sent, cancelled):
    p = plan(intents, orders, I)
    assert (len(p.keep), len(p.send), len(p.cancel)) == (kept, sent, cancelled)
