"""Counting by name, with a bound on the names: they end as labels of metrics."""

import re
from collections import Counter
from typing import Final

_MOST_NAMES: Final = 50
_VALUES: Final = re.compile(r"""['"`][^'"`]*['"`]|[-+]?\d[\w.+-]*""")


def count(counter: Counter[str], name: str) -> None:
    """Count ``name``; names beyond the first fifty share one."""
    counter[name if name in counter or len(counter) < _MOST_NAMES else "other"] += 1


def kind_of(error: Exception) -> str:
    """What an error says without its values, so that equal faults count together.

    >>> kind_of(ValueError("trade price -1.5 is not a positive number"))
    'trade price … is not a positive number'
    """
    return _VALUES.sub("…", str(error))[:120]
