"""Which files are tapes, and of what: told by their content, never by their name."""

import re
from pathlib import Path
from typing import Final

from market.codecs.binance import decode
from market.errors import FrameError, TapeError
from market.tape.frames import FIX_PATH, FrameReader, TapeFile

_SNIFF_LINES: Final = 2_000
_COIN_MARGINED: Final = re.compile(r"USD_(PERP|\d{6})$")


def find_tapes(path: Path) -> list[TapeFile]:
    """The tapes of a file or a folder (not its sub-folders), ordered by first receive time. Other files are ignored.

    Raises
    ------
    TapeError
        The path is missing, the file is no Binance tape, or the folder holds none.
    """
    return scan(path)[0]


def scan(path: Path) -> tuple[list[TapeFile], list[TapeError]]:
    """``find_tapes`` together with one reason per file of the folder that looked like data but is no tape."""
    if not path.exists():
        raise TapeError(f"{path} does not exist", FIX_PATH)
    if not path.is_dir():
        return [identify(path)], []
    tapes: list[TapeFile] = []
    ignored: list[TapeError] = []
    for file in sorted(child for child in path.iterdir() if child.is_file() and not child.name.endswith(".part")):
        try:
            tapes.append(identify(file))
        except TapeError as error:
            ignored.append(error)
    if not tapes:
        because = f"; {ignored[0].message}" if ignored else ""
        raise TapeError(f"{path} holds no tape{because}", ignored[0].fix if ignored else FIX_PATH)
    return sorted(tapes, key=lambda tape: (tape.first_recv_ns, str(tape.path))), ignored


def identify(path: Path) -> TapeFile:
    """Venue, symbol and first receive time of one file, from its first frames.

    Raises
    ------
    TapeError
        The file is empty, no tape, of a venue we cannot read, or names no symbol.
    """
    reader = FrameReader(path)
    first_ns, symbol, venue, reason = 0, "", "", ""
    for frame in reader:
        first_ns = first_ns or frame.recv_ns
        try:
            event = decode(frame.raw, frame.recv_ns)
        except FrameError as error:
            reason = reason or f"line {reader.line}: {error}"
            event = None
        symbol = symbol or ("" if event is None else event.symbol)
        venue = venue or ("" if event is None else _market_of(frame.raw))
        if (symbol and venue) or reader.frames >= _SNIFF_LINES:
            break
    if not symbol:
        why = reason or "no frame names a symbol"
        raise TapeError(f"{path} is no Binance tape: {why}", "only Binance spot and futures recordings are read here")
    venue = "binancecoinm" if _COIN_MARGINED.search(symbol) else venue or "binance"
    return TapeFile(path, venue, symbol.upper(), first_ns)


def _market_of(raw: bytes) -> str:
    """``binanceusdm`` for a frame only futures send, ``binance`` for one only spot sends, "" for one of both."""
    if b'"depthUpdate"' in raw:
        return "binanceusdm" if b'"pu"' in raw else "binance"
    if b'"trade"' in raw or b'"aggTrade"' in raw:
        return "binance" if b'"M":' in raw else "binanceusdm"
    if b'"lastUpdateId"' in raw:
        return "binanceusdm" if b'"T"' in raw else ""
    if b'"markPriceUpdate"' in raw or b'"forceOrder"' in raw:
        return "binanceusdm"
    return "binanceusdm" if b'"bookTicker"' in raw else "binance"
