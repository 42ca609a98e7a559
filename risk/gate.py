"""The gate: an intent passes all seven laws, in order, or not at all. There is no way around it and no bypass flag."""

from typing import Final

import msgspec

from risk.layers import (
    check_correlation,
    check_drawdown,
    check_emergency,
    check_portfolio_exposure,
    check_position_size,
    check_value_at_risk,
    check_volatility,
)
from risk.profiles import Limits
from risk.types import AccountView, Decision, Deny, Intent, MarketView, Resize, Verdict

LAWS: Final = (
    check_position_size,
    check_portfolio_exposure,
    check_value_at_risk,
    check_drawdown,
    check_volatility,
    check_correlation,
    check_emergency,
)


def check(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Decision:
    """Judge one intent. A Resize carries on with the smaller quantity, the first Deny ends; never raises.

    The quantity is in base units and not yet on the lot grid: round it *down* before sending.
    """
    verdicts: list[Verdict] = []
    for law in LAWS:
        verdict = law(intent, account, market, limits)
        verdicts.append(verdict)
        if isinstance(verdict, Deny):
            return Decision(tuple(verdicts), 0.0)
        if isinstance(verdict, Resize):
            intent = msgspec.structs.replace(intent, qty=verdict.qty)
    return Decision(tuple(verdicts), intent.qty)
