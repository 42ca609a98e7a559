"""Tapes: gzip lines ``recv_ns<space>raw JSON frame``, one file per venue, symbol and day.

Nothing here interprets a frame beyond what names its venue and symbol; ``market.codecs`` does.
"""

from market.tape.find import find_tapes, identify, scan
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
    "find_tapes",
    "identify",
    "merge",
    "merge_readers",
    "read_frames",
    "scan",
    "session_frames",
    "sessions",
    "split_line",
    "tape_name",
]
