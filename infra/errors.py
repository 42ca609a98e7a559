"""What can go wrong with the servers beside the trader.

CryptoScalpError
└── InfraError
    ├── ProcessError       a server would not start, or died
    ├── PortInUseError     the asked-for port belongs to someone else
    ├── StoreError         Postgres or Redis cannot be reached or prepared
    └── TritonError        the scoring server
        ├── TritonMissingError   no usable server environment
        ├── TritonDeadError      it does not answer
        └── ModelError           it refused a model, or a model answers wrongly
"""

from market.errors import CryptoScalpError


class InfraError(CryptoScalpError):
    """A server beside the trader failed."""


class ProcessError(InfraError):
    """A server process would not start, or died."""


class PortInUseError(InfraError):
    """The asked-for port belongs to another process."""


class StoreError(InfraError):
    """Postgres or Redis cannot be reached or prepared."""


class TritonError(InfraError):
    """The scoring server failed."""


class TritonMissingError(TritonError):
    """There is no usable Triton environment on this machine."""


class TritonDeadError(TritonError):
    """Triton does not answer."""


class ModelError(TritonError):
    """Triton refused a model, or a model answers wrongly."""
