"""Compiled functions as Python calls them cheapest: CPython's own vector of arguments, unboxed in place.

A call through numba's dispatcher costs some 40 ns an argument, more than the features of a tick. Here a compiled
callback becomes a CPython function (METH_FASTCALL): what is left is the call itself and a few ns for every argument.
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

METH_FASTCALL: Final = 0x80
_WORD: Final = ir.IntType(64)

# CPython's own functions; objects are their addresses, and -1 may mean that an error is set
as_integer: Final = types.ExternalFunction("PyLong_AsLongLong", types.int64(types.int64))
as_number: Final = types.ExternalFunction("PyFloat_AsDouble", types.float64(types.int64))
as_bool: Final = types.ExternalFunction("PyBool_FromLong", types.int64(types.int64))
is_error_set: Final = types.ExternalFunction("PyErr_Occurred", types.int64())
bad_argument: Final = types.ExternalFunction("PyErr_BadArgument", types.int64())


@intrinsic
def argument(_context: Any, vector: Any, at: Any) -> Any:
    """The object (its address) that stands at ``at`` in a vector of arguments."""

    def build(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        first = builder.inttoptr(args[0], _WORD.as_pointer())
        return builder.load(builder.gep(first, [args[1]]))

    return types.int64(types.int64, types.int64), build


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


def builtin(callback: Any, name: str) -> Callable[..., Any]:
    """A Python function of positional arguments that runs ``callback(0, vector of arguments, how many)``.

    Parameters
    ----------
    callback
        ``numba.cfunc`` of (int64, int64, int64) -> int64, which gives a new reference, or 0 after an error was set.
    name
        What errors and ``repr`` call it.
    """
    if callback.address not in _methods:
        _methods[callback.address] = _Method(name.encode(), callback.address, METH_FASTCALL, b""), callback
    method, _ = _methods[callback.address]
    function: Callable[..., Any] = _new(ctypes.addressof(method), None, None)
    return function
