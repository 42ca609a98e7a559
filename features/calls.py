"""Arguments of a compiled function as CPython passes them: a vector of objects, unboxed in place.

A call through numba's dispatcher costs some 40 ns an argument, more than the features of a tick. ``market.native``
makes a compiled callback a CPython function; what is left is the call itself and a few ns for every argument.
"""

from typing import Final

from numba import types

# CPython's own functions; objects are their addresses, and -1 may mean that an error is set
as_integer: Final = types.ExternalFunction("PyLong_AsLongLong", types.int64(types.int64))
as_number: Final = types.ExternalFunction("PyFloat_AsDouble", types.float64(types.int64))
is_error_set: Final = types.ExternalFunction("PyErr_Occurred", types.int64())
bad_argument: Final = types.ExternalFunction("PyErr_BadArgument", types.int64())
