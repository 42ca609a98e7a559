"""The root of the error tree (drawn whole in ``trader/errors.py``).

Every expected failure that reaches a person is a ``CryptoScalpError``: one sentence naming the file, line or setting,
and one ``fix``. The command line prints both and exits with 2; anything else that escapes is a bug and keeps its
trace.
"""


class CryptoScalpError(Exception):
    """An expected failure: ``message`` says what and where, ``fix`` says what to do about it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\nfix: {self.fix}"


class TapeError(CryptoScalpError):
    """A tape is missing, empty, truncated beyond repair, of another venue, or out of order."""


class FrameError(ValueError):
    """One frame could not be decoded. Callers quarantine the frame with this reason; it never ends a process."""
