"""Compiled functions put together at run time: what a set of features does not need is not in its kernel.

Numba caches a compiled function by the file and line of its source and by its name, and knows nothing of what the
source's globals stood for. So every cached function carries a digest in its name (``fingerprint``): another set of
features, or other code or constants in anything that is called, is another entry of the cache.
"""

from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any, Final

import numba as nb
import numpy as np

Compiled = Any
"""A function that numba compiles; called from Python only where its signature is given."""

jit: Final = nb.njit(error_model="numpy", nogil=True)
"""A division by zero gives an infinity and no exception, so that loops over windows become vector code."""


def rebound(template: Callable[..., object], name: str, **values: object) -> FunctionType:
    """A copy of ``template`` under another name, with some of its globals replaced by ``values``."""
    copy = FunctionType(template.__code__, {**template.__globals__, **values}, name)
    copy.__qualname__ = name
    return copy


# what ``rebound`` fills in
first: Compiled = None
then: Compiled = None


def fingerprint(functions: Iterable[Compiled]) -> list[str]:
    """What ``functions`` and all that they call are made of: byte code, constants, and the numbers among globals."""
    told: list[str] = []
    seen: set[int] = set()
    waiting = list(functions)
    while waiting:
        function = waiting.pop()
        plain = getattr(function, "py_func", function)
        if id(plain) in seen or not isinstance(plain, FunctionType):
            continue
        seen.add(id(plain))
        code = plain.__code__
        told.append(f"{code.co_name} {code.co_code.hex()} {[c for c in code.co_consts if not isinstance(c, str)]}")
        for name in code.co_names:
            value = plain.__globals__.get(name)
            if isinstance(value, bool | int | float | tuple | np.ndarray | np.generic):
                told.append(f"{name} = {value!r}")
            else:
                waiting.append(value)
    return sorted(told)


def _nothing(_s: Any) -> None:
    pass


def _first_then(s: Any) -> None:
    first(s)
    then(s)


def _bar_nothing(_s: Any, _length: int) -> None:
    pass


def _bar_first_then(s: Any, length: int) -> None:
    first(s, length)
    then(s, length)


def chain(functions: Sequence[Compiled]) -> Compiled:
    """One function of the state that calls ``functions`` in order."""
    return _chain(functions, _nothing, _first_then)


def bar_chain(functions: Sequence[Compiled]) -> Compiled:
    """One function of the state and the index of a bar length that calls ``functions`` in order."""
    return _chain(functions, _bar_nothing, _bar_first_then)


def _chain(functions: Sequence[Compiled], nothing: Callable[..., None], both: Callable[..., None]) -> Compiled:
    """A balanced tree, since calls nested deeply compile slowly."""
    if len(functions) < 2:
        return functions[0] if functions else jit(nothing)
    middle = len(functions) // 2
    halves = (_chain(part, nothing, both) for part in (functions[:middle], functions[middle:]))
    return jit(rebound(both, "chained", **dict(zip(("first", "then"), halves, strict=True))))
