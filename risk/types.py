"""What the gate sees and says. Every number it is given may be missing (``None``) or broken (NaN): both mean Deny."""

from enum import StrEnum

import msgspec


class Regime(StrEnum):
    """Market regimes; each has a risk profile in ``risk/profiles.py``."""

    NORMAL = "NORMAL"
    VOLATILE = "VOLATILE"
    TRENDING = "TRENDING"
    CRASH = "CRASH"
    BULL_RUN = "BULL_RUN"
    RECOVERY = "RECOVERY"


class Intent(msgspec.Struct, frozen=True):
    """A wish to trade, before risk. ``side`` +1 buy, -1 sell; ``px`` the limit price, or the touch for a market order.

    ``qty`` is in base units. ``confidence`` is None for intents that need no model (exits).
    """

    symbol: str
    side: int
    qty: float
    px: float
    post_only: bool
    reduce_only: bool
    strategy: str
    reason: str
    confidence: float | None
    stop_bps: float | None


class PositionView(msgspec.Struct, frozen=True):
    """One position: signed base quantity and mark price, and signed working quantity at its worst.

    ``open_buy_qty``/``open_sell_qty`` count every working order and every order of unknown outcome as if filled.
    """

    qty: float
    mark_px: float
    open_buy_qty: float
    open_sell_qty: float


class AccountView(msgspec.Struct, frozen=True):
    """The account as the ledger knows it. Money in quote units (USDT)."""

    equity: float | None
    peak_equity: float | None
    day_start_equity: float | None
    positions: dict[str, PositionView]
    trades_today: int | None
    consecutive_losses: int | None
    synced: bool


class MarketView(msgspec.Struct, frozen=True):
    """The market of the intent's symbol, and the few facts of the others that portfolio laws need.

    ``age_ms`` is the time since the symbol's last message by our clock. ``vol_day`` is realized volatility scaled to
    one day (a bare ratio); ``vols_day`` and ``correlations`` (keyed ``"A|B"``, A < B) cover the symbols held or
    wanted. ``alarms`` are the names of emergency indicators now raised; None when the detectors have not run.
    """

    tradable: bool
    age_ms: float | None
    bid_px: float | None
    ask_px: float | None
    spread_bps: float | None
    depth_usd: float | None
    volume_24h_usd: float | None
    vol_day: float | None
    vols_day: dict[str, float]
    correlations: dict[str, float]
    regime: Regime
    alarms: tuple[str, ...] | None


class Allow(msgspec.Struct, frozen=True, tag="allow"):
    """The layer lets the intent pass as it is."""

    layer: str


class Resize(msgspec.Struct, frozen=True, tag="resize"):
    """The layer lets a smaller quantity pass; ``qty`` is in base units and never above the intent's."""

    layer: str
    code: str
    observed: float
    limit: float
    qty: float


class Deny(msgspec.Struct, frozen=True, tag="deny"):
    """The layer refuses. ``observed`` is NaN where the value was missing; ``headroom`` is limit minus observed."""

    layer: str
    code: str
    observed: float
    limit: float
    headroom: float

    def __str__(self) -> str:
        return f"{self.code}: observed={self.observed:g}, limit={self.limit:g}"


Verdict = Allow | Resize | Deny
LAYERS = (
    "position_size",
    "portfolio_exposure",
    "value_at_risk",
    "drawdown",
    "volatility",
    "correlation",
    "emergency",
)


class Decision(msgspec.Struct, frozen=True):
    """The gate's answer: one verdict per layer reached, in order, and the quantity that may be sent (0 when denied)."""

    verdicts: tuple[Verdict, ...]
    qty: float

    @property
    def allowed(self) -> bool:
        return self.qty > 0
