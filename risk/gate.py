"""The gate: an intent passes all seven laws, in order, or not at all. There is no way around it and no bypass flag."""

import msgspec

from risk.layers import ENTRY_LAWS, check_position_size
from risk.profiles import Limits
from risk.stake import stake_of
from risk.types import LAYERS, AccountView, Decision, Deny, Intent, MarketView, Resize, Verdict
from risk.verdicts import ALLOW, unknown


def check(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Decision:
    """Judge one intent: the same verdicts as the seven checks of ``risk.layers`` one after the other. Never raises.

    A Resize carries on with the smaller quantity, the first Deny ends. The quantity is in base units and not yet on
    the lot grid: round it *down* before sending.
    """
    if intent.reduce_only:
        return _check_exit(intent, account, market, limits)
    stake = stake_of(intent, account, market, limits)
    if isinstance(stake, str):
        return Decision((unknown(LAYERS[0], stake),), 0.0)
    verdicts: list[Verdict] = []
    for law in ENTRY_LAWS:
        verdict = law(intent, stake, account, market, limits)
        verdicts.append(verdict)
        if isinstance(verdict, Deny):
            return Decision(tuple(verdicts), 0.0)
        if isinstance(verdict, Resize):
            intent = msgspec.structs.replace(intent, qty=verdict.qty)
    return Decision(tuple(verdicts), intent.qty)


def _check_exit(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Decision:
    verdict = check_position_size(intent, account, market, limits)
    if isinstance(verdict, Deny):
        return Decision((verdict,), 0.0)
    qty = verdict.qty if isinstance(verdict, Resize) else intent.qty
    return Decision((verdict, *(ALLOW[layer] for layer in LAYERS[1:])), qty)
