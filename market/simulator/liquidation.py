"""Forced closing: what the venue does when a position's margin falls to its maintenance margin. Fills stay real.

A liquidation order takes what the recorded book shows and no more; what it cannot fill is tried again at the next
check. A loss beyond the margin behind a position is paid by the insurance fund, never by the rest of the wallet.
"""

from itertools import count
from typing import TYPE_CHECKING, Final

from market.simulator.account import Position
from market.simulator.orders import Leg
from market.simulator.reports import Cause

if TYPE_CHECKING:
    from decimal import Decimal

    from market.simulator.exchange import Exchange

LIQUIDATION_FEE_BPS: Final = 125
CHECK_NS: Final = 1_000_000_000


class Liquidator:
    """Watches the margin of one exchange's account."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange
        self._due_ns = 0
        self._numbers = count(1)
        self.is_busy = False

    def check(self, is_due: bool) -> None:
        """Liquidate what must be; at once when ``is_due`` (a mark price came), else once a second."""
        now_ns, account = self._exchange.now_ns, self._exchange.account
        if self.is_busy or not (is_due or now_ns >= self._due_ns):
            return
        self._due_ns = now_ns + CHECK_NS
        if not account.held():
            return
        self.is_busy = True
        self._exchange.refresh_marks()
        self._check_isolated()
        self._check_cross()
        self.is_busy = False

    def _check_isolated(self) -> None:
        account = self._exchange.account
        for symbol, leg, position in account.held():
            if not account.is_isolated[symbol]:
                continue
            if position.margin + account.unrealized_pnl(symbol, leg) <= account.maintenance(symbol, leg):
                self._exchange.cancel_all(symbol)
                self._close(symbol, leg, position)

    def _check_cross(self) -> None:
        account = self._exchange.account
        if not self._is_short():
            return
        for symbol in [s for s, isolated in account.is_isolated.items() if not isolated]:
            self._exchange.cancel_all(symbol)
        for symbol, leg, position in sorted(self._cross(), key=self._weight, reverse=True):
            if self._is_short():
                self._close(symbol, leg, position)
        if account.cross_wallet() < 0 and not self._cross():
            self._insure(symbol, leg, -account.cross_wallet())

    def _cross(self) -> list[tuple[str, Leg, Position]]:
        account = self._exchange.account
        return [row for row in account.held() if not account.is_isolated[row[0]]]

    def _weight(self, row: tuple[str, Leg, Position]) -> "Decimal":
        return self._exchange.account.maintenance(row[0], row[1])

    def _is_short(self) -> bool:
        account = self._exchange.account
        return bool(self._cross()) and account.cross_equity() <= account.cross_maintenance()

    def _close(self, symbol: str, leg: Leg, position: Position) -> None:
        """Close a position as far as the book goes; an isolated one costs no more than its own margin."""
        account = self._exchange.account
        before = account.cross_wallet()
        self._exchange.liquidate(
            symbol, leg, position.lots, f"{self._exchange.now_ns // 1_000_000}{next(self._numbers)}"
        )
        if account.is_isolated[symbol] and account.cross_wallet() < before:
            self._insure(symbol, leg, before - account.cross_wallet())

    def _insure(self, symbol: str, leg: Leg, amount: "Decimal") -> None:
        self._exchange.account.insured += amount
        self._exchange.transfer(symbol, leg, amount, Cause.INSURANCE)
