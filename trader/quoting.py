"""Wanted quotes against working orders: keep what stands, cancel what no longer should, send what is missing."""

from collections.abc import Sequence

import msgspec

from market.instruments import Instrument
from risk.types import Intent
from trader.execution import Status, WorkingOrder


class Plan(msgspec.Struct, frozen=True):
    """``keep`` pairs an intent with the order that already expresses it; ``send`` and ``cancel`` are to be done."""

    keep: tuple[tuple[Intent, WorkingOrder], ...]
    send: tuple[Intent, ...]
    cancel: tuple[WorkingOrder, ...]


def plan(intents: Sequence[Intent], working: Sequence[WorkingOrder], instrument: Instrument) -> Plan:
    """Match ``intents`` with ``working`` orders of one symbol by side, purpose and price.

    A side whose old order is still being cancelled sends nothing: two orders of one purpose and side never coexist.
    """
    keep: list[tuple[Intent, WorkingOrder]] = []
    send: list[Intent] = []
    unmatched = list(working)
    for intent in intents:
        rivals = [o for o in unmatched if _same_purpose(intent, o)]
        same = [o for o in rivals if o.status in (Status.SENT, Status.OPEN) and _same_price(intent, o, instrument)]
        if same:
            keep.append((intent, same[0]))
            unmatched.remove(same[0])
        elif not rivals:
            send.append(intent)
    cancel = tuple(o for o in unmatched if o.status is Status.OPEN)
    return Plan(keep=tuple(keep), send=tuple(send), cancel=cancel)


def _same_purpose(intent: Intent, order: WorkingOrder) -> bool:
    return order.order.side == intent.side and order.order.reduce_only == intent.reduce_only


def _same_price(intent: Intent, order: WorkingOrder, instrument: Instrument) -> bool:
    if not intent.post_only or order.order.px_ticks is None:
        return not intent.post_only and order.order.px_ticks is None
    return order.order.px_ticks == instrument.ticks(intent.px)
