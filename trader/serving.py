"""Which published version serves: ``model_repository/<name>/serving.json``, else the newest one."""

from pathlib import Path
from typing import Final

import msgspec

from trader.bundle import BundleError, latest_version, versions

SERVING_FILE: Final = "serving.json"


class Serving(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The choice: ``version`` since ``since_ns`` (wall clock), and why; ``previous`` served before, the latest last."""

    version: int
    since_ns: int
    reason: str
    previous: tuple[int, ...] = ()


def serving_path(repository: Path, name: str) -> Path:
    """Where the choice lies, whether it was made or not."""
    return Path(repository) / name / SERVING_FILE


def read_serving(repository: Path, name: str) -> Serving | None:
    """The choice made; None where none was.

    Raises
    ------
    BundleError
        When the file cannot be read.
    """
    path = serving_path(repository, name)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Serving)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        fix = f"choose anew: cryptoscalp models promote {name}@VERSION"
        raise BundleError(f"{path}: unreadable ({error})", fix) from error


def serving_version(repository: Path, name: str) -> int:
    """The version that a start serves: the one chosen, and the newest where no choice was ever made.

    A choice that is broken, or names a version that is gone, is no reason to take the newest: that may be the very one
    that was rolled back.

    Raises
    ------
    BundleError
        When nothing is published, or the choice cannot be read or followed.
    """
    serving = read_serving(repository, name)
    if serving is None:
        return latest_version(repository, name)
    if serving.version not in versions(repository, name):
        raise BundleError(
            f"{serving_path(repository, name)}: names version {serving.version}, which is not published",
            f"choose another: cryptoscalp models promote {name}@VERSION",
        )
    return serving.version
