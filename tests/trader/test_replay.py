import gzip

import pytest
from harness import Recorded, instrument, simulated_frames, start_record

from trader.errors import JournalError
from trader.journal import JournalReader, JournalWriter
from trader.records import Control, DecisionRecord, Order, OrderUpdate
from trader.replay import Replay


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    symbols, frames = simulated_frames(folder / "market", minutes=1.2)
    run = Recorded(folder / "r", start_record([instrument(s) for s in symbols]))
    run.play(frames)
    run.feed(Control(run.now(), "stop", "test"))
    run.close()
    return run


def rewrite(run, folder, change):
    """The same journal with every record passed through ``change`` (checksums right, content altered)."""
    path = folder / "journal.cslog"
    with JournalWriter(path) as writer:
        for record in JournalReader(run.run.journal):
            writer.append(change(record))
    return path


def test_run_traded_and_replays_without_a_difference(recorded):
    kinds = [type(o) for o in recorded.outputs]
    assert kinds.count(Order) > 5
    assert any(isinstance(r, OrderUpdate) and r.fill_qty > 0 for r in JournalReader(recorded.run.journal))
    result = Replay(recorded.run.journal, recorded.run.tape).run()
    assert result.differing == 0
    assert result.decisions == kinds.count(DecisionRecord) > 1000
    assert result.first_difference is None


def test_one_altered_feature_bit_is_one_named_difference(recorded, tmp_path):
    seen = []

    def change(record):
        if isinstance(record, DecisionRecord):
            seen.append(record)
            if len(seen) == 500:
                features = (record.features[0] * (1 + 2**-52) + 5e-324, *record.features[1:])
                return DecisionRecord(
                    **{f: getattr(record, f) for f in record.__struct_fields__} | {"features": features}
                )
        return record

    result = Replay(rewrite(recorded, tmp_path, change), recorded.run.tape).run()
    assert result.differing == 1
    assert result.first_difference.ts_ns == seen[499].ts_ns


def test_a_missing_fill_changes_later_decisions(recorded, tmp_path):
    dropped = []

    def change(record):
        if isinstance(record, OrderUpdate) and record.fill_qty > 0 and not dropped:
            dropped.append(record)
            return Control(record.ts_ns, "note", "a lost fill")
        return record

    assert Replay(rewrite(recorded, tmp_path, change), recorded.run.tape).run().differing > 0


def test_one_altered_frame_changes_decisions(recorded, tmp_path):
    for tape in recorded.run.tape.glob("*.gz"):
        lines = gzip.decompress(tape.read_bytes()).split(b"\n")
        at = next(i for i, line in enumerate(lines) if i > 2000 and b"bookTicker" in line)
        lines[at] = lines[at].replace(b'"B":"', b'"B":"9', 1)
        (tmp_path / "tape").mkdir(exist_ok=True)
        with gzip.open(tmp_path / "tape" / tape.name, "wb") as file:
            file.write(b"\n".join(lines))
    assert Replay(recorded.run.journal, tmp_path / "tape").run().differing > 0


def test_a_torn_journal_replays_up_to_the_tear(recorded, tmp_path):
    path = tmp_path / "journal.cslog"
    path.write_bytes(recorded.run.journal.read_bytes()[:-7])
    result = Replay(path, recorded.run.tape).run()
    assert result.torn_at is not None
    assert result.differing == 0


def test_a_journal_without_its_start_is_refused(tmp_path):
    with JournalWriter(tmp_path / "j") as journal:
        journal.append(Control(1, "stop", ""))
    with pytest.raises(JournalError, match="start record"):
        Replay(tmp_path / "j", tmp_path).run()
