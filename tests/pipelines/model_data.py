"""One trained candidate of the small training set, that several tests look at."""

import functools
from typing import Any

import msgspec

from pipelines.candidate import blend_members, examine, export, fit_member, in_member_order
from pipelines.dataset import Dataset, windows
from pipelines.ensemble import Blend
from pipelines.members import evaluated
from tests.pipelines.small_data import LABEL_K as LABEL_K
from tests.pipelines.small_data import START_NS as START_NS
from tests.pipelines.small_data import STEP_NS as STEP_NS
from tests.pipelines.small_data import make_dataset as make_dataset
from tests.pipelines.small_data import symbol_rows as symbol_rows
from trader.bundle import MEMBERS

SEED = 7


class Trained(msgspec.Struct, frozen=True):
    """A dataset and all that was made of it; ``native`` [M, n, 3] are the libraries' own answers."""

    dataset: Dataset
    artefacts: dict[str, Any]
    native: Any
    blend: Blend
    model: bytes


def train(dataset: Dataset) -> Trained:
    """All members, their blend and the merged graph."""
    fitted = {name: fit_member(name, dataset, SEED) for name in MEMBERS}
    x = windows(dataset, evaluated(dataset))
    native = in_member_order({name: f.predict(x) for name, f in fitted.items()})
    artefacts = {name: f.artefact for name, f in fitted.items()}
    blend = blend_members(dataset, native, LABEL_K)
    return Trained(dataset, artefacts, native, blend, export(dataset, artefacts, blend))


@functools.cache
def trained() -> Trained:
    """The candidate of ``make_dataset()``, trained once per process."""
    return train(make_dataset())


@functools.cache
def examined():
    """What ``candidate.examine`` says of it."""
    t = trained()
    return examine(t.model, t.dataset, t.native, t.blend)
