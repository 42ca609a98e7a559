"""What an account holder can set: leverage, position mode, margin mode, and the margin of an isolated position."""

from decimal import Decimal
from typing import TYPE_CHECKING

from market.simulator.account import ZERO
from market.simulator.brackets import MAX_LEVERAGE, cap_of
from market.simulator.errors import Reason, Reject
from market.simulator.orders import Leg
from market.simulator.reports import Cause, ConfigReport

if TYPE_CHECKING:
    from market.simulator.exchange import Exchange


class Settings:
    """Settings of one exchange's account. Each call says whether it changed anything."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange

    def set_leverage(self, symbol: str, leverage: int) -> bool:
        """Change a symbol's initial leverage, if the margin then still suffices and its cap carries the position."""
        exchange, account = self._exchange, self._exchange.account
        exchange.market(symbol)
        if not 1 <= leverage <= MAX_LEVERAGE:
            raise Reject(Reason.LEVERAGE)
        exchange.refresh_marks()
        if abs(account.notional(symbol)) > cap_of(leverage):
            raise Reject(Reason.POSITION_CAP)
        before, account.leverage[symbol] = account.leverage[symbol], leverage
        if leverage < before and exchange.available() < ZERO:
            account.leverage[symbol] = before
            raise Reject(Reason.MARGIN)
        exchange.emit(ConfigReport(symbol, leverage, exchange.now_ns))
        return leverage != before

    def set_hedged(self, is_hedged: bool) -> bool:
        """Switch every symbol between one net position and two legs; only while nothing is open."""
        account = self._exchange.account
        if account.is_hedged == is_hedged:
            return False
        self._nothing_open(None)
        account.is_hedged = is_hedged
        return True

    def set_isolated(self, symbol: str, is_isolated: bool) -> bool:
        """Switch a symbol between cross and isolated margin; only while nothing of it is open."""
        self._exchange.market(symbol)
        account = self._exchange.account
        if account.is_isolated[symbol] == is_isolated:
            return False
        self._nothing_open(symbol)
        account.is_isolated[symbol] = is_isolated
        return True

    def _nothing_open(self, symbol: str | None) -> None:
        exchange = self._exchange
        waiting = [s for s in exchange.stops.waiting.values() if symbol in (None, s.request.symbol)]
        if waiting or exchange.open_orders(symbol):
            raise Reject(Reason.OPEN_ORDERS)
        if any(symbol in (None, held) for held, _, _ in exchange.account.held()):
            raise Reject(Reason.OPEN_POSITIONS)

    def add_margin(self, symbol: str, leg: Leg, amount: Decimal) -> None:
        """Move ``amount`` quote units to (or, negative, from) an isolated position, as far as both sides stay safe."""
        exchange, account = self._exchange, self._exchange.account
        exchange.market(symbol)
        position = account.position(symbol, leg)
        if not account.is_isolated[symbol] or position.lots == 0 or amount > exchange.available():
            raise Reject(Reason.ADD_MARGIN)
        left = position.margin + amount + min(ZERO, account.unrealized_pnl(symbol, leg))
        if amount < 0 and left < account.position_margin(symbol, leg):
            raise Reject(Reason.ADD_MARGIN)
        position.margin += amount
        exchange.transfer(symbol, leg, ZERO, Cause.MARGIN)
