"""Another set of features is one file: what computes, learns, exports and scores follows it, in its own process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from features.schema import COUNT, SCHEMA_ID
from features.served import FILE, VARIABLE
from market.simulator.generator import generate
from pipelines.served_set import schema_id_of, write_served

ROOT = Path(__file__).parents[2]
NAMES = (
    "volatility_5s_bps", "ofi_200ms", "flow_100ms", "imbalance", "bid_size", "ask_size", "return_5s_bps",
    "path_efficiency_1s", "to_minute",
)  # fmt: skip
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from features.schema import COUNT, NAMES, SCHEMA_ID, WINDOW
from pipelines.dataset import TEST, SymbolRows, build_dataset
from pipelines.candidate import score_split
from pipelines.evaluate import logloss
from pipelines.feature_frames import feature_rows, feature_table
from pipelines.labels import nl_labels
from pipelines.quality import split_clean
from pipelines.ticks import chosen_sessions, read_session
from tests.pipelines.model_data import train

(session,), _ = chosen_sessions([Path(sys.argv[1])], "latest", 3600.0, None)
parts = []
for symbol, taken in sorted(read_session(session, None, 100_000).symbols.items()):
    table = feature_table(split_clean(taken.ticks.table())[0])
    ts_ns, bid_px, ask_px = (table[name].to_numpy() for name in ("ts_ns", "bid_px", "ask_px"))
    label, end_ns = nl_labels(ts_ns, bid_px, ask_px, k=10, latency_ns=10_000_000)
    parts.append(SymbolRows(symbol, feature_rows(table).astype(np.float32), ts_ns, label, end_ns))
dataset = build_dataset(
    parts, schema_id=SCHEMA_ID, window=WINDOW, train_share=0.6, calibrate_share=0.15, max_samples=900
)
trained = train(dataset)
proba, members = score_split(trained.model, dataset, TEST)
told = dict(names=NAMES, count=COUNT, schema_id=SCHEMA_ID, columns=dataset.rows.shape[1], rows=len(proba))
told |= dict(logloss=logloss(proba, dataset.y[dataset.split == TEST]), members=members.shape[1])
told["stated"] = SCHEMA_ID.encode() in trained.model
print(json.dumps(told))
"""


def run(arguments, **variables):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.integration
def test_another_set_is_another_schema_and_everything_follows(tmp_path):
    generate(tmp_path / "tape", 5, minutes=0.5)
    write_served(FILE, tmp_path / "set.toml", NAMES)
    told = run(["-c", SCRIPT, str(tmp_path / "tape")], **{VARIABLE: str(tmp_path / "set.toml")})
    assert told["names"] == list(NAMES)
    assert told["count"] == told["columns"] == len(NAMES) != COUNT
    assert told["schema_id"] == schema_id_of(NAMES) != SCHEMA_ID
    assert told["stated"], "the exported graph names the schema it was trained on"
    assert told["rows"] > 100 and told["members"] == 4
    assert 0.0 < told["logloss"] < 1.5
