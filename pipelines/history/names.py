"""Venue and symbol of a file that does not name them on its rows: from options, its archive's folder and name."""

import re
from pathlib import Path
from typing import Final

import msgspec

from pipelines.history.schema import HistoryError

_VISION: Final = re.compile(
    r"(?P<symbol>[A-Z0-9]+(_[A-Z0-9]+)?)-"
    r"(?P<kind>aggTrades|trades|bookTicker|bookDepth|fundingRate|liquidationSnapshot|metrics|\d+(s|m|h|d|w|mo))-\d{4}-\d{2}(-\d{2})?(\W|$)"
)
_FREQTRADE: Final = re.compile(
    r"(?P<base>[A-Z0-9]+)_(?P<quote>[A-Z0-9]+)(_(?P<settle>[A-Z0-9]+))?-(?P<bar>\d+[smhdwM])(-(?P<type>\w+))?\.feather"
)
_TARDIS: Final = re.compile(r"[a-z0-9-]+_[a-zA-Z0-9_]+_\d{4}-\d{2}-\d{2}_(?P<symbol>[A-Za-z0-9_-]+)\.csv")
_WORDS: Final = re.compile(r"[^A-Za-z0-9]+")
_PAIR: Final = re.compile(r"[A-Z0-9]{2,15}(USDT|USDC|FDUSD|BUSD|TUSD|USD|EUR|BTC|ETH|BNB)")
_REPORT: Final = re.compile(r"# .*?\b(SPOT|USD_M_FUTURES|COIN_M_FUTURES) ([A-Z0-9_]+) \d{2}-\d{2}-\d{4}")
_REPORT_VENUES: Final = {"SPOT": "binance", "USD_M_FUTURES": "binanceusdm", "COIN_M_FUTURES": "binancecoinm"}
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COIN_MARGINED: Final = re.compile(r"USD_(PERP|\d{6})$")


class Names(msgspec.Struct, frozen=True):
    """What is known of a whole file; "" is unknown. ``fixed``: the user said so, rows may not differ."""

    venue: str = ""
    symbol: str = ""
    fixed: bool = False


def file_names(path: Path, given: Names, preamble: list[str], market: str) -> Names:
    """Names of ``path``: what the user gave, else its quality report, its archive's folders and file name, its look."""
    reported = next((found for line in preamble if (found := _REPORT.match(line))), None)
    symbol = given.symbol or (reported[2] if reported else "") or symbol_of(path.name)
    venue = given.venue or (_REPORT_VENUES[reported[1]] if reported else "") or folder_venue(path) or market
    return Names(venue_of_symbol(venue, symbol), symbol.upper(), bool(given.symbol))


def venue_of_symbol(venue: str, symbol: str) -> str:
    """Coin-margined contracts share file formats with USD-margined ones; their names tell them apart.

    >>> venue_of_symbol("binanceusdm", "BTCUSD_PERP")
    'binancecoinm'
    """
    return "binancecoinm" if venue == "binanceusdm" and _COIN_MARGINED.search(symbol) else venue


def symbol_of(name: str) -> str:
    """Symbol in a file name of Binance Vision, Tardis or freqtrade, or the only word that is a trading pair; else "".

    >>> [symbol_of(name) for name in ("BTCUSDT-aggTrades-2024-07-18.zip", "BTC_USDT_USDT-1m-futures.feather", "x.csv")]
    ['BTCUSDT', 'BTCUSDT', '']
    """
    if found := _VISION.match(name) or _TARDIS.match(name):
        return found["symbol"].upper()
    if found := _FREQTRADE.fullmatch(name):
        return f"{found['base']}{found['quote']}"
    pairs = {word.upper() for word in _WORDS.split(name) if _PAIR.fullmatch(word.upper())}
    return pairs.pop() if len(pairs) == 1 else ""


def freqtrade_type(name: str) -> str:
    """The candle type in a freqtrade file name: ``futures``, ``mark``, ``funding_rate``, or "" (spot, or none)."""
    found = _FREQTRADE.fullmatch(name)
    return (found["type"] or "") if found else ""


def folder_venue(path: Path) -> str:
    """Venue named by an archive's folders: ``futures/um``, ``futures/cm``, ``data/spot``, or ``binance/futures``.

    >>> folder_venue(Path("data/futures/um/daily/klines/ETHUSDT/1m/x.zip"))
    'binanceusdm'
    """
    parts = f"/{'/'.join(path.parent.parts)}/".lower()
    known = {
        "/futures/um/": "binanceusdm",
        "/futures/cm/": "binancecoinm",
        "/data/spot/": "binance",
        "/binance/futures/": "binanceusdm",
    }
    return next((venue for folder, venue in known.items() if folder in parts), "")


def require(names: Names, path: Path) -> Names:
    """``names``, when both are known and can name a file.

    Raises
    ------
    HistoryError
        The venue or the symbol is unknown or holds characters that no file name may hold.
    """
    for name in ("venue", "symbol"):
        value = getattr(names, name)
        if not value:
            raise HistoryError(f"{path}: neither its rows nor its name tell its {name}", f"pass --{name} for this file")
        if not _SAFE.fullmatch(value):
            raise HistoryError(
                f"{path}: its {name} {value[:64]!r} has characters that are not allowed",
                f"pass --{name} with letters, digits, '.', '_' and '-' alone",
            )
    return names
