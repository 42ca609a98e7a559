"""How far a long step has come, for whoever started the run in this process; nobody listens by default."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

Told = Callable[[str, float], None]


def _nobody(_what: str, _share: float) -> None:
    pass


_LISTENER: Final[ContextVar[Told]] = ContextVar("told", default=_nobody)


@contextmanager
def listening(told: Told) -> Iterator[None]:
    """Within the block, steps tell ``told`` what they do and which share of it is done."""
    token = _LISTENER.set(told)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell(what: str) -> Callable[[float], None]:
    """A function that takes the share done of ``what``."""
    listener = _LISTENER.get()
    return lambda share: listener(what, share)
