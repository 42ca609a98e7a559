"""What compiled code does with bare memory: records by address, rows, the bits of numbers."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

INTRINSICS: Final = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
"""For names in numba's cache: its own fingerprints do not see what an intrinsic generates."""
_DOUBLE: Final = ir.DoubleType()
_WORD: Final = ir.IntType(64)
Intrinsic = Any


@intrinsic
def bits_of(_context: Any, value: Any) -> Any:
    """The bits of a float64 as an int64."""

    def build(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _WORD)

    return types.int64(types.float64), build


@intrinsic
def number_of(_context: Any, bits: Any) -> Any:
    """The float64 that has these bits."""

    def build(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _DOUBLE)

    return types.float64(types.int64), build


def _loaded(kind: Any, pointee: Any) -> Intrinsic:
    @intrinsic
    def load(_context: Any, address: Any) -> Any:
        def build(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.load(builder.inttoptr(args[0], pointee.as_pointer()))

        return kind(types.int64), build

    return load


word_at: Final = _loaded(types.int64, _WORD)
"""The int64 (or the address) that lies at an address."""
float_at: Final = _loaded(types.float64, _DOUBLE)
"""The float64 that lies at an address."""


def record_at(record: Any) -> Intrinsic:
    """A compiled function from an address to the record that lies there.

    An address is an integer, which passes from Python into compiled code in a few nanoseconds; an array takes ten
    times that.
    """

    @intrinsic
    def at(_context: Any, address: Any) -> Any:
        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(record))

        return record(types.int64), build

    return at


def seen_as(name: str, field: str) -> Intrinsic:
    """A compiled function that sees a state with its ``field`` under the name ``name``: same memory, another type."""

    @intrinsic
    def see(_context: Any, state: Any) -> Any:
        kept = {key: place for key, place in state.fields.items() if key not in (name, field)}
        places = [(key, place._asdict()) for key, place in (kept | {name: state.fields[field]}).items()]
        seen = types.Record(places, state.size, state.aligned)

        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(seen))

        return seen(state), build

    return see


def row_writer(pick: Sequence[int]) -> Intrinsic:
    """A compiled function ``(lanes, row)`` that writes ``lanes[pick]`` at the address ``row``, as float64."""

    @intrinsic
    def write(_context: Any, lanes: Any, row: Any) -> Any:
        def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            data = context.make_array(lanes)(context, builder, args[0]).data
            to = builder.inttoptr(args[1], _DOUBLE.as_pointer())
            for i, lane in enumerate(pick):
                value = builder.load(builder.gep(data, [ir.Constant(_WORD, lane)]))
                builder.store(value, builder.gep(to, [ir.Constant(_WORD, i)]))
            return context.get_dummy_value()

        return types.void(lanes, types.int64), build

    return write
