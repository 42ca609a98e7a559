"""Positions, realized profit and fees in exact decimals, from fills alone."""

from decimal import Decimal

ZERO = Decimal(0)


class Position:
    """One symbol's net position by average cost. ``qty`` is signed base units; money is in quote units."""

    __slots__ = ("best_px", "entry_px", "opened_ns", "qty", "realized", "round_trip")

    def __init__(self) -> None:
        self.qty = ZERO
        self.entry_px = ZERO
        self.realized = ZERO
        self.opened_ns = 0
        self.best_px = 0.0
        self.round_trip = ZERO


class Ledger:
    """Account state from a starting balance and a stream of fills.

    ``wins`` and ``losses`` count closed round trips after fees; ``consecutive_losses`` is the present losing streak.
    ``settled`` is money moved without trades. A round trip ends when the position is flat or changes sign.
    """

    def __init__(self, balance: Decimal) -> None:
        self.start_balance = balance
        self.fees = ZERO
        self.realized = ZERO
        self.settled = ZERO
        self.positions: dict[str, Position] = {}
        self.wins = 0
        self.losses = 0
        self.consecutive_losses = 0

    def position(self, symbol: str) -> Position:
        return self.positions.setdefault(symbol, Position())

    @property
    def balance(self) -> Decimal:
        """Wallet balance: start plus realized profit and what was settled, minus fees."""
        return self.start_balance + self.realized + self.settled - self.fees

    def equity(self, mids: dict[str, float]) -> float:
        """Balance plus unrealized profit at ``mids``; NaN when a held symbol has no mid."""
        open_pnl = 0.0
        for symbol, p in self.positions.items():
            if p.qty != 0:
                open_pnl += float(p.qty) * (mids.get(symbol, float("nan")) - float(p.entry_px))
        return float(self.balance) + open_pnl

    def adopt(self, symbol: str, qty: Decimal, entry_px: Decimal) -> None:
        """Take over a position that was there before: signed ``qty`` at the venue's entry price."""
        p = self.position(symbol)
        p.qty, p.entry_px, p.best_px = qty, entry_px, float(entry_px)

    def settle(self, change: Decimal) -> None:
        """Book money that came (> 0) or went without a trade: funding, insurance, transfers."""
        self.settled += change

    def apply_fill(self, symbol: str, side: int, qty: Decimal, px: Decimal, fee: Decimal, ts_ns: int) -> None:
        """Book a fill of ``qty`` (> 0) at ``px``; ``side`` +1 bought, -1 sold; ``fee`` > 0 was paid."""
        p = self.position(symbol)
        self.fees += fee
        p.round_trip -= fee
        closing = min(qty, abs(p.qty)) if p.qty * side < 0 else ZERO
        if closing > 0:
            self._close(p, side, closing, px)
        if qty > closing:
            _open(p, side, qty - closing, px, ts_ns)

    def _close(self, p: Position, side: int, qty: Decimal, px: Decimal) -> None:
        profit = (px - p.entry_px) * qty * -side
        p.realized += profit
        p.round_trip += profit
        self.realized += profit
        p.qty += side * qty
        if p.qty == 0:
            self._end_round_trip(p)

    def _end_round_trip(self, p: Position) -> None:
        if p.round_trip >= 0:
            self.wins += 1
            self.consecutive_losses = 0
        else:
            self.losses += 1
            self.consecutive_losses += 1
        p.round_trip, p.entry_px, p.best_px = ZERO, ZERO, 0.0


def _open(p: Position, side: int, qty: Decimal, px: Decimal, ts_ns: int) -> None:
    if p.qty == 0:
        p.opened_ns, p.best_px = ts_ns, float(px)
    p.entry_px = (p.entry_px * abs(p.qty) + px * qty) / (abs(p.qty) + qty)
    p.qty += side * qty
