from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from features.schema import COUNT, INDEX
from risk.gate import check
from risk.profiles import CONSERVATIVE, PROFILES
from risk.types import Regime
from tests.risk.cases import account, market
from tests.risk.cases import position as booked
from trader.strategies.exits import ExitParams, exit_intent
from trader.strategies.grid import lot_below, tick_above, tick_below, vol_day
from trader.strategies.market_making import MarketMakingParams, quotes
from trader.strategies.momentum import MomentumParams, entry
from trader.view import PositionState, Score, View

SECOND = 1_000_000_000
MAKE, LEAVE, JOIN = MarketMakingParams(), ExitParams(), MomentumParams()


def features(**values):
    row = [0.0] * COUNT
    for prefix, value in {"volatility": 1.0, "ofi": 1.0, "flow": 0.5, **values}.items():
        row[next(column for name, column in INDEX.items() if name.startswith(prefix + "_"))] = value
    return tuple(row)


def score(down=0.2, flat=0.3, up=0.5):
    return Score(down=down, flat=flat, up=up, model="scalper", version=1, source="triton")


def view(**changes):
    return replace(
        View(
            symbol="AAA",
            ts_ns=1_000 * SECOND,
            bid_px=99.99,
            bid_qty=5.0,
            ask_px=100.01,
            ask_qty=5.0,
            tick_size=0.01,
            lot_size=0.001,
            min_qty=0.001,
            features=features(),
            score=score(0.3, 0.4, 0.3),
            regime=Regime.NORMAL,
            position=None,
            equity=10_000.0,
            volume_24h_usd=1e8,
        ),
        **changes,
    )


def held(qty=2.0, entry_px=100.0, age_s=10.0, best_px=None):
    opened_ns = 1_000 * SECOND - int(age_s * SECOND)
    return PositionState(qty=qty, entry_px=entry_px, opened_ns=opened_ns, best_px=best_px or entry_px)


def touch(mid_px):
    return {"bid_px": round(mid_px - 0.01, 6), "ask_px": round(mid_px + 0.01, 6)}


def on_grid(value, step):
    return abs(value / step - round(value / step)) < 1e-6


# ---- market making ---------------------------------------------------------------------------------------------------


def test_both_sides_join_the_touch_when_flat():
    bid, ask = quotes(view(), MAKE)
    assert (bid.side, bid.px, ask.side, ask.px) == (1, 99.99, -1, 100.01)
    assert bid.post_only
    assert not bid.reduce_only
    assert bid.confidence == pytest.approx(0.7)
    assert bid.qty * bid.px <= MAKE.quote_equity * 10_000.0


@pytest.mark.parametrize(
    ("adverse", "sides"),
    [
        (score(0.35, 0.30, 0.35), [1, -1]),
        (score(0.36, 0.28, 0.36), []),
        (score(0.36, 0.34, 0.30), [-1]),
        (score(0.10, 0.54, 0.36), [1]),
        (score(0.33, 0.57, 0.10), [-1]),
        (score(0.0, 0.0, 1.0), [1]),
        (score(1.0, 0.0, 0.0), [-1]),
    ],
)
def test_a_side_is_pulled_when_the_score_points_against_it(adverse, sides):
    assert [intent.side for intent in quotes(view(score=adverse), MAKE)] == sides


@pytest.mark.parametrize(
    "changes",
    [
        {"score": None},
        {"score": score(nan, nan, nan)},
        {"volume_24h_usd": None},
        {"volume_24h_usd": nan},
        {"volume_24h_usd": 999_999.0},
        {"equity": 0.0},
        {"equity": nan},
        {"bid_px": nan},
        {"ask_px": inf},
        {"bid_px": 100.01},
        {"ask_px": 100.2},
        {"features": features(volatility=4.0)},
        {"features": features(volatility=nan)},
        {"min_qty": 50.0},
    ],
)
def test_nothing_is_wanted_outside_the_filters(changes):
    assert quotes(view(**changes), MAKE) == ()
    assert entry(view(**{"score": score(0.05, 0.05, 0.9)} | changes), JOIN) is None


def test_inventory_holds_its_own_side_back_and_leaves_the_other_at_the_touch():
    calm = features(volatility=2.0)
    bid, ask = quotes(view(position=held(3.0), features=calm), MAKE)
    assert bid.px < 99.99
    assert ask.px == 100.01
    bid, ask = quotes(view(position=held(-3.0), features=calm), MAKE)
    assert bid.px == 99.99
    assert ask.px > 100.01


def test_the_skew_grows_with_inventory_and_with_volatility():
    def bid_px(qty, volatility):
        return quotes(view(position=held(qty), features=features(volatility=volatility)), MAKE)[0].px

    assert bid_px(5.0, 3.0) < bid_px(2.0, 3.0)
    assert bid_px(5.0, 3.0) < bid_px(5.0, 2.0)


@pytest.mark.parametrize(("qty", "sides"), [(6.1, [-1]), (-6.1, [1]), (5.0, [1, -1])])
def test_full_inventory_is_not_added_to(qty, sides):
    assert [intent.side for intent in quotes(view(position=held(qty)), MAKE)] == sides


def test_a_half_spread_moves_quotes_behind_the_touch():
    bid, ask = quotes(view(), MarketMakingParams(half_spread_bps=5.0))
    assert (bid.px, ask.px) == (pytest.approx(99.95), pytest.approx(100.05))


@pytest.mark.parametrize("regime", list(Regime))
def test_quotes_shrink_and_stops_follow_the_regime(regime):
    bid = quotes(view(regime=regime), MAKE)[0]
    profile = PROFILES[regime]
    assert bid.qty == pytest.approx(2.0 * min(1.0, profile.position_x), rel=1e-3)
    assert bid.stop_bps == pytest.approx(40.0 * profile.stop_x)


def test_the_stop_quotes_state_is_the_one_exits_keep():
    assert MAKE.stop_bps == JOIN.stop_bps == LEAVE.target_bps * LEAVE.stop_targets
    assert JOIN.target_bps == LEAVE.target_bps


@settings(max_examples=150, deadline=None)
@given(
    st.floats(-8.0, 8.0),
    st.integers(1, 10**7),
    st.integers(1, 50),
    st.integers(-4, 3),
    st.floats(0.0, 3.0),
    st.floats(-1.5, 1.5),
)
def test_quotes_stay_on_the_grid_and_never_cross(exponent, ticks, spread, lot_exponent, volatility, inventory):
    tick_size, lot_size = 10.0 ** round(exponent), 10.0**lot_exponent
    bid_px, ask_px = ticks * tick_size, (ticks + spread) * tick_size
    seen = view(
        bid_px=bid_px,
        ask_px=ask_px,
        tick_size=tick_size,
        lot_size=lot_size,
        min_qty=lot_size,
        features=features(volatility=volatility),
        position=held(inventory * 600.0 / bid_px, entry_px=bid_px) if inventory else None,
    )
    for intent in quotes(seen, MarketMakingParams(half_spread_bps=1.0)):
        assert intent.px * intent.side <= (bid_px if intent.side > 0 else -ask_px)
        assert on_grid(intent.px, tick_size)
        assert on_grid(intent.qty, lot_size)
        assert seen.min_qty <= intent.qty <= MAKE.quote_equity * 10_000.0 / intent.px * (1 + 1e-9)


# ---- momentum --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given_score", "side"), [(score(0.05, 0.15, 0.8), 1), (score(0.8, 0.15, 0.05), -1)])
def test_a_sure_score_with_the_flow_enters_at_the_touch(given_score, side):
    intent = entry(view(score=given_score, features=features(ofi=side * 1.0, flow=side * 0.5)), JOIN)
    assert intent is not None
    assert (intent.side, intent.px) == (side, 99.99 if side > 0 else 100.01)
    assert intent.confidence == 0.8
    assert on_grid(intent.qty, 0.001)


@pytest.mark.parametrize(
    "changes",
    [
        {"score": score(0.05, 0.26, 0.69)},
        {"score": score(0.5, 0.0, 0.5)},
        {"features": features(ofi=-1.0)},
        {"features": features(flow=-0.1)},
        {"features": features(flow=0.0)},
        {"features": features(ofi=nan)},
        {"position": held()},
    ],
)
def test_momentum_waits_without_conviction_or_with_a_position(changes):
    assert entry(view(**{"score": score(0.05, 0.15, 0.8)} | changes), JOIN) is None


def test_momentum_size_grows_with_confidence():
    small, large = (entry(view(score=score(0.0, 1 - p, p)), JOIN).qty for p in (0.75, 0.95))
    assert small < large <= 10_000.0 * CONSERVATIVE.max_position / 99.99


# ---- exits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mid_px", "age_s", "best_px", "reason"),
    [
        (100.00, 10.0, 100.0, None),
        (99.61, 10.0, 100.0, None),
        (99.59, 10.0, 100.0, "stop"),
        (90.00, 400.0, 100.0, "stop"),
        (100.00, 299.9, 100.0, None),
        (100.00, 300.0, 100.0, "time"),
        (100.21, 300.0, 100.21, "time"),
        (100.19, 10.0, 100.19, None),
        (100.21, 10.0, 100.21, "target"),
        (100.12, 10.0, 100.15, None),
        (100.08, 10.0, 100.15, "trail"),
        (100.02, 10.0, 100.09, None),
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_exit_rules(mid_px, age_s, best_px, reason, side):
    def mirrored(px):
        return px if side > 0 else 200.0 - px

    position = held(2.0 * side, 100.0, age_s, mirrored(best_px))
    intent = exit_intent(view(position=position, score=None, **touch(mirrored(mid_px))), LEAVE)
    assert (intent.reason if intent else None) == reason
    if intent:
        assert (intent.side, intent.qty, intent.reduce_only, intent.confidence) == (-side, 2.0, True, None)


@pytest.mark.parametrize(("qty", "reason", "px"), [(2.0, "stop", 98.99), (-2.0, "stop", 101.01)])
def test_urgent_exits_cross_the_spread(qty, reason, px):
    intent = exit_intent(view(position=held(qty), **touch(100.0 - qty / 2)), LEAVE)
    assert (intent.reason, intent.px, intent.post_only) == (reason, px, False)


@pytest.mark.parametrize(("qty", "px"), [(2.0, 101.01), (-2.0, 98.99)])
def test_the_take_profit_rests_at_the_touch(qty, px):
    intent = exit_intent(view(position=held(qty), **touch(100.0 + qty / 2)), LEAVE)
    assert (intent.reason, intent.px, intent.post_only) == ("target", px, True)


@pytest.mark.parametrize("regime", list(Regime))
def test_the_stop_follows_the_regime(regime):
    at_bps = 40.0 * PROFILES[regime].stop_x

    def left(loss_bps):
        return exit_intent(view(position=held(), regime=regime, **touch(100.0 * (1 - loss_bps / 1e4))), LEAVE)

    assert left(at_bps + 0.5).reason == "stop"
    assert left(at_bps - 0.5) is None


def test_the_trailing_stop_gives_more_room_in_volatile_markets():
    gave_back = {"position": held(best_px=100.15), **touch(100.08)}
    assert exit_intent(view(features=features(volatility=1.0), **gave_back), LEAVE).reason == "trail"
    assert exit_intent(view(features=features(volatility=4.0), **gave_back), LEAVE) is None


@pytest.mark.parametrize("position", [None, held(0.0), held(0.0004)])
def test_without_a_position_there_is_no_exit(position):
    assert exit_intent(view(position=position), LEAVE) is None


def test_time_still_ends_a_position_whose_prices_are_broken():
    broken = held(entry_px=0.0, age_s=301.0, best_px=nan)
    assert exit_intent(view(position=broken), LEAVE).reason == "time"


def test_every_exit_passes_the_gate_blind():
    leave = exit_intent(view(position=held(2.0), **touch(90.0)), LEAVE)
    blind = market(bid_px=None, ask_px=None, age_ms=None, tradable=False, alarms=("crash",))
    assert check(leave, account(equity=None, positions={"AAA": booked(2.0)}), blind, CONSERVATIVE).qty == 2.0


def test_quotes_pass_the_gate_in_an_ordinary_market():
    seen = market(bid_px=99.99, ask_px=100.01)
    for intent in quotes(view(), MAKE):
        assert check(intent, account(), seen, CONSERVATIVE).qty == intent.qty


# ---- grid ------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 10**9), st.integers(-8, 4))
def test_a_price_on_the_grid_stays_where_it_is(ticks, exponent):
    tick_size = float(f"1e{exponent}")
    px = float(f"{ticks}e{exponent}")
    for rounded in (tick_below(px, tick_size), tick_above(px, tick_size), lot_below(px, tick_size)):
        assert round(rounded / tick_size) == ticks


@given(st.floats(1e-6, 1e9), st.sampled_from([1e-8, 0.01, 0.1, 0.25, 5.0]))
def test_rounding_brackets_a_price(px, tick_size):
    assert tick_below(px, tick_size) <= px * (1 + 1e-12) + 1e-9 * tick_size
    assert tick_above(px, tick_size) >= px * (1 - 1e-12) - 1e-9 * tick_size
    assert tick_above(px, tick_size) - tick_below(px, tick_size) <= tick_size * 1.01 + px * 1e-12


def test_row_volatility_scales_to_a_day():
    assert vol_day(view(features=features(volatility=1.0))) == pytest.approx(1e-4 * (86_400 / 5) ** 0.5)
