import pytest

from trader.errors import JournalError
from trader.journal import JournalReader, JournalWriter, encode, repair
from trader.records import Control, OrderReply, Timer

RECORDS = [Timer(1), Control(2, "kill_soft", "drill"), OrderReply(3, "a-1", "unknown", "Timeout", "no answer")]


def write(path):
    with JournalWriter(path) as journal:
        for record in RECORDS:
            journal.append(record)
    return path


def test_journal_reads_back_what_was_written(tmp_path):
    reader = JournalReader(write(tmp_path / "j"))
    assert list(reader) == RECORDS
    assert reader.torn_at is None


def test_journal_is_never_overwritten(tmp_path):
    write(tmp_path / "j")
    with pytest.raises(JournalError, match="exists already"):
        JournalWriter(tmp_path / "j")


@pytest.mark.parametrize("cut", range(1, 40))
def test_torn_tail_is_cut_and_the_rest_kept(tmp_path, cut):
    path = write(tmp_path / "j")
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    reader = JournalReader(path)
    kept = list(reader)
    assert kept == RECORDS[: len(kept)]
    assert len(kept) < len(RECORDS)
    removed = repair(path)
    again = JournalReader(path)
    assert list(again) == kept
    assert again.torn_at is None
    assert path.stat().st_size == len(whole) - cut - removed


def test_every_altered_byte_before_the_last_record_is_named(tmp_path):
    path = write(tmp_path / "j")
    whole = path.read_bytes()
    last = len(whole) - len(encode(RECORDS[-1])) - 8
    for at in range(8, last):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with pytest.raises(JournalError, match="byte"):
            list(JournalReader(path))


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(JournalError, match="no journal at"):
        list(JournalReader(tmp_path / "none"))
    (tmp_path / "text").write_text("hello")
    with pytest.raises(JournalError, match="is no journal"):
        list(JournalReader(tmp_path / "text"))


def test_equal_records_encode_equal_bytes_and_floats_keep_all_bits():
    from trader.records import MarketInfo

    a = MarketInfo(1, "X", 0.1 + 0.2)
    assert encode(a) == encode(MarketInfo(1, "X", 0.30000000000000004))
    assert encode(a) != encode(MarketInfo(1, "X", 0.3))
