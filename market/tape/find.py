"""Which files are tapes, and of what: told by their content, never by their name."""

import re
from pathlib import Path
from typing import Final

from market.codecs import decode_all
from market.errors import FrameError, TapeError
from market.tape.frames import FIX_PATH, Frame, FrameReader, TapeFile
from market.tape.lines import family_of, symbol_of

# what a recorder leaves beside its tapes
_NOT_TAPES: Final = (".part", ".sha256")
_SNIFF_LINES: Final = 2_000
_COIN_MARGINED: Final = re.compile(r"USD_(PERP|\d{6})$")


def find_tapes(path: Path) -> list[TapeFile]:
    """The tapes of a file or a folder (not its sub-folders), ordered by first receive time. Other files are ignored.

    Raises
    ------
    TapeError
        The path is missing, the file is no tape of a venue we read, or the folder holds none.
    """
    return scan(path)[0]


def scan(path: Path) -> tuple[list[TapeFile], list[TapeError]]:
    """``find_tapes`` together with one reason per file of the folder that looked like data but is no tape."""
    if not path.exists():
        raise TapeError(f"{path} does not exist", FIX_PATH)
    if not path.is_dir():
        return identify_all(path), []
    tapes: list[TapeFile] = []
    ignored: list[TapeError] = []
    for file in sorted(child for child in path.iterdir() if child.is_file() and not child.name.endswith(_NOT_TAPES)):
        try:
            tapes += identify_all(file)
        except TapeError as error:
            ignored.append(error)
    if not tapes:
        because = f"; {ignored[0].message}" if ignored else ""
        raise TapeError(f"{path} holds no tape{because}", ignored[0].fix if ignored else FIX_PATH)
    return sorted(tapes, key=lambda tape: (tape.first_recv_ns, str(tape.path))), ignored


def identify(path: Path) -> TapeFile:
    """Venue, symbol and first receive time of one file (of its first symbol, where it holds several).

    Raises
    ------
    TapeError
        The file is empty, no tape, of a venue we cannot read, or names no symbol.
    """
    return identify_all(path)[0]


def identify_all(path: Path) -> list[TapeFile]:
    """The tapes of one file: one, told by its first frames; of a recording of many symbols one each, read whole.

    Raises
    ------
    TapeError
        As ``identify``.
    """
    reader, found = FrameReader(path), _Found()
    for frame in reader:
        found.take(frame, reader)
        if not reader.shared and (found.complete or reader.frames >= _SNIFF_LINES):
            break
    if not found.symbols:
        why = found.reason or "no frame names a symbol"
        raise TapeError(f"{path} is no tape: {why}", "recordings of Binance, OKX and Bybit are read here")
    names = sorted(found.symbols) if reader.shared else list(found.symbols)[:1]
    return [_tape(path, name, names, found, reader.shared) for name in names]


class _Found:
    """What the frames of a file said of its venue, and when its symbols first appeared."""

    def __init__(self) -> None:
        self.symbols: dict[str, int] = {}
        self.family = self.market = self.reason = ""
        self.first_ns = 0

    @property
    def complete(self) -> bool:
        return bool(self.symbols) and bool(self.market or self.family != "binance")

    def take(self, frame: Frame, reader: FrameReader) -> None:
        self.first_ns = self.first_ns or frame.recv_ns
        family = family_of(frame.raw)
        try:
            events = decode_all(family)(frame.raw, frame.recv_ns)
        except FrameError as error:
            self.reason = self.reason or f"line {reader.line}: {error}"
            return
        named = {event.symbol.upper() for event in events if event.symbol}
        if reader.shared and (name := frame.symbol or symbol_of(frame.raw)):
            named.add(name)
        for name in named:
            self.symbols.setdefault(name, frame.recv_ns)
        if events:
            self.family = self.family or family
            self.market = self.market or (_market_of(frame.raw) if family == "binance" else "")


def _tape(path: Path, name: str, names: list[str], found: _Found, shared: bool) -> TapeFile:
    """The first tape of a shared file also gets the frames that name no symbol."""
    rest = [] if name == names[0] else [""]
    others = tuple(other for other in [*names, *rest] if other != name) if shared else ()
    first_ns = found.symbols[name] if shared else found.first_ns
    return TapeFile(path, _venue(found, name), name, first_ns, others)


def _venue(found: _Found, symbol: str) -> str:
    if found.family and found.family != "binance":
        return found.family
    return "binancecoinm" if _COIN_MARGINED.search(symbol) else found.market or "binance"


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
