"""What the alarms watch, and the detectors behind them: each ``(state, sample, age_s, params) -> (state, tripped)``.

``age_s`` is the time since the detector's last sample. While a condition holds, its average learns ``alarmed_pace``
times as fast: an emergency does not become the usual, a new usual is accepted after hours.
"""

from math import exp

import msgspec

from trader.streaming import SECOND_NS, Extremes, ewma, init_extremes, update_extremes


class AlarmParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds of all detectors; the table in ``trader/alarms.py`` says how each is used. Ratios are bare numbers."""

    bucket_ms: int = 100
    hold_s: float = 60.0
    average_s: float = 600.0
    alarmed_pace: float = 0.01
    warmup_s: float = 30.0
    forget_s: float = 60.0
    crash_bps: float = 300.0
    crash_window_s: float = 300.0
    flash_bps: float = 100.0
    flash_window_s: float = 10.0
    vol_ratio: float = 4.0
    vol_floor_day: float = 0.03
    spread_ratio: float = 10.0
    spread_floor_bps: float = 5.0
    depth_ratio: float = 0.1
    liquidity_s: float = 2.0
    wall_ratio: float = 10.0
    wall_life_s: float = 2.0
    wall_traded: float = 0.2
    wall_strikes: float = 5.0
    strike_memory_s: float = 30.0
    fault_count: float = 5.0
    fault_memory_s: float = 60.0
    max_lag_ms: float = 2_000.0


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One symbol's touch and surroundings at event time ``ts_ns``.

    ``traded_qty`` and ``faults`` are running totals, so that samples skipped within a bucket lose nothing.
    ``depth_usd``, ``vol_day`` and ``lag_ms`` (how late we are behind the feed, by our clock) are None where unknown.
    """

    ts_ns: int
    bid_px: float
    bid_qty: float
    ask_px: float
    ask_qty: float
    traded_qty: float
    faults: int
    depth_usd: float | None
    vol_day: float | None
    lag_ms: float | None

    @property
    def mid_px(self) -> float:
        """Middle of the touch."""
        return 0.5 * (self.bid_px + self.ask_px)

    @property
    def sane(self) -> bool:
        """Whether prices and sizes can be those of a market."""
        return 0.0 < self.bid_px < self.ask_px < float("inf") and self.bid_qty > 0 and self.ask_qty > 0


class Falls(msgspec.Struct, frozen=True, gc=False):
    """Extremes of the crash window and of the flash window."""

    slow: Extremes
    fast: Extremes


def fell(state: Falls | None, sample: Sample, params: AlarmParams) -> tuple[Falls, bool, bool]:
    """Crash and flash crash."""
    px, ts_ns = sample.mid_px, sample.ts_ns
    if state is None:
        return Falls(init_extremes(px, ts_ns), init_extremes(px, ts_ns)), False, False
    slow = update_extremes(state.slow, px, ts_ns, int(params.crash_window_s * SECOND_NS))
    fast = update_extremes(state.fast, px, ts_ns, int(params.flash_window_s * SECOND_NS))
    flash = max(fast.fall_bps(px), fast.rise_bps(px)) >= params.flash_bps
    return Falls(slow, fast), slow.fall_bps(px) >= params.crash_bps, flash


class Average(msgspec.Struct, frozen=True, gc=False):
    """A long average and for how long it has been fed."""

    mean: float | None = None
    fed_s: float = 0.0

    def fed(self, value: float, age_s: float, params: AlarmParams) -> "Average":
        """With one more value in it."""
        return Average(ewma(self.mean, value, age_s, params.average_s), self.fed_s + age_s)

    def usual(self, params: AlarmParams) -> float | None:
        """The average, once warmed."""
        return self.mean if self.fed_s >= params.warmup_s else None


def spiked(state: Average, sample: Sample, age_s: float, params: AlarmParams) -> tuple[Average, bool]:
    """Volatility spike."""
    vol_day = sample.vol_day
    if vol_day is None or not 0.0 <= vol_day < float("inf"):
        return state, False
    usual = state.usual(params)
    if usual is not None and vol_day >= params.vol_floor_day and vol_day >= params.vol_ratio * usual:
        return state.fed(vol_day, age_s * params.alarmed_pace, params), True
    return state.fed(vol_day, age_s, params), False


class Liquidity(msgspec.Struct, frozen=True, gc=False):
    """Usual spread and depth, and since when the market has been thin (None while it is not)."""

    spread_bps: Average = Average()
    depth_usd: Average = Average()
    thin_ns: int | None = None


def thinned(state: Liquidity, sample: Sample, age_s: float, params: AlarmParams) -> tuple[Liquidity, bool]:
    """Liquidity crisis."""
    spread_bps = (sample.ask_px / sample.bid_px - 1.0) * 10_000.0
    depth_usd = sample.depth_usd
    spread, depth = state.spread_bps.usual(params), state.depth_usd.usual(params)
    wide = spread is not None and spread_bps >= max(params.spread_floor_bps, params.spread_ratio * spread)
    shallow = depth is not None and depth_usd is not None and depth_usd <= params.depth_ratio * depth
    thin = wide or shallow
    age_s *= params.alarmed_pace if thin else 1.0
    fed = state.depth_usd if depth_usd is None else state.depth_usd.fed(depth_usd, age_s, params)
    since_ns = None if not thin else sample.ts_ns if state.thin_ns is None else state.thin_ns
    lasted = since_ns is not None and sample.ts_ns - since_ns >= params.liquidity_s * SECOND_NS
    return Liquidity(state.spread_bps.fed(spread_bps, age_s, params), fed, since_ns), lasted


class Wall(msgspec.Struct, frozen=True, gc=False):
    """A displayed size far above the usual, and how much had traded in all when it appeared."""

    px: float
    qty: float
    ts_ns: int
    traded_qty: float


class Walls(msgspec.Struct, frozen=True, gc=False):
    """Usual size of a side, the wall on each side if there is one, and decayed strikes."""

    size: Average = Average()
    bid: Wall | None = None
    ask: Wall | None = None
    strikes: float = 0.0


def spoofed(state: Walls, sample: Sample, age_s: float, params: AlarmParams) -> tuple[Walls, bool]:
    """Manipulation suspected: walls that leave the touch, or its price, without having been traded into."""
    strikes = state.strikes * exp(-age_s / params.strike_memory_s)
    strikes += _vanished(state.bid, sample.bid_px, sample.bid_qty, 1, sample, params)
    strikes += _vanished(state.ask, sample.ask_px, sample.ask_qty, -1, sample, params)
    usual = state.size.usual(params)
    bid = _wall(state.bid, sample.bid_px, sample.bid_qty, sample, usual, params)
    ask = _wall(state.ask, sample.ask_px, sample.ask_qty, sample, usual, params)
    ordinary = min(sample.bid_qty, sample.ask_qty) if bid or ask else 0.5 * (sample.bid_qty + sample.ask_qty)
    return Walls(state.size.fed(ordinary, age_s, params), bid, ask, strikes), strikes >= params.wall_strikes


def _vanished(wall: Wall | None, px: float, qty: float, side: int, sample: Sample, params: AlarmParams) -> int:
    if wall is None or sample.ts_ns - wall.ts_ns > params.wall_life_s * SECOND_NS:
        return 0
    gone = px * side < wall.px * side or (px == wall.px and qty < 0.5 * wall.qty)
    return int(gone and sample.traded_qty - wall.traded_qty < params.wall_traded * wall.qty)


def _wall(
    wall: Wall | None, px: float, qty: float, sample: Sample, usual: float | None, params: AlarmParams
) -> Wall | None:
    if usual is None or qty < params.wall_ratio * usual:
        return None
    if wall is not None and wall.px == px:
        return wall
    return Wall(px, qty, sample.ts_ns, sample.traded_qty)


class Faults(msgspec.Struct, frozen=True, gc=False):
    """Running total last seen, and faults decayed."""

    total: int = 0
    recent: float = 0.0


def faulted(state: Faults, sample: Sample, age_s: float, params: AlarmParams) -> tuple[Faults, bool]:
    """System instability."""
    fresh = max(0, sample.faults - state.total) + (not sample.sane)
    recent = state.recent * exp(-age_s / params.fault_memory_s) + fresh
    late = sample.lag_ms is not None and not sample.lag_ms <= params.max_lag_ms
    # decay alone must not keep the last fault of a full count from tripping
    return Faults(max(state.total, sample.faults), recent), late or recent >= params.fault_count - 0.5
