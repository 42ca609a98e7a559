"""The seven laws. Each is pure and total: any input, also missing or broken, gets a verdict, and doubt means Deny.

Common to all:

- A reduce-only intent is judged by the first law alone (does it truly reduce?); no entry limit, stale market, unknown
  equity or alarm holds it back.
- Every working order and every order of unknown outcome counts as filled at its worst; the intent's symbol is valued
  at the higher of its price and the ask.
- What only brings a position back towards flat needs no room under limits on quantity.
- Observed equal to the limit passes.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from risk.profiles import Limits
from risk.stake import Leg, Stake, ahead, positive, reducible, stake_of, worst
from risk.types import AccountView, Deny, Intent, MarketView, Resize, Verdict
from risk.var import (
    correlation,
    cross_variance,
    own_variance,
    scaled,
    sigma,
    undiversified,
    value_at_risk,
    variance,
)
from risk.verdicts import ALLOW, at_least, at_most, between, bounded, deny, largest, reducing_only, unknown, within

Law = Callable[[Intent, Stake, AccountView, MarketView, Limits], Verdict]
"""A law past the common preliminaries: the intent is an entry, and what it would add to is known."""


def _entry(layer: str, law: Law, intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    if intent.reduce_only:
        return ALLOW[layer]
    stake = stake_of(intent, account, market, limits)
    return unknown(layer, stake) if isinstance(stake, str) else law(intent, stake, account, market, limits)


def check_position_size(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    """Layer 1: is this an order at all, sure enough to size, and small enough for one position?

    Position and orders in the intent's direction stay within ``max_position`` of equity (times the regime's
    ``position_x`` where that is below 1). Entries need ``min_confidence``; a missing confidence is for reduce-only
    intents alone.
    """
    if intent.side not in (1, -1) or not positive(intent.qty) or not positive(intent.px):
        return unknown("position_size", "INVALID_INTENT")
    if intent.reduce_only:
        return _truly_reduces("position_size", intent, account)
    return _entry("position_size", _position_size, intent, account, market, limits)


def _truly_reduces(layer: str, intent: Intent, account: AccountView) -> Verdict:
    most = reducible(intent, account)
    if intent.qty <= most:
        return ALLOW[layer]
    if most > 0:
        return Resize(layer, "REDUCE_ONLY_EXCEEDS", intent.qty, most, most)
    return deny(layer, "NOT_REDUCING", intent.qty, 0.0)


def _position_size(intent: Intent, stake: Stake, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    layer = "position_size"
    share = limits.max_position * min(1.0, stake.profile.position_x) * limits.margin_leverage
    return at_least(layer, "LOW_CONFIDENCE", intent.confidence, limits.min_confidence) or within(
        layer, "MAX_POSITION", intent, stake, share, stake.px / stake.equity, stake.ahead
    )


def check_portfolio_exposure(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    """Layer 2: how much is at stake in all, in one asset, at what leverage, in how many positions?

    One asset counts gross (position and working orders of both sides), the portfolio by each symbol's worst side.
    """
    return _entry("portfolio_exposure", _portfolio_exposure, intent, account, market, limits)


def _portfolio_exposure(
    intent: Intent, stake: Stake, account: AccountView, market: MarketView, limits: Limits
) -> Verdict:
    layer, positions, most = "portfolio_exposure", len(stake.rest.legs) + 1, stake.profile.max_positions
    if positions > most:
        return reducing_only(layer, "MAX_POSITIONS", intent, stake, positions, most)
    first = _single_asset(layer, intent, stake, limits)
    if isinstance(first, Deny):
        return first
    if isinstance(first, Resize):
        second = _exposure(layer, msgspec.structs.replace(intent, qty=first.qty), stake, limits)
        return second if isinstance(second, Deny | Resize) else first
    return _exposure(layer, intent, stake, limits)


def _single_asset(layer: str, intent: Intent, stake: Stake, limits: Limits) -> Verdict:
    share = limits.max_single_asset * limits.margin_leverage
    return within(layer, "MAX_SINGLE_ASSET", intent, stake, share, stake.px / stake.equity, stake.gross)


def _exposure(layer: str, intent: Intent, stake: Stake, limits: Limits) -> Verdict:
    share = limits.max_exposure * limits.margin_leverage
    code, limit = ("MAX_EXPOSURE", share) if share <= limits.max_leverage else ("MAX_LEVERAGE", limits.max_leverage)
    elsewhere = stake.rest.total
    already = (elsewhere + worst(*stake.held) * stake.px) / stake.equity
    base = elsewhere / stake.px + stake.ahead
    return within(layer, code, intent, stake, limit, stake.px / stake.equity, base, already)


def check_value_at_risk(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    """Layer 3: one-day parametric 95 % VaR of the worst-case book, as a share of equity, within ``max_var_day``.

    Needs a volatility for every symbol held or wanted; a missing correlation counts as the worst of -1 and 1.
    """
    return _entry("value_at_risk", _value_at_risk, intent, account, market, limits)


def _value_at_risk(intent: Intent, stake: Stake, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    layer, vol_day = "value_at_risk", market.vols_day.get(intent.symbol, market.vol_day)
    others = scaled(stake.rest.legs, market.vols_day)
    if others is None or vol_day is None or not 0.0 <= vol_day < float("inf"):
        return unknown(layer, "UNKNOWN_VOLATILITY")
    unit = stake.px * vol_day

    def own(qty: float) -> Leg:
        low, high = stake.held
        return (
            (intent.symbol, low * unit, (high + qty) * unit)
            if stake.side > 0
            else (intent.symbol, (low - qty) * unit, high * unit)
        )

    # the sum without any diversification is cheap and never below the VaR: most intents end here
    if value_at_risk(undiversified([own(intent.qty), *others])) / stake.equity <= limits.max_var_day:
        return ALLOW[layer]
    rest = variance(others, market.correlations)

    def measure(qty: float) -> float:
        leg = own(qty)
        total = rest + own_variance(leg) + cross_variance(leg, others, market.correlations)
        return value_at_risk(sigma(total)) / stake.equity

    limit = limits.max_var_day
    return bounded(layer, "MAX_VAR", intent, stake, limit, measure, lambda: largest(measure, limit, intent.qty))


def check_drawdown(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    """Layer 4: has enough been lost already, and could this one trade lose too much?

    Drawdown from the peak, loss since the day began, trades of the day, losses in a row, and the loss at the intent's
    stop (``stop_bps`` of its notional) within the smaller of ``max_trade_loss`` and the regime's ``risk_per_trade``.
    """
    return _entry("drawdown", _drawdown, intent, account, market, limits)


def _drawdown(intent: Intent, stake: Stake, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    layer, equity, stop_bps = "drawdown", stake.equity, intent.stop_bps
    refused = (
        at_most(layer, "MAX_DRAWDOWN", _fallen(account.peak_equity, equity), limits.max_drawdown)
        or at_most(layer, "DAILY_LOSS", _fallen(account.day_start_equity, equity), limits.max_daily_loss)
        or at_most(layer, "TRADES_PER_DAY", _next(account.trades_today), limits.max_trades_day)
        or at_most(layer, "CONSECUTIVE_LOSSES", _next(account.consecutive_losses), limits.max_consecutive_losses)
    )
    if refused:
        return refused
    if not positive(stop_bps):
        return unknown(layer, "UNKNOWN_STOP")
    share = min(limits.max_trade_loss, stake.profile.risk_per_trade)
    return within(layer, "MAX_TRADE_LOSS", intent, stake, share, stake.px * stop_bps / 10_000.0 / equity)


def _fallen(start: float | None, equity: float) -> float | None:
    return 1.0 - equity / start if positive(start) else None


def _next(count: int | None) -> float | None:
    # capped, since an int may be too large for a float
    return min(count, 1_000_000_000) + 1.0 if count is not None and count >= 0 else None


def check_volatility(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    """Layer 5: is the market fresh, calm, tight, traded and deep enough to enter?

    ``vol_day`` is realized volatility scaled to one day. The intent may be at most ``max_depth_share`` of the depth
    seen.
    """
    return _entry("volatility", _volatility, intent, account, market, limits)


def _volatility(intent: Intent, stake: Stake, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    layer, depth_usd = "volatility", market.depth_usd
    refused = (
        between(layer, "STALE_MARKET", market.age_ms, limits.max_market_age_ms)
        or _crossed(layer, market)
        or between(layer, "VOLATILITY_CAP", market.vol_day, limits.max_vol_day)
        or between(layer, "SPREAD_CAP", market.spread_bps, limits.max_spread_bps)
        or at_least(layer, "VOLUME_FLOOR", market.volume_24h_usd, limits.min_volume_24h_usd)
    )
    if refused:
        return refused
    if not positive(depth_usd):
        return unknown(layer, "DEPTH_SHARE", limits.max_depth_share)
    return within(layer, "DEPTH_SHARE", intent, stake, limits.max_depth_share, stake.px / depth_usd)


def _crossed(layer: str, market: MarketView) -> Deny | None:
    bid_px, ask_px = market.bid_px, market.ask_px
    if not positive(bid_px) or not positive(ask_px):
        return unknown(layer, "UNKNOWN_PRICE")
    return None if bid_px < ask_px else deny(layer, "CROSSED_BOOK", bid_px, ask_px)


def check_correlation(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    """Layer 6: is this the same bet again?

    A *leg* is what another symbol may hold that loses when the intent loses. A leg above ``min_pair_exposure`` of
    equity that is correlated above ``max_pair_correlation``, or by an unknown amount, denies. Legs weighted by their
    correlation, with the intent's own position, stay within ``max_concentration`` of equity; what would offset is not
    credited.
    """
    return _entry("correlation", _correlation, intent, account, market, limits)


def _correlation(intent: Intent, stake: Stake, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    layer, alike = "correlation", 0.0
    share = limits.max_concentration * limits.margin_leverage
    floor = limits.min_pair_exposure * limits.margin_leverage * stake.equity
    # if all else were the same bet in full and still fit, no correlation needs to be looked up
    if stake.rest.most <= floor and _all_alike(intent, stake) <= share:
        return ALLOW[layer]
    for name, low, high in stake.rest.legs:
        rho = correlation(market.correlations, intent.symbol, name)
        leg = _losing_leg(low, high, stake.side, rho)
        refused = at_most(layer, "PAIR_CORRELATION", None if rho is None else abs(rho), limits.max_pair_correlation)
        if refused and not leg <= floor:
            return reducing_only(layer, refused.code, intent, stake, refused.observed, refused.limit)
        alike += leg if rho is None else leg * abs(rho)
    base = alike / stake.px + stake.ahead
    return within(layer, "CONCENTRATION", intent, stake, share, stake.px / stake.equity, base)


def _all_alike(intent: Intent, stake: Stake) -> float:
    return (stake.rest.total + (max(0.0, stake.ahead) + intent.qty) * stake.px) / stake.equity


def _losing_leg(low: float, high: float, side: int, rho: float | None) -> float:
    if rho is None:
        return worst(low, high)
    return max(0.0, ahead(low, high, side if rho >= 0 else -side))


def check_emergency(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> Verdict:
    """Layer 7: nothing enters while the book is out of step, or an emergency indicator is raised or unknown."""
    return ALLOW["emergency"] if intent.reduce_only else _emergency(market)


def _emergency(market: MarketView) -> Verdict:
    layer = "emergency"
    if not market.tradable:
        return unknown(layer, "NOT_TRADABLE")
    if market.alarms is None:
        return unknown(layer, "ALARMS_UNKNOWN")
    if market.alarms:
        return deny(layer, f"ALARM_{market.alarms[0].upper()}", len(market.alarms), 0.0)
    return ALLOW[layer]


ENTRY_LAWS: Final[tuple[Law, ...]] = (
    _position_size,
    _portfolio_exposure,
    _value_at_risk,
    _drawdown,
    _volatility,
    _correlation,
    lambda intent, stake, account, market, limits: _emergency(market),
)
"""The laws behind the seven checks, for the gate, which works the stake out once for all of them."""
