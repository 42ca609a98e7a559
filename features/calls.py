"""Compiled functions as Python calls them cheapest: CPython's own vector of arguments, unboxed in place.

A call through numba's dispatcher costs some 40 ns an argument, more than the features of a tick. Here a compiled
callback becomes a CPython function: what is left is the call itself and a few ns for every argument.
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final

from numba import types

METH_FASTCALL: Final = 0x80
METH_O: Final = 0x8

# CPython's own functions; objects are their addresses, and -1 may mean that an error is set
as_integer: Final = types.ExternalFunction("PyLong_AsLongLong", types.int64(types.int64))
as_number: Final = types.ExternalFunction("PyFloat_AsDouble", types.float64(types.int64))
as_bool: Final = types.ExternalFunction("PyBool_FromLong", types.int64(types.int64))
is_error_set: Final = types.ExternalFunction("PyErr_Occurred", types.int64())
bad_argument: Final = types.ExternalFunction("PyErr_BadArgument", types.int64())


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_new: Final = ctypes.pythonapi.PyCFunction_NewEx
_new.restype, _new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
# CPython keeps the address of a method, not the method
_methods: Final[dict[int, tuple[_Method, Any]]] = {}


def builtin(callback: Any, name: str, flags: int, bound: object = None) -> Callable[..., Any]:
    """A Python function of positional arguments that runs ``callback``, whose numbers are addresses of objects.

    Parameters
    ----------
    callback
        ``numba.cfunc`` that gives a new reference, or 0 after an error was set. It is given ``bound`` and, with
        ``METH_O``, the one argument; with ``METH_FASTCALL``, the vector of arguments and their count.
    name
        What errors and ``repr`` call it.
    flags
        How CPython calls it.
    bound
        What the function belongs to; it keeps this alive.
    """
    if callback.address not in _methods:
        _methods[callback.address] = _Method(name.encode(), callback.address, flags, b""), callback
    method, _ = _methods[callback.address]
    function: Callable[..., Any] = _new(ctypes.addressof(method), bound, None)
    return function
