"""Accounts at the exchanges, one module each behind one protocol (see ``common.Venue``)."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from trader.budget import Budget, Limit, open_budget
from trader.errors import ConfigError
from trader.venues import binance, bybit, okx
from trader.venues.common import Addresses, Keys, NowNs, UserStream, Venue

KINDS: Final[dict[str, tuple[Callable[[Addresses, Keys, Budget, NowNs], Venue], tuple[Limit, ...]]]] = {
    "binanceusdm": (binance.BinanceVenue, binance.LIMITS),
    "okx": (okx.OkxVenue, okx.LIMITS),
    "bybit": (bybit.BybitVenue, bybit.LIMITS),
}


def make_venue(name: str, addresses: Addresses, keys: Keys, now_ns: NowNs) -> tuple[Venue, Budget]:
    """The account ``name``, not yet connected, and the rate budget it spends from; close both.

    Raises
    ------
    ConfigError
        No such venue, or OKX without its passphrase.
    """
    if name not in KINDS:
        raise ConfigError(f"venue {name} is not known", f"use one of {', '.join(KINDS)}")
    if name == "okx" and not keys.password:
        raise ConfigError("OKX needs the key's passphrase", "export CRYPTOSCALP_API_PASSWORD")
    kind, limits = KINDS[name]
    where = name if addresses.rest is None else f"{name}@{urlsplit(addresses.rest).netloc}"
    budget = open_budget(limits, where, keys.api_key)
    return kind(addresses, keys, budget, now_ns), budget


__all__ = ["Addresses", "Keys", "UserStream", "Venue", "make_venue"]
