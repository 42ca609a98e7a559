"""Oracles of ``features.families.carry`` and ``positions``."""

import numpy as np

from features.parameters import HOUR_NS, SECOND_NS

BPS = 1e4


def _told(history, name, at):
    """What marks said last of ``name``; 0 before."""
    upto = history.upto(history.mark_at, at)
    return getattr(history, name)[upto - 1] if upto else 0.0


def _distance(upper, lower):
    return BPS * np.log(upper / lower) if upper > 0.0 and lower > 0.0 else 0.0


def basis(history, _, at):
    return _distance(_told(history, "mark_px", at), _told(history, "index_px", at))


def _mid_over(name):
    def oracle(history, _, at):
        px = _told(history, name, at)
        return BPS * (history.mid[history.quote_of(at)] - (np.log(px) - history.ref)) if px > 0.0 else 0.0

    return oracle


def funding_rate(history, _, at):
    return BPS * _told(history, "funding_rate", at)


def funding_time(history, _, at):
    told = history.funding_s[: history.upto(history.mark_at, at)]
    anew = np.flatnonzero(np.diff(told, prepend=0.0))
    if anew.size == 0:
        return 0.0
    due = history.mark_ns[anew[-1]] + int(told[anew[-1]] * SECOND_NS)
    return float(np.clip((due - history.now[at]) / (8 * HOUR_NS), 0.0, 1.0))


def basis_change(history, feature, at):
    known = (history.mark_px > 0.0) & (history.index_px > 0.0)
    upto = history.upto(history.mark_at[known], at)
    if upto == 0:
        return 0.0
    told = np.log(history.mark_px[known] / history.index_px[known])
    stamps = history.mark_ns[known]
    return BPS * (told[upto - 1] - history.mean_over_time(told, stamps, upto, history.now[at], feature.window))


def premium_change(history, feature, at):
    """Over every event at which the mid or the index may have changed, from the first mark that tells an index on."""
    positions, premiums = history.remember(at, "premiums", lambda: _premiums(history, at))
    if positions.size == 0:
        return 0.0
    now, stamps = history.now[at], history.now[positions]
    return BPS * (premiums[-1] - history.mean_over_time(premiums, stamps, positions.size, now, feature.window))


def _premiums(history, at):
    said = history.mark_at[history.index_px > 0.0]
    positions = np.sort(np.append(history.quote_at, history.mark_at))
    first = max(said[0], history.quote_at[0]) if said.size else at + 1
    positions = positions[(positions >= first) & (positions <= at)]
    index = history.index_px[np.searchsorted(history.mark_at, positions, side="right") - 1]
    mid = history.mid[np.searchsorted(history.quote_at, positions, side="right") - 1]
    return positions, mid - (np.log(index) - history.ref)


def interest_change(history, feature, at):
    upto, now = history.upto(history.interest_at, at), history.now[at]
    if upto == 0:
        return 0.0
    mean = history.mean_over_time(history.interest, history.interest_ns, upto, now, feature.window)
    newest = history.interest[upto - 1]
    return 2 * BPS * (newest - mean) / (newest + mean)


def liquidation_flow(history, feature, at):
    usual, upto, now = history.usual_trade(at), history.upto(history.liquidation_at, at), history.now[at]
    qty, side = history.liquidation_qty, history.liquidation_side
    both = np.column_stack([np.sign(side) * qty, qty])
    signed, total = history.decayed(both, history.liquidation_ns, upto, now, feature.window)
    return signed / (total + usual) if usual > 0.0 else 0.0


ORACLES = {
    ("carry", "basis"): basis,
    ("carry", "mark_distance"): _mid_over("mark_px"),
    ("carry", "index_distance"): _mid_over("index_px"),
    ("carry", "funding_rate"): funding_rate,
    ("carry", "funding_time"): funding_time,
    ("basis", "basis_change"): basis_change,
    ("basis", "premium_change"): premium_change,
    ("interest", "interest_change"): interest_change,
    ("liquidations", "liquidation_flow"): liquidation_flow,
}
