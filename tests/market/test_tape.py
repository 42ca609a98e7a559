"""Reading, finding, merging and splitting tapes; everything that can be wrong with one."""

import gzip
import time

import pytest

from market.errors import TapeError
from market.tape import find_tapes, identify, merge, read_frames, scan, session_frames, sessions, split_line
from tests.market.wire import NS, data_dir, depth_frame, snapshot_frame, ticker, trade, write_tape

FRAMES = [trade(index) for index in range(1, 7)]
HOUR = 3_600_000_000_000


@pytest.mark.parametrize(
    ("stamp", "ns"),
    [
        (1_700_000_000, NS),
        (1_700_000_000_123, NS + 123_000_000),
        (1_700_000_000_123_456, NS + 123_456_000),
        (1_700_000_000_123_456_789, NS + 123_456_789),
    ],
)
def test_receive_times_of_any_unit_become_nanoseconds(stamp, ns):
    assert split_line(b"%d {}" % stamp) == (ns, b"{}")


def test_a_tape_reads_back_as_written(tmp_path):
    tape = identify(write_tape(tmp_path / "any_name", FRAMES))
    reader = read_frames(tape)
    frames = list(reader)
    assert [frame.raw for frame in frames] == FRAMES
    assert {frame.symbol for frame in frames} == {"XYZUSDT"}
    assert (tape.venue, tape.first_recv_ns) == ("binanceusdm", NS)
    assert not reader.truncated and reader.quarantined == reader.late == 0


def test_plain_text_windows_lines_and_several_gzip_members_read_alike(tmp_path):
    lines = [b"%d %s" % (NS + index, raw) for index, raw in enumerate(FRAMES)]
    (tmp_path / "a").write_bytes(b"\r\n".join(lines))
    (tmp_path / "b").write_bytes(b"".join(gzip.compress(line + b"\n") for line in lines) + b"\0\0")
    for name in "ab":
        reader = read_frames(identify(tmp_path / name))
        assert [frame.raw for frame in reader] == FRAMES
        assert not reader.truncated


def test_a_torn_tail_gives_every_whole_line_and_says_truncated(tmp_path):
    many = [trade(index) for index in range(4000)]
    whole = write_tape(tmp_path / "whole", many).read_bytes()
    for cut in (len(whole) - 1, len(whole) - 9, len(whole) // 2, len(whole) // 3):
        (tmp_path / "torn").write_bytes(whole[:cut])
        reader = read_frames(identify(tmp_path / "torn"))
        got = [frame.raw for frame in reader]
        assert reader.truncated and reader.quarantined == 0
        assert got == many[: len(got)] and len(got) > 500


def test_rubbish_after_the_gzip_data_is_truncation_not_a_crash(tmp_path):
    path = write_tape(tmp_path / "t", FRAMES)
    path.write_bytes(path.read_bytes() + b"rubbish")
    reader = read_frames(identify(path))
    assert len(list(reader)) == len(FRAMES) and reader.truncated


def test_bad_lines_are_quarantined_with_file_line_and_reason(tmp_path):
    lines = [b"%d %s" % (NS, FRAMES[0]), b"no time {}", b"", b"%d hello" % NS, b"9" * 30 + b" {}", b"-1 {}"]
    path = tmp_path / "t"
    path.write_bytes(gzip.compress(b"\n".join([*lines, b"%d %s" % (NS, FRAMES[1]), b""])))
    reader = read_frames(identify(path))
    assert [frame.raw for frame in reader] == FRAMES[:2]
    assert reader.quarantined == 5
    assert [reason.line for reason in reader.reasons] == [2, 3, 4, 5, 6]
    assert str(reader.reasons[0]).startswith(f"{path}:2: ")


def test_times_running_backwards_are_kept_and_counted(tmp_path):
    path = tmp_path / "t"
    stamps = [NS, NS + 5, NS + 2, NS + 9]
    path.write_bytes(gzip.compress(b"".join(b"%d %s\n" % (ns, FRAMES[0]) for ns in stamps)))
    reader = read_frames(identify(path))
    assert [frame.recv_ns for frame in reader] == stamps and reader.late == 1
    other = write_tape(tmp_path / "u", [ticker(1, "1", "1", "2", "1", "ABCUSDT")] * 3, start=NS + 1, step=4)
    assert sorted(frame.recv_ns for frame in merge(find_tapes(tmp_path))) == sorted([*stamps, NS + 1, NS + 5, NS + 9])
    assert other.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no frame"),
        (gzip.compress(b""), "holds no frame"),
        (gzip.compress(b"x" * 900)[:12], "breaks off"),
        (b"\x1f\x8bnonsense", "breaks off"),
        (b"just some text\nand more", "line 1"),
        (gzip.compress(b"a,b,c\n1,2,3\n"), "line 1"),
        (b'1700000000000 {"arg":{"channel":"books"},"data":[]}\n', "OKX"),
        (b'1700000000000 {"topic":"orderbook.50.X","data":{}}\n', "Bybit"),
        (b'1700000000000 {"result":null,"id":1}\n', "names a symbol"),
        (b"\x00" * 5000, "line 1"),
    ],
)
def test_a_file_that_is_no_tape_is_one_clear_error(tmp_path, content, says):
    path = tmp_path / "btcusdt_20240718.gz"
    path.write_bytes(content)
    for open_path in (path, tmp_path):
        with pytest.raises(TapeError, match=says) as caught:
            find_tapes(open_path)
        assert str(path) in caught.value.message and caught.value.fix


def test_a_missing_path_and_an_empty_folder_say_so(tmp_path):
    with pytest.raises(TapeError, match="does not exist"):
        find_tapes(tmp_path / "nowhere")
    with pytest.raises(TapeError, match="holds no tape"):
        find_tapes(tmp_path)


def test_other_files_of_a_folder_are_ignored_with_a_reason(tmp_path):
    write_tape(tmp_path / "tape.gz", FRAMES)
    (tmp_path / "README.md").write_text("about these tapes")
    (tmp_path / "broken.gz").write_bytes(b"")
    (tmp_path / "sub").mkdir()
    (tmp_path / "live.gz.part").write_bytes(b"half")
    tapes, ignored = scan(tmp_path)
    assert [tape.path.name for tape in tapes] == ["tape.gz"]
    assert sorted(error.message.split(" ")[0].split("/")[-1] for error in ignored) == ["README.md", "broken.gz"]


SPOT = b'{"u":7,"s":"ABCUSDT","b":"1.0","B":"2","a":"1.1","A":"3"}'


@pytest.mark.parametrize(
    ("frames", "venue", "symbol"),
    [
        ([SPOT], "binance", "ABCUSDT"),
        ([b'{"e":"trade","E":1,"T":1,"s":"ABC","t":1,"p":"1","q":"1","m":true,"M":true}'], "binance", "ABC"),
        ([snapshot_frame(1, [], []), trade(1)], "binanceusdm", "XYZUSDT"),
        ([b'{"result":null,"id":1}', depth_frame(1, 2, 0, [], [])], "binanceusdm", "XYZUSDT"),
        ([depth_frame(1, 2, 0, [], [], "ABCUSD_PERP")], "binancecoinm", "ABCUSD_PERP"),
    ],
)
def test_venue_and_symbol_are_read_from_the_frames(tmp_path, frames, venue, symbol):
    tape = identify(write_tape(tmp_path / "nameless", frames))
    assert (tape.venue, tape.symbol) == (venue, symbol)


def test_merge_orders_by_time_and_chains_the_files_of_a_symbol(tmp_path):
    write_tape(tmp_path / "z_first", FRAMES[:3], start=NS, step=10)
    write_tape(tmp_path / "a_second", FRAMES[3:], start=NS + 1000, step=10)
    other = [ticker(index, "1", "1", "2", "1", "ABCUSDT") for index in range(4)]
    write_tape(tmp_path / "other", other, start=NS + 5, step=500)
    frames = list(merge(find_tapes(tmp_path)))
    assert [frame.recv_ns for frame in frames] == sorted(frame.recv_ns for frame in frames)
    assert [frame.raw for frame in frames if frame.symbol == "XYZUSDT"] == FRAMES
    assert [frame.raw for frame in frames if frame.symbol == "ABCUSDT"] == other
    assert list(merge([])) == []


def test_sessions_split_where_nothing_was_received(tmp_path):
    write_tape(tmp_path / "a", FRAMES[:3], start=NS)
    write_tape(tmp_path / "b", FRAMES[3:], start=NS + HOUR // 2)
    write_tape(tmp_path / "c", FRAMES, start=NS + 3 * HOUR)
    write_tape(tmp_path / "d", [ticker(1, "1", "1", "2", "1", "ABCUSDT")], start=NS + 3 * HOUR)
    write_tape(tmp_path / "e", [SPOT] * 2, start=NS + 3 * HOUR)
    found = sessions(tmp_path)
    assert [(s.venue, s.symbols, s.frames, len(s.files)) for s in found] == [
        ("binanceusdm", ("XYZUSDT",), 6, 2),
        ("binance", ("ABCUSDT",), 2, 1),
        ("binanceusdm", ("ABCUSDT", "XYZUSDT"), 7, 2),
    ]
    assert (found[0].first_ns, found[0].last_ns) == (NS, NS + HOUR // 2 + 2_000_000)


def test_a_silence_inside_one_file_splits_it_too(tmp_path):
    write_tape(tmp_path / "a", FRAMES, step=HOUR)
    found = sessions(tmp_path)
    assert [session.frames for session in found] == [1] * 6
    assert [[frame.raw for frame in session_frames(session)] for session in found] == [[raw] for raw in FRAMES]
    assert [session.frames for session in sessions(tmp_path, gap_s=3601.0)] == [6]


@pytest.mark.data
def test_recorded_folders_hold_the_counts_and_sessions_their_readme_states():
    if not (data_dir() / "binance_usdm_ws").is_dir():
        pytest.skip("recorded data is absent: set DATA_DIR")
    found = sessions(data_dir() / "binance_usdm_ws")
    assert [(session.symbols, session.frames) for session in found] == [
        (("BTCUSDT",), 73_765),
        (("BTCUSDT", "ETHUSDT"), 71_984 + 69_913),
    ]
    assert [tape.venue for tape in find_tapes(data_dir() / "binance_spot_ws")] == ["binance"]


def test_a_large_file_that_is_no_tape_is_given_up_early(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"1,2,3\n" * 3_000_000)
    before = time.process_time()
    with pytest.raises(TapeError, match="line 1"):
        identify(path)
    assert time.process_time() - before < 0.5


def test_bytes_without_any_line_end_are_read_once_not_again_and_again(tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(b"7" * 40_000_000)
    before = time.process_time()
    with pytest.raises(TapeError, match="line 1"):
        identify(path)
    assert time.process_time() - before < 2.0
