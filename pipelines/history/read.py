"""One door to every reader: the content of a file decides who reads it."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from pipelines.history import plain, recorder, tardis, vision
from pipelines.history.csv import read_csv
from pipelines.history.feather import read_feather
from pipelines.history.files import Progress, check_sum, container, head_lines
from pipelines.history.layouts import recognise
from pipelines.history.names import Names, file_names
from pipelines.history.schema import KINDS
from pipelines.history.tables import Reading
from pipelines.history.tapes import read_tape

LAYOUTS: Final = (*vision.LAYOUTS, *tardis.LAYOUTS, *recorder.LAYOUTS, *plain.LAYOUTS)
_TAPE_LINE: Final = re.compile(r"\d{9,19} [\[{]")


def read(
    path: Path,
    given: Names | None = None,
    kinds: Collection[str] = KINDS,
    progress: Progress = lambda _share: None,
) -> Reading:
    """Every row of ``path`` in the schema's form, and the rows that could not be read with their line and reason.

    Parameters
    ----------
    path
        A file, packed or not.
    given
        Venue and symbol where the user names them; they override the file's.
    kinds
        Kinds that are of use; a tape's depth, which is slow, is only decoded when it is among them.
    progress
        Told the share of the file that is read, now and then.

    Raises
    ------
    CryptoScalpError
        The file is broken, of no known format, names no venue or symbol, or holds no row that can be used.
    """
    given = given or Names()
    check_sum(path)
    if container(path) == "feather":
        return read_feather(path, file_names(path, given, [], ""))
    lines = head_lines(path)
    if any(_TAPE_LINE.match(line) for line in lines[:50]):
        return read_tape(path, given, kinds, progress)
    found = recognise(lines, LAYOUTS, path)
    names = file_names(path, given, lines[: found.skip], found.market)
    return read_csv(path, found, names, progress)
