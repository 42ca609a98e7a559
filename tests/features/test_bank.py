"""The whole bank as a machine: one body at every size, in batch and live, whatever the level or side of the market."""

import random

import numpy as np
import pytest

from features.bank import BANK, BANK_INDEX, BANK_NAMES, bank_kernel, kernel_of
from features.family import Feature
from features.kernel import SERVED
from features.plan import FeatureError
from features.schema import NAMES, mirror, mirror_order
from tests.features.streams import full_market, market, mirrored, one_by_one, pick, run

pytestmark = pytest.mark.timeout(900)  # the whole bank compiles for a minute or more where it was not compiled before

LEVELS_OF_MARKETS = [(1e-8, 1e8), (1e8, 1e-8), (1e-8, 1e-8), (1e8, 1e8)]


ROUNDING = 1e-5
"""Prices rounded elsewhere have logs that differ by 1e-16, and ranges down to 1e-10 count: 1e-6, and a margin."""


def unlike(rows, others):
    """Features whose columns differ by more than rounding, relative where the value exceeds 1; and by how much."""
    off = np.max(np.abs(rows - others) / np.maximum(1.0, np.abs(others)), axis=0)
    return {BANK_NAMES[column]: float(off[column]) for column in np.flatnonzero(~(off < ROUNDING))}


def mirrored_rows(rows):
    signs = np.array([-1.0 if feature.mirror == "sign" else 1.0 for feature in BANK])
    return rows[:, mirror_order(BANK)] * signs + [feature.mirror_sum for feature in BANK]


@pytest.mark.slow
def test_bank_folds_to_what_update_gives_event_by_event():
    stream = full_market(70, 12_000)
    rows, index = run(bank_kernel(), stream)
    again, at = one_by_one(bank_kernel(), stream)
    assert rows.tobytes() == again.tobytes()
    assert index.tolist() == at.tolist()


def test_bank_in_pieces_equals_the_bank_at_once():
    stream, state = full_market(71, 6_000), bank_kernel().init_state()
    pieces = [run(bank_kernel(), pick(stream, slice(at, at + 777)), state)[0] for at in range(0, 6_000, 777)]
    assert np.concatenate(pieces).tobytes() == run(bank_kernel(), stream)[0].tobytes()


@pytest.mark.parametrize("px, qty", LEVELS_OF_MARKETS)
def test_bank_does_not_depend_on_the_level_of_prices_and_quantities(px, qty):
    rows, _ = run(bank_kernel(), full_market(72, 8_000))
    scaled, _ = run(bank_kernel(), full_market(72, 8_000, px, qty))
    assert unlike(scaled, rows) == {}


@pytest.mark.parametrize("px, qty", [(20_000.0, 2.0), *LEVELS_OF_MARKETS])
def test_every_feature_keeps_its_rule_in_the_mirrored_market(px, qty):
    stream = full_market(73, 8_000, px, qty)
    rows, _ = run(bank_kernel(), stream)
    flipped, _ = run(bank_kernel(), mirrored(stream))
    assert unlike(flipped, mirrored_rows(rows)) == {}


def test_mirror_partners_are_each_others():
    order = np.array(mirror_order(BANK))
    assert order[order].tolist() == list(range(len(BANK)))


def test_mirroring_served_rows_twice_gives_them_back():
    rows = run(SERVED, market(31, 2_000))[0].astype(np.float32)
    np.testing.assert_allclose(mirror(mirror(rows)), rows, rtol=1e-5, atol=1e-5)
    assert mirror(rows).dtype == np.float32


def same_bits(kernel, names, stream):
    """Whether ``kernel`` gives the very columns that the whole bank gives."""
    rows, _ = run(kernel, stream)
    whole, _ = run(bank_kernel(), stream)
    return rows.tobytes() == np.ascontiguousarray(whole[:, [BANK_INDEX[name] for name in names]]).tobytes()


def test_served_row_holds_the_bits_of_the_bank():
    assert same_bits(SERVED, NAMES, full_market(74, 12_000))


@pytest.mark.parametrize("count", [1, *(pytest.param(count, marks=pytest.mark.slow) for count in (12, 60))])
def test_any_plan_gives_the_bits_of_the_whole_bank(count):
    """Alone, among few and among many, with other windows beside it, a feature is the same number."""
    names = random.Random(count).sample(BANK_NAMES, count)
    assert same_bits(kernel_of(names), names, full_market(75, 12_000, mean_ms=60.0))


def test_names_are_different_and_found():
    assert len(set(BANK_NAMES)) == len(BANK)
    assert all(name == name.lower() and name.isascii() for name in BANK_NAMES)
    assert [BANK_INDEX[feature.name] for feature in BANK] == list(range(len(BANK)))


@pytest.mark.parametrize("field", ["name", "family", "output", "group", "unit", "definition", "source", "zero_rule"])
def test_every_feature_says_everything(field):
    assert field in Feature.__struct_fields__
    assert [feature.name for feature in BANK if not getattr(feature, field).strip()] == []


def test_names_that_say_bps_are_in_bps():
    assert [f.name for f in BANK if f.name.endswith("_bps") != f.unit.startswith("bps")] == []


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["return_1s_bbs"], "no feature called 'return_1s_bbs'.*did you mean return_1s_bps"),
        (["zzz"], "no feature called 'zzz'.*features list"),
        (["imbalance", "imbalance"], "different names"),
        ([], "at least one"),
    ],
)
def test_names_the_bank_lacks_are_told_with_the_nearest_one(names, told):
    with pytest.raises(FeatureError, match=f"(?s){told}"):
        kernel_of(names)
