"""Turns a failure that a user can do something about into one sentence and a fix."""

import errno
from collections.abc import Iterator

from typer.exceptions import Abort, TyperException

from market.errors import CryptoScalpError

OURS = {"market", "features", "risk", "trader", "pipelines", "feature_repo", "infra", "benchmarks"}
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
FIX_INSTALL = "install the whole project: `make setup`, or pip install 'cryptoscalp[pipelines,cpu,embedded]'"


def explain(error: BaseException) -> tuple[str, str] | None:
    """Message and fix for an expected failure; None for a bug, whose trace is worth more than a sentence.

    Libraries wrap what went wrong in errors of their own, so the causes are looked through as well.
    """
    for each in _causes(error):
        explained = _explain_one(each)
        if explained is not None:
            return explained
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def _explain_one(error: BaseException) -> tuple[str, str] | None:
    if isinstance(error, CryptoScalpError):
        return error.message, error.fix
    if isinstance(error, TyperException):
        return error.format_message().rstrip("."), _usage_fix(error)
    if isinstance(error, Abort):
        return "cancelled", "answer the question, or pass the value as an option"
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] not in OURS:
        return f"the package {error.name} is not installed", FIX_INSTALL
    if isinstance(error, OSError):
        return _explain_os(error)
    return None


def _usage_fix(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = "cryptoscalp" if context is None else context.command_path
    return f"see `{path} --help`"


def _explain_os(error: OSError) -> tuple[str, str] | None:
    where = str(error.filename or "the disk")
    if error.errno in NO_SPACE:
        fix = "free some space, or choose a --home on another disk; then run again"
        return f"no space left while writing {where}", fix
    if error.errno in NOT_ALLOWED and error.filename is not None:
        return f"cannot use {where}: {error.strerror}", "give this user access to it, or choose another path"
    if error.errno == errno.EPIPE:
        return "the reader of the output went away", "pass --json, or write the output to a file"
    return None
