"""The schema: what 25 columns there are, and an id that moves whenever their meaning does."""

import numpy as np
import pytest
from msgspec.structs import asdict, replace

from features.kernel import fold
from features.parameters import PARAMETERS
from features.schema import (
    COUNT,
    FEATURES,
    INDEX,
    KERNEL_VERSION,
    MIRROR_ORDER,
    MIRROR_SIGNS,
    NAMES,
    SCHEMA_ID,
    WARMUP_ROWS,
    schema_id,
)
from features.state import CELLS, LAGS, init_state, sources_digest
from tests.features.oracle import Oracle
from tests.features.streams import START_NS, Stream, market


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


def test_every_row_of_the_schema_says_everything():
    for feature in FEATURES:
        assert all(
            asdict(feature)[field] for field in ("unit", "window", "warmup", "zero_rule", "definition", "source")
        )


def test_names_are_spelled_from_the_parameters_the_oracle_uses():
    stream = market(60, 2_000)
    _, index = fold(*stream)
    assert list(Oracle(stream).row(index[-1])) == list(NAMES)


@pytest.mark.parametrize("name", asdict(PARAMETERS))
def test_schema_id_moves_with_every_parameter(name):
    other = replace(PARAMETERS, **{name: getattr(PARAMETERS, name) * 2})
    assert schema_id(FEATURES, other, KERNEL_VERSION) != SCHEMA_ID


def test_schema_id_moves_with_order_names_and_kernel_version():
    assert schema_id(FEATURES[::-1], PARAMETERS, KERNEL_VERSION) != SCHEMA_ID
    renamed = (replace(FEATURES[0], name="other"), *FEATURES[1:])
    assert schema_id(renamed, PARAMETERS, KERNEL_VERSION) != SCHEMA_ID
    assert schema_id(FEATURES, PARAMETERS, KERNEL_VERSION + 1) != SCHEMA_ID


def test_mirror_swaps_the_book_sides_and_is_its_own_inverse():
    assert MIRROR_ORDER[INDEX["bid_size"]] == INDEX["ask_size"]
    assert MIRROR_ORDER[MIRROR_ORDER].tolist() == list(range(COUNT))
    assert set(MIRROR_SIGNS) == {-1.0, 1.0}


def test_rings_are_longer_than_the_longest_look_back():
    assert max(LAGS) // PARAMETERS.grid_ns + 2 <= CELLS
    assert PARAMETERS.return_quotes < WARMUP_ROWS


def test_state_carries_the_parameters():
    state = init_state()
    assert dict(zip(state["p"].dtype.names, state["p"][0], strict=True)) == asdict(PARAMETERS)


def test_compiled_signature_changes_with_any_source_file(tmp_path):
    (tmp_path / "a.py").write_text("X = 1\n")
    first = sources_digest(tmp_path)
    (tmp_path / "a.py").write_text("X = 2\n")
    assert sources_digest(tmp_path) != first
    assert init_state().dtype.names[0].startswith("sources_")


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
    rows, _ = fold(*golden_stream())
    assert KERNEL_VERSION == 1
    np.testing.assert_allclose(rows[-1], [GOLDEN[name] for name in NAMES], rtol=1e-9, atol=1e-9)


GOLDEN = {
    "return_1s_bps": -0.895905060218638,
    "return_50q_bps": -7.025997010092766,
    "momentum_500ms_bps": -3.6730654241079095,
    "volatility_5s_bps": 3.781087745231194,
    "acceleration_500ms_bps": -13.522042322069439,
    "volume_1s": 3.257697774227459,
    "volume_change_1s": 0.007342547587871203,
    "vwap_distance_1s_bps": -5.58516492211936,
    "flow_100ms": -0.7028892563788256,
    "volume_spike_250ms": 0.4786275298785837,
    "bid_size": 0.3556281145942318,
    "ask_size": -0.4439098337928516,
    "spread_relative": 0.0006440766373281302,
    "imbalance": 0.37975127026514,
    "microprice_relative": 0.19012030283766174,
    "ofi_200ms": -0.6421198448357192,
    "rsi_14": 31.027859476323883,
    "macd_12_26_bps": -2.7890695562543413,
    "macd_signal_9_bps": -2.784119796735011,
    "bollinger_position_20": -0.6896938066489275,
    "bollinger_width_20_bps": 14.781350902284814,
    "stochastic_k_14_3": 7.058295961684688,
    "stochastic_d_3": 19.429531049506647,
    "williams_r_40": -99.94030840776459,
    "atr_14_bps": 1.3634960060536014,
}
