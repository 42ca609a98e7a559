"""Batch equals stream on every recorded Binance tape, and the oracle agrees on them."""

import os
from pathlib import Path

import numpy as np
import pytest

from features.kernel import encode, fold, init_state, update
from features.schema import COUNT
from market.codecs.binance import decode
from market.events import Quote, Trade
from market.tape import find_tapes, merge
from tests.features.streams import Stream
from tests.features.test_feature_oracle import TOLERANCE, errors

ROOT = Path(__file__).parents[2]
DATA_DIR = Path(os.environ.get("DATA_DIR", ROOT.parent / "shared" / "data"))
FOLDERS = [DATA_DIR / name for name in ("binance_usdm_ws", "binance_spot_ws")]

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not all(map(Path.exists, FOLDERS)), reason=f"no recorded Binance tapes in {DATA_DIR}"),
]


def recorded():
    """One parameter per venue and symbol: the files of one day-to-day recording, in order."""
    files = [tape for folder in FOLDERS if folder.exists() for tape in find_tapes(folder)]
    chains = {}
    for tape in files:
        chains.setdefault((tape.venue, tape.symbol, tape.path.name.split("_")[1][:4]), []).append(tape)
    return [pytest.param(chain, id="-".join(key)) for key, chain in sorted(chains.items())]


def events_of(chain):
    """Quotes and market trades of one symbol, encoded as the kernel takes them."""
    events = (decode(frame.raw, frame.recv_ns) for frame in merge(chain))
    usable = [e for e in events if isinstance(e, Quote) or (isinstance(e, Trade) and e.is_market)]
    rows = [encode(event) for event in usable]
    kinds, ts = np.array([row[0] for row in rows], np.int8), np.array([row[1] for row in rows])
    return Stream(kinds, ts, np.array([row[2:] for row in rows]))


@pytest.mark.parametrize("chain", recorded())
def test_recorded_tape_folds_to_what_update_gives_event_by_event(chain):
    stream = events_of(chain)
    rows, index = fold(*stream)
    state, out, count = init_state(), np.zeros(COUNT), 0
    for i, (kind, ts_ns, value) in enumerate(zip(*(part.tolist() for part in stream), strict=True)):
        if update(state, kind, ts_ns, *value, out):
            assert index[count] == i and rows[count].tobytes() == out.tobytes()
            count += 1
    assert count == len(rows) > 1_000
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("chain", recorded())
def test_oracle_agrees_on_recorded_tape(chain):
    assert errors(events_of(chain), 60).max() < TOLERANCE
