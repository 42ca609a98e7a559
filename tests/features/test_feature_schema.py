"""The schema: what 25 columns there are, and an id that moves whenever their meaning does."""

import numpy as np
import pytest
from msgspec.structs import asdict, replace

from features.bank import BANK_INDEX, bank_kernel
from features.parameters import PARAMETERS
from features.plan import FeatureError, Plan
from features.schema import (
    COUNT,
    FEATURES,
    INDEX,
    KERNEL_VERSION,
    MIRROR_ORDER,
    MIRROR_SIGNS,
    NAMES,
    SCHEMA_ID,
    WINDOW,
    column_of,
    mirror_order,
    schema_id,
)
from features.served import SERVED
from tests.features.streams import START_NS, Stream, run

pytestmark = pytest.mark.timeout(900)  # the whole bank compiles for a minute or more where it was not compiled before


def test_groups_have_the_specified_sizes_and_names_are_unique():
    groups = [feature.group for feature in FEATURES]
    assert {group: groups.count(group) for group in groups} == {
        "price": 5,
        "volume": 5,
        "order_book": 6,
        "technical": 9,
    }
    assert len(set(NAMES)) == COUNT == 25
    assert [INDEX[name] for name in NAMES] == list(range(COUNT))


def test_columns_are_those_of_the_file_in_its_order():
    assert SERVED.features == NAMES
    assert [NAMES[column_of(name)] for name in SERVED.pinned] == list(SERVED.pinned)


def test_column_that_strategies_miss_is_told():
    with pytest.raises(FeatureError, match="served set lacks absent_1s"):
        column_of("absent_1s")


def test_schema_id_is_the_digest_of_what_is_served():
    assert schema_id(FEATURES, PARAMETERS, WINDOW, KERNEL_VERSION) == SCHEMA_ID


@pytest.mark.parametrize("name", asdict(PARAMETERS))
def test_schema_id_moves_with_every_parameter(name):
    value = getattr(PARAMETERS, name)
    other = replace(PARAMETERS, **{name: "span" if name == "decide" else value * 2})
    assert schema_id(FEATURES, other, WINDOW, KERNEL_VERSION) != SCHEMA_ID


def test_schema_id_moves_with_order_set_window_and_kernel_version():
    ids = {
        SCHEMA_ID,
        schema_id(FEATURES[::-1], PARAMETERS, WINDOW, KERNEL_VERSION),
        schema_id(FEATURES[:-1], PARAMETERS, WINDOW, KERNEL_VERSION),
        schema_id(FEATURES, PARAMETERS, WINDOW + 1, KERNEL_VERSION),
        schema_id(FEATURES, PARAMETERS, WINDOW, KERNEL_VERSION + 1),
    }
    assert len(ids) == 5


@pytest.mark.parametrize("field", ["name", "unit", "mirror"])
@pytest.mark.parametrize("column", [0, COUNT - 1])
def test_schema_id_moves_with_what_a_column_is_called_and_means(field, column):
    renamed = list(FEATURES)
    renamed[column] = replace(FEATURES[column], **{field: "other"})
    assert schema_id(renamed, PARAMETERS, WINDOW, KERNEL_VERSION) != SCHEMA_ID


def test_mirror_swaps_the_book_sides_and_is_its_own_inverse():
    swapped = [name for name, column in INDEX.items() if MIRROR_ORDER[column] != column]
    assert {FEATURES[INDEX[name]].mirror for name in swapped} <= {FEATURES[INDEX[name]].output for name in swapped}
    assert MIRROR_ORDER[MIRROR_ORDER].tolist() == list(range(COUNT))
    assert set(MIRROR_SIGNS) <= {-1.0, 1.0}


def test_feature_without_its_mirror_partner_is_refused():
    alone = [feature for feature in FEATURES if feature.mirror not in ("same", "sign")][:1]
    with pytest.raises(FeatureError, match="swaps places with"):
        mirror_order(alone)


def test_rings_are_longer_than_the_longest_look_back():
    plan: Plan = bank_kernel().plan
    looks = [family.look_back(w) for family in plan.families if family.axis == "bars" for w in plan.windows(family)]
    assert plan.ring > max(looks)
    assert plan.ring & (plan.ring - 1) == 0


def golden_stream(n=3_000):
    """A market by formula alone, so that no random generator stands between the kernel and the numbers below."""
    i = np.arange(n)
    mid = 1_000.0 * np.exp(1e-3 * np.sin(i / 170.0) + 4e-4 * np.sin(i / 23.0))
    half, quote = 0.01 * (1 + i % 3), i % 5 != 4
    quotes = np.column_stack([mid - half, 2 + np.sin(i / 7), mid + half, 2 + np.cos(i / 11)])
    trades = np.column_stack([mid, 0.1 * (1 + i % 7), np.where(np.sin(i / 40) > 0, 1.0, -1.0), np.zeros(n)])
    ts = START_NS + np.cumsum(i * i % 17) * 1_000_000
    return Stream(np.where(quote, 0, 1).astype(np.int8), ts, np.where(quote[:, None], quotes, trades))


def test_kernel_version_is_raised_when_the_numbers_change():
    """A change here means the kernel computes something else: raise ``KERNEL_VERSION`` and state the new numbers."""
    row = run(bank_kernel(), golden_stream())[0][-1]
    assert KERNEL_VERSION == 2
    np.testing.assert_allclose([row[BANK_INDEX[name]] for name in GOLDEN], list(GOLDEN.values()), rtol=1e-9, atol=1e-9)


GOLDEN = {
    "return_1s_bps": -0.8959050602160923,
    "return_50q_bps": -7.025997010092727,
    "momentum_500ms_bps": -3.6730654241280245,
    "volatility_5s_bps": 3.781087745250386,
    "acceleration_500ms_bps": -13.52204232207535,
    "volume_1s": 0.9615231214115096,
    "volume_change_1s": 0.0036712573000997222,
    "vwap_distance_1s_bps": -5.585164922162594,
    "flow_100ms": -0.7028892563808604,
    "volume_spike_250ms": 0.23484746721069438,
    "bid_size": 0.17596342687513603,
    "ask_size": -0.218380541033345,
    "spread_relative": 0.000643869263340111,
    "imbalance": 0.37975127026514,
    "microprice_relative": 0.19012030283722284,
    "ofi_200ms": -0.6421198448354375,
    "rsi_14x100ms": 31.027859476324615,
    "macd_12_26_9x100ms_bps": -2.7890695562545464,
    "macd_signal_12_26_9x100ms_bps": -2.7841197967352276,
    "bollinger_position_20x100ms": -0.6896938066489088,
    "bollinger_width_20x100ms_bps": 14.781350902286611,
    "stochastic_k_14_3x100ms": 7.058295961679548,
    "stochastic_d_14_3x100ms": 19.4295310494991,
    "williams_r_40x100ms": -99.94030840776009,
    "atr_14x100ms_bps": 1.3634960060537782,
}
