"""The training set: decision rows once, and samples that point into them.

A sample is a window of rows that ends at one decision point, with the outcome that followed. Rows are stored once and
windows are cut on demand, so memory grows with the ticks and not with ticks times window.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import msgspec
import numpy as np
import numpy.typing as npt

from pipelines.resources import replacing
from pipelines.settings import PipelineError

TRAIN: Final = 0
CALIBRATE: Final = 1
TEST: Final = 2
SPLITS: Final = ("train", "calibrate", "test")
_ARRAYS: Final = ("rows", "ends", "y", "ts_ns", "end_ns", "symbol_id", "split")

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.int8]


class SymbolRows(msgspec.Struct, frozen=True):
    """Decision rows of one symbol in one session, in time order.

    Features [n, F], ts_ns [n], label [n] (-1 unknown), end_ns [n].
    """

    symbol: str
    rows: Floats
    ts_ns: Ints
    label: Bytes
    end_ns: Ints


class Dataset(msgspec.Struct, frozen=True):
    """Samples in time order within each symbol, symbols one after another, sessions of a symbol likewise.

    Attributes
    ----------
    rows : float32 [R, F]
        Decision rows of all symbols, one symbol after another, unscaled.
    ends : int64 [N]
        Index into ``rows`` of each sample's last row; its window never crosses into another symbol or session.
    y : int8 [N]
        0 down, 1 flat, 2 up.
    ts_ns, end_ns : int64 [N]
        Event clock of the decision, and of the moment its label became known.
    symbol_id : int8 [N]
        Index into ``symbols``.
    split : int8 [N]
        0 train, 1 calibrate, 2 test.
    """

    rows: Floats
    ends: Ints
    y: Bytes
    ts_ns: Ints
    end_ns: Ints
    symbol_id: Bytes
    split: Bytes
    symbols: tuple[str, ...]
    schema_id: str
    window: int


def windows(dataset: Dataset, idx: npt.NDArray[np.integer]) -> Floats:
    """Windows of the samples ``idx``: float32 [len(idx), window, F], oldest row first."""
    back = np.arange(1 - dataset.window, 1)
    return dataset.rows[dataset.ends[idx][:, None] + back]


def build_dataset(
    parts: Sequence[SymbolRows],
    *,
    schema_id: str,
    window: int,
    train_share: float,
    calibrate_share: float,
    max_samples: int,
) -> Dataset:
    """Cut samples from decision rows, split them by absolute time, purge, thin evenly.

    ``parts`` come symbol by symbol, the sessions of a symbol in time order. The two boundaries are instants common to
    all symbols, at quantiles of all decision times: the test split is the latest part in time over all sessions, and a
    session between two boundaries falls into one split as a whole. A sample of the train or calibrate split is dropped
    unless its label was known before the next split starts.

    Raises
    ------
    PipelineError
        When a split would stay empty, or the shares leave no test split.
    """
    if train_share + calibrate_share >= 1:
        shares = f"train_share {train_share} and calibrate_share {calibrate_share}"
        raise PipelineError(f"{shares} leave nothing to test on", "lower one of them so that they sum to less than 1")
    symbols = tuple(dict.fromkeys(part.symbol for part in parts))
    if len(symbols) > np.iinfo(np.int8).max:
        raise PipelineError(f"{len(symbols)} symbols in one training set", "split the tape into folders of at most 127")
    numbers = np.array([symbols.index(part.symbol) for part in parts], np.int8)
    symbol_id = np.repeat(numbers, [len(part.rows) for part in parts])
    ts_ns, end_ns, label = (np.concatenate([getattr(part, n) for part in parts]) for n in ("ts_ns", "end_ns", "label"))
    usable = _usable(parts, window)
    split = assign_splits(ts_ns[usable], end_ns[usable], train_share, calibrate_share)
    kept = _thin(np.flatnonzero(split >= 0), max_samples)
    ends = usable[kept]
    dataset = Dataset(
        rows=np.concatenate([part.rows for part in parts]).astype(np.float32, copy=False),
        ends=ends.astype(np.int64),
        y=label[ends],
        ts_ns=ts_ns[ends],
        end_ns=end_ns[ends],
        symbol_id=symbol_id[ends],
        split=split[kept],
        symbols=symbols,
        schema_id=schema_id,
        window=window,
    )
    _require_every_split(dataset)
    return dataset


def _usable(parts: Sequence[SymbolRows], window: int) -> Ints:
    """Rows with a label and a whole window of their own part behind them, as indices into all rows."""
    starts = np.cumsum([0, *(len(part.rows) for part in parts)])
    known = [np.flatnonzero(part.label >= 0) for part in parts]
    return np.concatenate([start + at[at >= window - 1] for start, at in zip(starts, known, strict=False)])


def assign_splits(ts_ns: Ints, end_ns: Ints, train_share: float, calibrate_share: float) -> Bytes:
    """Split of each sample by its time, int8 [N]; -1 where its label matures at or after the next split's start."""
    if ts_ns.size == 0:
        return np.empty(0, np.int8)
    ordered = np.sort(ts_ns)
    at = [int(len(ordered) * share) for share in (train_share, train_share + calibrate_share)]
    starts = ordered[np.minimum(at, len(ordered) - 1)]
    split = np.searchsorted(starts, ts_ns, side="right").astype(np.int8)
    next_start = np.append(starts, np.iinfo(np.int64).max)[split]
    return np.where(end_ns < next_start, split, np.int8(-1)).astype(np.int8)


def _thin(idx: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
    if idx.size <= most:
        return idx
    return idx[np.arange(most) * idx.size // most]


def _require_every_split(dataset: Dataset) -> None:
    counts = np.bincount(dataset.split, minlength=len(SPLITS))
    for name, count in zip(SPLITS, counts, strict=True):
        if count == 0:
            raise PipelineError(
                f"the training set has no {name} sample: the tape is too short ({len(dataset.rows)} decision rows)",
                "record or generate a longer tape, or lower label_k",
            )


def content_sha256(dataset: Dataset) -> str:
    """Hash over every array (dtype, shape, bytes), the symbols, the window and the schema: the data's identity."""
    digest = hashlib.sha256(f"{dataset.symbols}|{dataset.schema_id}|{dataset.window}".encode())
    for name in _ARRAYS:
        array = np.ascontiguousarray(getattr(dataset, name))
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def save(dataset: Dataset, path: Path) -> None:
    """Write ``dataset`` as ``.npz``, atomically."""
    arrays = {name: getattr(dataset, name) for name in _ARRAYS}
    with replacing(path) as part, part.open("wb") as file:
        np.savez(
            file,
            **arrays,
            symbols=np.array(dataset.symbols),
            schema_id=np.array(dataset.schema_id),
            window=dataset.window,
        )


def load(path: Path) -> Dataset:
    """Read what :func:`save` wrote.

    Raises
    ------
    PipelineError
        When the file is absent or broken.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
            symbols, schema_id, window = file["symbols"], str(file["schema_id"]), int(file["window"])
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise PipelineError(f"{path}: no readable training set ({error})", "materialize training_set again") from error
    return Dataset(**arrays, symbols=tuple(map(str, symbols)), schema_id=schema_id, window=window)
