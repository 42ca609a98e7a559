"""The one error tree.

::

    CryptoScalpError                 market/errors.py   expected; one sentence and a fix; exit code 2
    ├── TapeError                    market/errors.py   a tape is missing, empty, torn, foreign or out of order
    ├── BundleError                  trader/bundle.py   a model bundle is incomplete, altered or of another schema
    ├── ConfigError                  trader/errors.py   a setting is wrong or missing
    ├── ConnectionRefused            trader/errors.py   a service we need did not answer at start
    ├── JournalError                 trader/errors.py   a journal cannot be read or belongs to something else
    ├── ModeRefused                  trader/errors.py   this mode must not start now
    ├── SimulatorError               market/simulator/errors.py   a simulated exchange cannot start
    ├── InfraError                   infra/errors.py    a process, port, store or Triton model is not as needed
    └── PipelineError                pipelines/settings.py   an asset cannot be made from what it was given
    FrameError (ValueError)          market/errors.py   one undecodable frame: quarantined, never fatal

While trading nothing here is raised across the loop: a late score, a rejected order or a lost socket is a value.
"""

from market.errors import CryptoScalpError


class ConfigError(CryptoScalpError):
    """A setting is unknown, missing or out of range."""


class ConnectionRefused(CryptoScalpError):
    """A service that the trader needs at start (venue, Triton) does not answer."""


class JournalError(CryptoScalpError):
    """A journal is missing, of another format, or does not belong to the given tape."""


class ModeRefused(CryptoScalpError):
    """The requested mode is not allowed to start (live without its confirmations, say)."""
