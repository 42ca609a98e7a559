"""The dead-man's switch: orders are cancelled unless their owner keeps saying otherwise."""

from collections.abc import Callable


class Countdowns:
    """One countdown per symbol, and one (None) over the whole account; they run independently."""

    def __init__(self, cancel_all: Callable[[str | None], object]) -> None:
        self._cancel_all = cancel_all
        self.due_ns: dict[str | None, int] = {}

    def arm(self, symbol: str | None, due_ns: int | None) -> None:
        """Cancel at ``due_ns`` (the clock given to ``expire``); None disarms."""
        self.due_ns.pop(symbol, None)
        if due_ns is not None:
            self.due_ns[symbol] = due_ns

    def expire(self, now_ns: int) -> None:
        """Run the countdowns that are due."""
        for symbol in [one for one, due_ns in self.due_ns.items() if due_ns <= now_ns]:
            del self.due_ns[symbol]
            self._cancel_all(symbol)
