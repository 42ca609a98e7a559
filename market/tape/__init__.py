"""Tapes: gzip lines ``recv_ns<space>raw JSON frame``, one file per venue, symbol and day.

Recordings of others are read too (zstd, zip, JSON lines of many symbols: ``market.tape.lines``); ``convert`` rewrites
them as tapes.

Nothing here interprets a frame beyond what names its venue and symbol; ``market.codecs`` does.
"""

from market.tape.convert import convert
from market.tape.find import find_tapes, identify, identify_all, scan
from market.tape.frames import (
    Frame,
    FrameReader,
    Quarantined,
    TapeFile,
    chain,
    merge,
    merge_readers,
    read_frames,
    split_line,
)
from market.tape.sessions import Session, session_frames, sessions
from market.tape.writer import TapeWriter, tape_name

__all__ = [
    "Frame",
    "FrameReader",
    "Quarantined",
    "Session",
    "TapeFile",
    "TapeWriter",
    "chain",
    "convert",
    "find_tapes",
    "identify",
    "identify_all",
    "merge",
    "merge_readers",
    "read_frames",
    "scan",
    "session_frames",
    "sessions",
    "split_line",
    "tape_name",
]
