"""The seven layers as they are usually written: a frame of positions, a correlation matrix, vectorised sums.

Judges entries on a book without working orders, which is what the benchmark compares; same limits, same codes.
"""

import numpy as np
import pandas as pd

from risk.profiles import Limits
from risk.types import AccountView, Intent, MarketView
from risk.var import Z_95, pair_key


def frame(account: AccountView, market: MarketView) -> pd.DataFrame:
    """One row per position: signed quantity, mark price, daily volatility."""
    rows = {s: (p.qty, p.mark_px, market.vols_day[s]) for s, p in account.positions.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["qty", "mark_px", "vol_day"])


def correlation_matrix(symbols: list[str], market: MarketView) -> pd.DataFrame:
    """Correlations of all pairs, 1 on the diagonal."""
    rho = np.array([[1.0 if a == b else market.correlations[pair_key(a, b)] for b in symbols] for a in symbols])
    return pd.DataFrame(rho, index=symbols, columns=symbols)


def judge(
    intent: Intent, book: pd.DataFrame, rho: pd.DataFrame, account: AccountView, market: MarketView, limits: Limits
) -> tuple[str, float]:
    """Code of the last layer that objected ("" for none), and the quantity allowed."""
    refusal = _facts(intent, account, market, limits)
    if refusal:
        return refusal, 0.0
    equity, px = float(account.equity or 0.0), max(intent.px, float(market.ask_px or 0.0))
    notional = (book["qty"] * book["mark_px"]).drop(intent.symbol)
    own = intent.side * float(book.at[intent.symbol, "qty"])
    profile = limits.profiles[market.regime]
    gross = notional.abs().sum()
    if (notional != 0).sum() + 1 > profile.max_positions:
        return "MAX_POSITIONS", 0.0
    with_rho = rho[intent.symbol].drop(intent.symbol)
    leg = (notional * intent.side * np.sign(with_rho)).clip(lower=0.0)
    if ((with_rho.abs() > limits.max_pair_correlation) & (leg > limits.min_pair_exposure * equity)).any():
        return "PAIR_CORRELATION", 0.0
    rooms = {
        "MAX_POSITION": limits.max_position * min(1.0, profile.position_x) * equity / px - own,
        "MAX_SINGLE_ASSET": limits.max_single_asset * equity / px - abs(own),
        "MAX_EXPOSURE": (limits.max_exposure * equity - gross) / px - own,
        "MAX_TRADE_LOSS": limits.max_trade_loss * equity / (px * float(intent.stop_bps or 0.0) / 1e4),
        "DEPTH_SHARE": limits.max_depth_share * float(market.depth_usd or 0.0) / px,
        "CONCENTRATION": (limits.max_concentration * equity - (leg * with_rho.abs()).sum()) / px - own,
    }
    room = pd.Series(rooms)
    tightest = str(room.idxmin())
    qty = min(intent.qty, float(room[tightest]))
    if qty <= 0:
        return tightest, 0.0
    if value_at_risk(intent, qty, px, book, rho) > limits.max_var_day * equity:
        return "MAX_VAR", 0.0
    return ("" if qty == intent.qty else tightest), qty


def value_at_risk(intent: Intent, qty: float, px: float, book: pd.DataFrame, rho: pd.DataFrame) -> float:
    """Parametric 95 % VaR after the intent: ``z * sqrt(w' C w)``."""
    notional = book["qty"] * book["mark_px"]
    notional[intent.symbol] = (book.at[intent.symbol, "qty"] + intent.side * qty) * px
    weighted = (notional * book["vol_day"]).to_numpy()
    return float(Z_95 * np.sqrt(weighted @ rho.to_numpy() @ weighted))


def _facts(intent: Intent, account: AccountView, market: MarketView, limits: Limits) -> str:
    facts = pd.Series(
        {
            "LOW_CONFIDENCE": limits.min_confidence - float(intent.confidence or 0.0),
            "MAX_DRAWDOWN": 1 - float(account.equity or 0.0) / float(account.peak_equity or 1.0) - limits.max_drawdown,
            "DAILY_LOSS": 1
            - float(account.equity or 0.0) / float(account.day_start_equity or 1.0)
            - limits.max_daily_loss,
            "TRADES_PER_DAY": (account.trades_today or 0) + 1 - limits.max_trades_day,
            "CONSECUTIVE_LOSSES": (account.consecutive_losses or 0) + 1 - limits.max_consecutive_losses,
            "STALE_MARKET": float(market.age_ms or 0.0) - limits.max_market_age_ms,
            "VOLATILITY_CAP": float(market.vol_day or 0.0) - limits.max_vol_day,
            "SPREAD_CAP": float(market.spread_bps or 0.0) - limits.max_spread_bps,
            "VOLUME_FLOOR": limits.min_volume_24h_usd - float(market.volume_24h_usd or 0.0),
            "ALARMS": float(len(market.alarms or ()) + (not market.tradable)),
        }
    )
    wrong = facts[~(facts <= 0)]
    return "" if wrong.empty else str(wrong.index[0])
