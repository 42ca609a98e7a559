"""Everything that goes into the engine and comes out of it. Inputs but frames, and all outputs, are journal records.

``ts_ns`` is the clock reading at which the engine consumed an input: strictly increasing over a run. Market frames are
not journaled: the tape holds them under the same readings.
"""

from decimal import Decimal

import msgspec

from features.online import OnlineRow
from market.instruments import Instrument
from risk.types import Verdict
from trader.config import TraderConfig
from trader.outcomes import OutcomeParams
from trader.view import Score


class HeldPosition(msgspec.Struct, frozen=True):
    """A position found at the venue: signed base units at its average entry price."""

    qty: Decimal
    entry_px: Decimal


class OpenOrder(msgspec.Struct, frozen=True):
    """An order found working at the venue, ours or foreign. ``qty`` is what may still fill, in base units."""

    client_id: str
    symbol: str
    side: int
    qty: Decimal


class Start(msgspec.Struct, frozen=True, tag="start"):
    """First record of every journal: all that the engine is built from.

    ``positions`` are adopted into the ledger. ``foreign_orders`` were open and not placed by this run. ``trades_seen``
    are, by symbol, trades that happened before: they are in the positions and never booked. ``anomaly`` are the bytes
    of the bundle's anomaly model, empty where it has none. ``online`` are feature rows that the online store had kept
    fresh: exits of an adopted position need no warm-up of the kernel. ``outcomes`` is the label
    that scores are recalibrated on, None where they are taken as they come.
    """

    ts_ns: int
    run_id: str
    config: TraderConfig
    instruments: list[Instrument]
    schema_id: str
    model: str
    model_version: int
    model_sha256: str
    promoted: bool
    balance: Decimal
    positions: dict[str, HeldPosition] = {}
    foreign_orders: list[OpenOrder] = []
    trades_seen: dict[str, list[int]] = {}
    anomaly: bytes = b""
    online: dict[str, OnlineRow] = {}
    outcomes: OutcomeParams | None = None


class FrameIn(msgspec.Struct, frozen=True, gc=False):
    """One raw market frame of ``symbol``, from a socket, a REST snapshot or a tape."""

    ts_ns: int
    symbol: str
    raw: bytes


class ScoreIn(msgspec.Struct, frozen=True, tag="score"):
    """The answer to a score request, or a typed refusal: then ``score`` is None and ``refusal`` says why."""

    ts_ns: int
    request_id: int
    symbol: str
    score: Score | None
    refusal: str
    model_ns: int


class OrderReply(msgspec.Struct, frozen=True, tag="reply"):
    """What REST said of an order action.

    ``outcome``: accepted, acknowledged (taken in; the stream will confirm), rejected, unknown, absent (a query found no
    such order), cancel_accepted, cancel_rejected.
    """

    ts_ns: int
    client_id: str
    outcome: str
    code: str
    reason: str


class OrderSent(msgspec.Struct, frozen=True, tag="sent"):
    """The order's request left for the socket at ``ts_ns`` (latency accounting; the engine ignores it)."""

    ts_ns: int
    client_id: str


class OrderUpdate(msgspec.Struct, frozen=True, tag="order"):
    """An order event of the user stream or of a query. ``fill_qty`` is 0 when the event carries no fill."""

    ts_ns: int
    ts_event: int
    client_id: str
    symbol: str
    side: int
    status: str
    cum_qty: Decimal
    fill_qty: Decimal
    fill_px: Decimal
    fee: Decimal
    maker: bool
    trade_id: int


class MarketInfo(msgspec.Struct, frozen=True, tag="info"):
    """Slow facts of a symbol from REST: traded quote volume of the last 24 h as the venue states it."""

    ts_ns: int
    symbol: str
    volume_24h_usd: float


class AccountSnapshot(msgspec.Struct, frozen=True, tag="account"):
    """The venue's own account state, compared with the ledger: signed positions by symbol and wallet balance.

    ``open_orders`` is None when they were not asked for.
    """

    ts_ns: int
    balance: Decimal
    positions: dict[str, Decimal]
    entries: dict[str, Decimal] = {}
    open_orders: list[OpenOrder] | None = None


class AccountUpdate(msgspec.Struct, frozen=True, tag="position"):
    """Positions as the user stream told them: signed base units of the symbols that changed."""

    ts_ns: int
    ts_event: int
    reason: str
    positions: dict[str, Decimal]


class WalletChange(msgspec.Struct, frozen=True, tag="wallet"):
    """Money that came (> 0) or went without a trade of ours: funding, insurance, transfers."""

    ts_ns: int
    ts_event: int
    reason: str
    symbol: str
    change: Decimal


class Timer(msgspec.Struct, frozen=True, tag="timer"):
    """Time passes even when no frame comes."""

    ts_ns: int


class Control(msgspec.Struct, frozen=True, tag="control"):
    """``what``: market_down, market_up, user_down, user_up, kill_soft, kill_hard, stop; trouble and feed_lead (another
    line leads) are for people alone.

    ``symbols`` are those that a market_down, market_up or feed_lead is about; () means all.
    """

    ts_ns: int
    what: str
    detail: str
    symbols: tuple[str, ...] = ()


AccountInput = OrderReply | OrderSent | OrderUpdate | AccountSnapshot | AccountUpdate | WalletChange
Input = Start | FrameIn | ScoreIn | AccountInput | MarketInfo | Timer | Control


class Order(msgspec.Struct, frozen=True, tag="place"):
    """Send this order. ``px_ticks`` is None for a market order."""

    client_id: str
    symbol: str
    side: int
    lots: int
    px_ticks: int | None
    post_only: bool
    reduce_only: bool
    strategy: str


class CancelOrder(msgspec.Struct, frozen=True, tag="cancel"):
    """Cancel this order."""

    client_id: str
    symbol: str


class QueryOrder(msgspec.Struct, frozen=True, tag="query"):
    """Ask the venue what became of an order whose outcome is unknown."""

    client_id: str
    symbol: str


class FetchFills(msgspec.Struct, frozen=True, tag="fetch_fills"):
    """Ask the venue for the account's trades of ``symbol`` since ``since_ms`` (its clock): it knows some we do not."""

    symbol: str
    since_ms: int


class Resync(msgspec.Struct, frozen=True, tag="resync"):
    """Fetch a fresh depth snapshot: the book of ``symbol`` is not tradable (``reason``)."""

    symbol: str
    reason: str


class DecisionRecord(msgspec.Struct, frozen=True, tag="decision"):
    """One decision: which tick, what the kernel saw, what the model said, what each layer ruled, what was sent.

    ``tick_ns`` is the receive time of the scored tick (the tape line); ``features`` are the 25 values of that tick.
    ``verdicts`` holds one list per intent, in the order of ``intents``; ``client_ids`` has "" where nothing was sent.
    """

    seq: int
    ts_ns: int
    symbol: str
    tick_ns: int
    features: tuple[float, ...]
    score: Score | None
    refusal: str
    regime: str
    intents: tuple[str, ...]
    verdicts: tuple[tuple[Verdict, ...], ...]
    client_ids: tuple[str, ...]


class RequestScore(msgspec.Struct, frozen=True):
    """Score the window that ends at tick ``tick_ns``: float32 bytes of shape [1, WINDOW, COUNT]. Never journaled."""

    request_id: int
    symbol: str
    tick_ns: int
    x: bytes


Output = Order | CancelOrder | QueryOrder | FetchFills | Resync | DecisionRecord | RequestScore
JournaledInput = Start | ScoreIn | AccountInput | MarketInfo | Timer | Control
JournaledOutput = Order | CancelOrder | QueryOrder | FetchFills | Resync | DecisionRecord
Record = JournaledInput | JournaledOutput
INPUT_TYPES = (
    Start,
    ScoreIn,
    OrderReply,
    OrderSent,
    OrderUpdate,
    AccountSnapshot,
    AccountUpdate,
    WalletChange,
    MarketInfo,
    Timer,
    Control,
)
