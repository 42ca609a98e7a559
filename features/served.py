"""What ``served.toml`` says: the served set, its window, and parameters that differ from the defaults."""

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from market.errors import CryptoScalpError

VARIABLE: Final = "CRYPTOSCALP_FEATURES"
FILE: Final = Path(__file__).with_name("served.toml")


class Served(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as written; ``parameters`` are checked by ``features.parameters``."""

    features: tuple[str, ...]
    pinned: tuple[str, ...] = ()
    window: int = 16
    parameters: dict[str, Any] = {}


class ServedError(CryptoScalpError):
    """The file of the served set cannot be used."""


def read_served(path: Path) -> Served:
    """The set in ``path``.

    Raises
    ------
    ServedError
        When the file is missing, is no TOML, or says something else than a served set; names what and where.
    """
    try:
        served = msgspec.toml.decode(path.read_bytes(), type=Served)
    except (OSError, msgspec.MsgspecError) as error:
        raise ServedError(f"{path}: {error}", f"write it like {FILE}, or unset {VARIABLE}") from error
    missing = sorted(set(served.pinned) - set(served.features))
    if missing or served.window < 1:
        why = f"pinned {', '.join(missing)} not among features" if missing else f"window {served.window} is below 1"
        raise ServedError(f"{path}: {why}", "add what is missing to features, or correct window")
    return served


def served_file() -> Path:
    """The file in force: what ``CRYPTOSCALP_FEATURES`` names, else the one beside this module."""
    return Path(os.environ[VARIABLE]).expanduser() if os.environ.get(VARIABLE) else FILE


SERVED: Final = read_served(served_file())
