"""What the strategies want of one symbol now, as intents, and how an intent is told to people. Pure."""

from decimal import Decimal

from market.instruments import Instrument
from risk.types import Intent
from trader.config import TraderConfig
from trader.strategies.exits import exit_intent
from trader.strategies.market_making import quotes
from trader.strategies.momentum import entry
from trader.view import View


def wanted_now(view: View, config: TraderConfig, mode: str) -> tuple[Intent, ...]:
    """An exit replaces all entries of its symbol; a killed trader ("soft") only exits, or flattens ("hard")."""
    if mode == "hard":
        return flatten(view)
    leave = exit_intent(view, config.exits)
    if leave is not None:
        return (leave,)
    if mode == "soft":
        return ()
    lead = entry(view, config.momentum)
    return (lead,) if lead is not None else quotes(view, config.market_making)


def flatten(view: View) -> tuple[Intent, ...]:
    """Close the whole position at the market."""
    p = view.position
    if p is None:
        return ()
    side = -1 if p.qty > 0 else 1
    return (
        Intent(
            symbol=view.symbol,
            side=side,
            qty=abs(p.qty),
            px=view.bid_px if side < 0 else view.ask_px,
            post_only=False,
            reduce_only=True,
            strategy="kill",
            reason="flatten",
            confidence=None,
            stop_bps=None,
        ),
    )


def fewest_lots(intent: Intent, instrument: Instrument) -> int:
    """Smallest order the venue takes; reduce-only orders are exempt from its notional filter."""
    return 1 if intent.reduce_only else instrument.min_order_lots(Decimal(repr(intent.px)))


def describe(intent: Intent) -> str:
    """One line for the decision record."""
    side = "buy" if intent.side > 0 else "sell"
    return f"{side} {intent.qty:.8g} {intent.symbol} @ {intent.px:.10g} {intent.strategy}: {intent.reason}"
