"""How unusual is a feature row? An isolation forest, exported as plain arrays, and a watch for values that freeze.

A forest cuts one axis at a time, so among 25 columns it hardly sees five that are wild, and never two that do not fit
together. It therefore looks at a short view of the row: per feature group, how large the robust z-scores are, and how
far each column is from what the others let expect (a linear fit). ``score`` equals scikit-learn's ``-score_samples`` of
that view: ``2 ** -(mean path / normal path)`` (Liu, Ting and Zhou 2008), near 1 for what is isolated at once, below 0.5
for the usual. A forest sees one row at a time, so a column that stands still needs a second judge: for how long?
"""

import io
from math import log
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import msgspec
import numba as nb
import numpy as np
import numpy.typing as npt

from trader.bundle import ANOMALY_FILE, BundleError, Manifest

_TREE: Final = {"feature": np.int32, "threshold": np.float64, "left": np.int32, "right": np.int32, "length": np.float64}
_VIEW: Final = {"center": np.float64, "scale": np.float64, "mix": np.float64, "spread": np.float64, "group": np.int32}
_ARRAYS: Final = _TREE | _VIEW | {"roots": np.int32, "longest": np.int64}
_FAR: Final = 50.0
_LEAST: Final = 1e-3

Floats = npt.NDArray[np.float64]


class ViewModel(msgspec.Struct, frozen=True):
    """How a row is looked at.

    Attributes
    ----------
    center, scale : float64 [F]
        Median and spread of each column: z = (row - center) / scale, cut at 50.
    mix : float64 [F, F]
        What the other columns let expect: residual = (z - mix @ z) / spread. Its diagonal is 0.
    spread : float64 [F]
        Usual size of the residuals.
    group : int32 [F]
        Feature group of each column, counted from 0.
    """

    center: Floats
    scale: Floats
    mix: Floats
    spread: Floats
    group: npt.NDArray[np.int32]

    @property
    def size(self) -> int:
        """Columns of the view: each group's mean square and the largest, of z-scores and of residuals."""
        return 2 * (int(self.group.max()) + 2)


class AnomalyModel(msgspec.Struct, frozen=True):
    """Trees as flat arrays over all nodes, and two limits.

    Attributes
    ----------
    view : ViewModel
        What the trees look at.
    feature : int32 [n]
        Column of the view that a node compares, -1 at a leaf.
    threshold : float64 [n]
        A row goes ``left`` when its float32 value is at or below it, else ``right`` (int32 [n], node indices).
    length : float64 [n]
        At a leaf: its depth plus the mean path length of a tree over the samples that ended there.
    roots : int32 [T]
        First node of every tree.
    longest : int64 [F]
        Rows for which a column may stand still; 0 for columns that are not watched.
    normal : float
        Mean path length of a tree over its sample: the unit of path lengths.
    limit : float
        Score above which a row is suspicious.
    schema_id : str
        Feature schema of the rows.
    """

    view: ViewModel
    feature: npt.NDArray[np.int32]
    threshold: Floats
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    length: Floats
    roots: npt.NDArray[np.int32]
    longest: npt.NDArray[np.int64]
    normal: float
    limit: float
    schema_id: str


def _frozen(dtype: Any, dimensions: int = 1) -> Any:
    return nb.types.Array(dtype, dimensions, "C", readonly=True)


@nb.njit(nb.void(nb.float64[::1], _frozen(nb.int32), nb.int64, nb.int64, nb.float32[::1]), cache=True)
def _sizes(values: Any, group: Any, groups: int, at: int, out: Any) -> None:  # pragma: no cover - compiled
    """Logs of each group's mean square, and of the largest size, into ``out[at:]``."""
    squares, counts, largest = np.zeros(groups), np.zeros(groups), 0.0
    for column in range(len(values)):
        squares[group[column]] += values[column] * values[column]
        counts[group[column]] += 1.0
        largest = max(largest, abs(values[column]))
    for g in range(groups):
        out[at + g] = log(_LEAST + squares[g] / max(counts[g], 1.0))
    out[at + groups] = log(_LEAST + largest)


@nb.njit(
    nb.void(
        _frozen(nb.float32), *[_frozen(nb.float64)] * 2, _frozen(nb.float64, 2), _frozen(nb.float64),
        _frozen(nb.int32), nb.float32[::1],
    ),
    cache=True,
)  # fmt: skip
def _look(
    row: Any, center: Any, scale: Any, mix: Any, spread: Any, group: Any, out: Any
) -> None:  # pragma: no cover - compiled
    columns, groups = len(row), len(out) // 2 - 1
    z, residual = np.empty(columns), np.empty(columns)
    for i in range(columns):
        z[i] = min(max((row[i] - center[i]) / scale[i], -_FAR), _FAR)
    for i in range(columns):
        expected = 0.0
        for j in range(columns):
            expected += mix[i, j] * z[j]
        residual[i] = (z[i] - expected) / spread[i]
    _sizes(z, group, groups, 0, out)
    _sizes(residual, group, groups, groups + 1, out)


@nb.njit(
    nb.float64(
        _frozen(nb.float32), _frozen(nb.int32), _frozen(nb.float64), *[_frozen(nb.int32)] * 2, _frozen(nb.float64),
        _frozen(nb.int32),
    ),
    cache=True,
)  # fmt: skip
def _path_length(
    seen: Any, feature: Any, threshold: Any, left: Any, right: Any, length: Any, roots: Any
) -> float:  # pragma: no cover - compiled
    total = 0.0
    for root in roots:
        node = root
        while feature[node] >= 0:
            node = left[node] if seen[feature[node]] <= threshold[node] else right[node]
        total += length[node]
    return total


@nb.njit(nb.int64(_frozen(nb.float32), nb.float32[::1], nb.int64[::1], _frozen(nb.int64)), cache=True)
def _stand_still(row: Any, before: Any, runs: Any, longest: Any) -> int:  # pragma: no cover - compiled
    """Count for each column the rows it has stood still; how many stood still for too long."""
    frozen = 0
    for column in range(len(row)):
        runs[column] = runs[column] + 1 if row[column] == before[column] else 0
        before[column] = row[column]
        frozen += longest[column] > 0 and runs[column] > longest[column]
    return frozen


def look(view: ViewModel, row: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The view, float32 [view.size], of one row, float32 [F] without NaN."""
    out = np.empty(view.size, np.float32)
    _look(row, view.center, view.scale, view.mix, view.spread, view.group, out)
    return out


def score(model: AnomalyModel, row: npt.NDArray[np.float32]) -> float:
    """Anomaly score of one row, float32 [F] without NaN, in (0, 1]; scikit-learn's ``-score_samples`` of its view."""
    seen = look(model.view, row)
    total = _path_length(seen, model.feature, model.threshold, model.left, model.right, model.length, model.roots)
    return float(2.0 ** -(total / (len(model.roots) * model.normal)))


class RowWatch:
    """Judges the rows of one symbol in order. After ``update``: ``score``, ``frozen`` columns, ``suspicious``."""

    __slots__ = ("_before", "_model", "_runs", "frozen", "score")

    def __init__(self, model: AnomalyModel) -> None:
        self._model = model
        self._before = np.full(len(model.longest), np.nan, np.float32)
        self._runs = np.zeros(len(model.longest), np.int64)
        self.score = 0.0
        self.frozen = 0

    def update(self, row: npt.NDArray[np.floating]) -> bool:
        """Take the next row [F]; True when it is suspicious."""
        values = np.ascontiguousarray(row, dtype=np.float32)
        self.frozen = int(_stand_still(values, self._before, self._runs, self._model.longest))
        self.score = score(self._model, values)
        return self.suspicious

    @property
    def suspicious(self) -> bool:
        """Whether the last row was unusual, or a column has stood still for longer than ever seen."""
        return self.score > self._model.limit or self.frozen > 0


def _part(model: AnomalyModel, name: str) -> AnomalyModel | ViewModel:
    return model.view if name in _VIEW else model


def to_bytes(model: AnomalyModel) -> bytes:
    """The model as ``anomaly.npz``: arrays only, no pickle; equal models give equal bytes."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        name: np.asarray(getattr(_part(model, name), name), dtype) for name, dtype in _ARRAYS.items()
    }
    scalars = np.array([model.normal, model.limit])
    np.savez_compressed(buffer, **arrays, scalars=scalars, schema_id=np.array(model.schema_id))
    return buffer.getvalue()


def from_bytes(data: bytes, schema_id: str) -> AnomalyModel:
    """Read what :func:`to_bytes` wrote, and prove that it can be walked.

    Raises
    ------
    BundleError
        It is no such file, of another feature schema, or its trees do not hang together.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: np.ascontiguousarray(file[name], dtype) for name, dtype in _ARRAYS.items()}
            normal, limit = (float(value) for value in file["scalars"])
            found = str(file["schema_id"])
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise BundleError(f"{ANOMALY_FILE}: unreadable ({error})", "publish the model again") from None
    if found != schema_id:
        raise BundleError(
            f"{ANOMALY_FILE}: schema_id is {found!r}, this code computes {schema_id!r}", "retrain with this code"
        )
    view = ViewModel(**{name: arrays.pop(name) for name in _VIEW})
    model = AnomalyModel(view=view, **arrays, normal=normal, limit=limit, schema_id=found)
    if not (_fits(model.view, len(model.longest)) and _hangs_together(model)):
        raise BundleError(f"{ANOMALY_FILE}: its arrays do not fit together", "publish the model again")
    return model


def _fits(view: ViewModel, columns: int) -> bool:
    """Every array has the row's columns, and nothing divides by zero."""
    flat = all(getattr(view, name).shape == (columns,) for name in _VIEW if name != "mix")
    finite = all(bool(np.isfinite(getattr(view, name)).all()) for name in _VIEW)
    whole = flat and finite and view.mix.shape == (columns, columns) and columns > 0
    return whole and bool((view.scale > 0).all() and (view.spread > 0).all() and (view.group >= 0).all())


def _hangs_together(model: AnomalyModel) -> bool:
    """Children exist and come after their parent, so that every walk ends; columns exist."""
    nodes, inner = np.arange(len(model.feature)), model.feature >= 0
    if {len(getattr(model, name)) for name in _TREE} != {len(nodes)} or not len(model.roots):
        return False
    children = [child[inner] for child in (model.left, model.right)]
    return (
        bool(((model.roots >= 0) & (model.roots < len(nodes))).all())
        and bool((model.feature < model.view.size).all())
        and all(bool(((child > nodes[inner]) & (child < len(nodes))).all()) for child in children)
        and bool(np.isfinite(model.length).all())
        and model.normal > 0
    )


def read_anomaly(folder: Path, manifest: Manifest) -> bytes:
    """The bytes of a verified bundle's anomaly model; empty where none travels along.

    Raises
    ------
    BundleError
        It cannot be read, or does not fit the bundle's feature schema.
    """
    if manifest.anomaly is None:
        return b""
    try:
        data = (folder / ANOMALY_FILE).read_bytes()
    except OSError as error:
        raise BundleError(f"{folder / ANOMALY_FILE}: {error.strerror}", "publish the model again") from None
    from_bytes(data, manifest.schema_id)
    return data
