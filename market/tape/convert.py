"""Recordings of other formats rewritten as tapes: one per symbol and UTC day, frames untouched."""

import re
from pathlib import Path

from market.tape.find import find_tapes
from market.tape.frames import TapeFile, read_frames
from market.tape.writer import TapeWriter, tape_name


def convert(source: Path, folder: Path) -> list[Path]:
    """Write the recordings at ``source`` (a file or folder) as tapes under ``folder``; returns their paths.

    Tapes get their names together at the end: an interrupted run leaves none and is simply run again.

    Raises
    ------
    TapeError
        ``source`` holds no recording we read, or a tape of that name exists already.
    """
    writers: dict[Path, TapeWriter] = {}
    for tape in find_tapes(source):
        _copy(tape, folder, writers)
    for writer in writers.values():
        writer.close()
    return list(writers)


def _copy(tape: TapeFile, folder: Path, writers: dict[Path, TapeWriter]) -> None:
    symbol = re.sub(r"[^\w.-]", "_", tape.symbol)
    for frame in read_frames(tape):
        path = folder / tape_name(symbol, frame.recv_ns)
        if path not in writers:
            writers[path] = TapeWriter(path, resume=False)
        # a newline between JSON tokens would end the tape's line
        writers[path].write(frame.recv_ns, frame.raw.replace(b"\n", b" "))
