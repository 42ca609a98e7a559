"""Compiled code that reads bytes by address, and compiled functions that a Python call reaches as cheaply as ``len``.

A call through numba's dispatcher takes longer than a frame takes to decode. ``builtin`` therefore makes a compiled
callback a CPython function (METH_O, METH_FASTCALL), which the interpreter calls without unboxing anything.
What reads by address checks its bounds itself, before it reads.
"""

import ctypes
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

Function = Callable[..., Any]

METH_O: Final = 0x8
METH_FASTCALL: Final = 0x80
_WORD: Final = ir.IntType(64)
_BYTE: Final = ir.IntType(8)
WINDOW: Final = 16
_WINDOW: Final = ir.VectorType(_BYTE, WINDOW)

# CPython's own functions; objects are their addresses
size_of: Final = types.ExternalFunction("PyBytes_Size", types.int64(types.int64))
address_of: Final = types.ExternalFunction("PyBytes_AsString", types.int64(types.int64))
room_of: Final = types.ExternalFunction("PyByteArray_AsString", types.int64(types.int64))
as_bool: Final = types.ExternalFunction("PyBool_FromLong", types.int64(types.int64))


@intrinsic
def load(_context: Any, address: Any) -> Any:
    """The eight bytes at ``address`` as a uint64, the first byte lowest."""

    def build(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], _WORD.as_pointer()), align=1)

    return types.uint64(types.int64), build


@intrinsic
def data_of(_context: Any, raw: Any) -> Any:
    """Address of the first byte of a bytes object in compiled code."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(view.data, _WORD)

    return types.int64(raw), build


@intrinsic
def byte(_context: Any, address: Any) -> Any:
    """The byte at ``address`` as an int64."""

    def build(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.zext(builder.load(builder.inttoptr(args[0], _BYTE.as_pointer())), _WORD)

    return types.int64(types.int64), build


@intrinsic
def store(_context: Any, address: Any, value: Any) -> Any:
    """Write ``value``, an eight-byte number, at ``address``."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], args[1].type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, value), build


@intrinsic
def non_digits(_context: Any, address: Any) -> Any:
    """Bit ``k`` is set where the byte at ``address + k`` is no ASCII digit; reads WINDOW bytes."""

    def build(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        text = builder.load(builder.inttoptr(args[0], _WINDOW.as_pointer()), align=1)
        above_zero = builder.sub(text, ir.Constant(_WINDOW, [ord("0")] * WINDOW))
        found = builder.icmp_unsigned(">", above_zero, ir.Constant(_WINDOW, [9] * WINDOW))
        return builder.zext(builder.bitcast(found, ir.IntType(WINDOW)), _WORD)

    return types.uint64(types.int64), build


@intrinsic
def trailing_zeros(_context: Any, word: Any) -> Any:
    """Index of the lowest set bit of a uint64; 64 when none is set."""

    def build(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), build


def drawn_from(*modules: ModuleType) -> Callable[[Function], Function]:
    """Name a function that numba caches after the text of ``modules``, whose compiled functions it takes in.

    numba compiles anew when the function's own file changes, but not when one of these does.
    """
    texts = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)

    def named(function: Function) -> Function:
        function.__qualname__ += f"_{sha256(texts).hexdigest()[:16]}"
        return function

    return named


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


def builtin(callback: Any, bound: object, name: str, flags: int = METH_O) -> Function:
    """A Python function of positional arguments that runs ``callback``, whose numbers are addresses of objects.

    Parameters
    ----------
    callback
        ``numba.cfunc`` that gives a new reference, or 0 after an error was set. It is given ``bound`` and, with
        ``METH_O``, the one argument; with ``METH_FASTCALL``, the vector of arguments and their count.
    bound
        What the function belongs to; it keeps this alive.
    name
        What errors and ``repr`` call it.
    flags
        How CPython calls it.
    """
    if callback.address not in _methods:
        _methods[callback.address] = _Method(name.encode(), callback.address, flags, b""), callback
    method, _ = _methods[callback.address]
    function: Function = _new(ctypes.addressof(method), bound, None)
    return function
