"""Every feature of the bank against an independent batch computation of its stated definition, at 1,000 random ticks.

An oracle looks at all history, so one value costs up to milliseconds. By default a family is compared at every
``SHARE``-th of the thousand ticks; families take different ones, so all ticks are used. ``pytest -m slow`` compares
every feature at all of them.
"""

import functools
import zlib

import numpy as np
import pytest

from features.bank import BANK, BANK_INDEX, bank_kernel
from features.families import FAMILIES
from tests.features.oracles.compare import TOLERANCE, errors, wrong
from tests.features.oracles.history import History
from tests.features.streams import full_market, pick, run, run_late

pytestmark = pytest.mark.timeout(900)  # the whole bank compiles for a minute or more where it was not compiled before

TICKS = 1_000
SHARE = {"now": 1, "quotes": 1, "lag": 1, "levels": 1, "tau": 4, "bars": 10}
MARKETS = {"fast": 8.0, "slow": 1_500.0}
"""Mean ms between events: the one moves within short windows, the other fills the long ones."""


@functools.cache
def played(name):
    """History, rows and their events, and this market's half of the random ticks."""
    stream = full_market(len(name), 12_000, mean_ms=MARKETS[name])
    rows, index = run(bank_kernel(), stream)
    ticks = np.random.default_rng(1).choice(len(index), TICKS // len(MARKETS), replace=False)
    return History(stream), rows, index, ticks


def compared(family, share):
    """Largest error of each feature of ``family``, over every ``share``-th tick."""
    features = [feature for feature in BANK if feature.family == family.name]
    worst = dict.fromkeys((feature.name for feature in features), 0.0)
    for name in MARKETS:
        history, rows, index, ticks = played(name)
        some = ticks[zlib.crc32(family.name.encode()) % share :: share]
        found = errors(history, features, BANK_INDEX, rows, index, some)
        worst = {feature: max(worst[feature], found[feature]) for feature in worst}
    return worst


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_features_equal_their_batch_oracles_at_random_ticks(family):
    assert wrong(compared(family, SHARE[family.axis])) == {}


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_features_equal_their_batch_oracles_at_all_thousand_ticks(family):
    assert wrong(compared(family, 1)) == {}


AGAINST_ITSELF = {"volume_change_1h", "volume_spike_30s"}
"""0 by definition: the window is compared with the same window."""


def test_every_feature_moves_in_the_markets_it_is_compared_in():
    rows = np.concatenate([played(name)[1] for name in MARKETS])
    still = {feature.name for feature in BANK if np.ptp(rows[:, BANK_INDEX[feature.name]]) < TOLERANCE}
    assert still == AGAINST_ITSELF


def test_oracles_see_a_wrong_window():
    """The comparison has teeth: against rows of seconds later every family is off."""
    history, rows, index, ticks = played("fast")
    early = ticks[ticks < len(index) - 300][:3]
    off = errors(history, BANK, BANK_INDEX, rows[300:], index, early)
    for family in FAMILIES:
        assert wrong({f.name: off[f.name] for f in BANK if f.family == family.name}), family.name


@pytest.mark.slow
def test_bank_holds_after_a_million_events():
    stream = full_market(3, 1_000_000, mean_ms=40.0)
    rows, index = run_late(bank_kernel(), stream)
    found = errors(History(stream), BANK, BANK_INDEX, rows, index, [len(index) - 1])
    assert wrong(found) == {}


def test_bank_holds_from_the_first_row_on():
    stream = pick(full_market(8, 2_000), slice(0, 700))
    rows, index = run(bank_kernel(), stream)
    assert wrong(errors(History(stream), BANK, BANK_INDEX, rows, index, [0, 1, 2])) == {}
