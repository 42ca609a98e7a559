"""NLk against a loop that says the definition in words, and the cases that break careless versions."""

import numpy as np
import pytest

from pipelines.labels import NEVER_NS, nl_labels


def in_words(ts_ns, bid_px, ask_px, k, latency_ns):
    labels, ends = [], []
    for now in ts_ns:
        reference = max(j for j in range(len(ts_ns)) if ts_ns[j] <= now + latency_ns)
        if reference + k >= len(ts_ns):
            labels.append(-1)
            ends.append(NEVER_NS)
            continue
        then, later = (bid_px[j] + ask_px[j] for j in (reference, reference + k))
        labels.append(1 if later == then else 2 if later > then else 0)
        ends.append(ts_ns[reference + k])
    return labels, ends


def walk(n, seed, tick=1.0, start=1000):
    rng = np.random.default_rng(seed)
    ticks = start + np.cumsum(rng.integers(-1, 2, n))
    ts_ns = np.cumsum(rng.integers(0, 9, n)).astype(np.int64)
    return ts_ns, ticks * tick, (ticks + rng.integers(1, 3, n)) * tick


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("k", "latency_ns"), [(1, 0), (5, 0), (5, 13), (50, 13), (3, 10_000)])
def test_nl_labels_equal_the_definition_in_words(seed, k, latency_ns):
    ts_ns, bid_px, ask_px = walk(200, seed)
    label, end_ns = nl_labels(ts_ns, bid_px, ask_px, k=k, latency_ns=latency_ns)
    labels, ends = in_words(ts_ns, bid_px, ask_px, k, latency_ns)
    assert label.tolist() == labels
    assert end_ns.tolist() == ends


@pytest.mark.parametrize("tick", [1e-8, 0.1, 0.01, 1e8])
def test_labels_do_not_depend_on_the_price_level(tick):
    ts_ns, bid_px, ask_px = walk(500, 3)
    expected, _ = nl_labels(ts_ns, bid_px, ask_px, k=7, latency_ns=4)
    scaled, _ = nl_labels(ts_ns, bid_px * tick, ask_px * tick, k=7, latency_ns=4)
    assert scaled.tolist() == expected.tolist()


def test_mids_equal_in_decimals_are_flat_though_their_floats_differ():
    bid_px, ask_px = np.array([0.1, 0.2 - 1e-17]), np.array([0.7, 0.1 + 0.5 + 1e-16])
    assert nl_labels(np.array([0, 1]), bid_px, ask_px, k=1, latency_ns=0)[0][0] == 1


def test_labels_look_only_at_what_is_recorded_up_to_their_end():
    ts_ns, bid_px, ask_px = walk(400, 9)
    label, end_ns = nl_labels(ts_ns, bid_px, ask_px, k=20, latency_ns=30)
    for cut in (50, 137, 260):
        early, early_end = nl_labels(ts_ns[:cut], bid_px[:cut], ask_px[:cut], k=20, latency_ns=30)
        known = early >= 0
        settled = early_end[known] < ts_ns[cut - 1]
        assert np.array_equal(early[known][settled], label[:cut][known][settled])
        assert np.array_equal(early_end[known][settled], end_ns[:cut][known][settled])


def test_a_million_equal_timestamps_share_one_reference():
    ts_ns = np.zeros(1_000_000, np.int64)
    label, end_ns = nl_labels(ts_ns, np.ones(ts_ns.size), np.ones(ts_ns.size) + 1, k=50, latency_ns=10)
    assert set(np.unique(label)) == {-1}
    assert set(np.unique(end_ns)) == {NEVER_NS}


def test_no_quotes_give_no_labels():
    label, end_ns = nl_labels(np.empty(0, np.int64), np.empty(0), np.empty(0), k=50, latency_ns=10)
    assert label.shape == end_ns.shape == (0,)
