"""The recorder: what goes in comes out of the tapes whole, whatever the clock, the disk or a crash does."""

import hashlib
import subprocess
import sys
import textwrap
import time

import pytest

from market.tape import FrameReader, TapeWriter, find_tapes, merge
from trader.capture import Recorder, free_path, repair, write_checksum

DAY_NS = 86_400_000_000_000
NOON_NS = 1_700_000_000_000_000_000 // DAY_NS * DAY_NS + DAY_NS // 2


def frame(n):
    return (
        b'{"stream":"xusdt@bookTicker","data":{"e":"bookTicker","u":%d,"s":"XUSDT","b":"1","B":"1","a":"2","A":"1"}}'
        % n
    )


def lines(path):
    return [(f.recv_ns, f.raw) for f in FrameReader(path)]


def recorded(folder, frames, **options):
    recorder = Recorder(folder, **options)
    for recv_ns, raw in frames:
        recorder.write("XUSDT", recv_ns, raw)
    recorder.close()
    return recorder


def test_every_frame_comes_back_in_order_with_its_time(tmp_path):
    frames = [(NOON_NS + n, frame(n)) for n in range(5_000)]
    recorder = recorded(tmp_path, frames)
    (tape,) = recorder.finished
    assert lines(tape) == frames
    assert recorder.error is None


def test_a_tape_ends_at_midnight_utc(tmp_path):
    midnight = NOON_NS + DAY_NS // 2
    frames = [(midnight - 2, frame(1)), (midnight - 1, frame(2)), (midnight, frame(3))]
    first, second = recorded(tmp_path, frames).finished
    assert (len(lines(first)), len(lines(second))) == (2, 1)
    assert first.name < second.name


def test_a_large_tape_is_followed_by_another_of_the_same_day(tmp_path):
    frames = [(NOON_NS + n * 1_000_000, frame(n)) for n in range(60_000)]
    recorder = recorded(tmp_path, frames, most_bytes=50_000)
    assert len(recorder.finished) >= 3
    assert [(f.recv_ns, f.raw) for f in merge(find_tapes(tmp_path))] == frames
    assert max(path.stat().st_size for path in recorder.finished) < 200_000


def test_each_finished_tape_has_its_checksum_beside_it(tmp_path):
    (tape,) = recorded(tmp_path, [(NOON_NS, frame(1))]).finished
    digest, name = tape.with_name(tape.name + ".sha256").read_text().split()
    assert name == tape.name
    assert digest == hashlib.sha256(tape.read_bytes()).hexdigest()


def test_a_second_recording_of_the_day_overwrites_nothing(tmp_path):
    recorded(tmp_path, [(NOON_NS, frame(1))])
    recorded(tmp_path, [(NOON_NS + 5, frame(2))])
    assert [f.recv_ns for f in merge(find_tapes(tmp_path))] == [NOON_NS, NOON_NS + 5]


def test_a_tape_torn_by_a_crash_is_finished_at_the_next_start(tmp_path):
    path = tmp_path / "xusdt_20231114.gz"
    frames = [(NOON_NS + n, frame(n)) for n in range(3_000)]
    with pytest.raises(RuntimeError), TapeWriter(path) as tape:
        for recv_ns, raw in frames:
            tape.write(recv_ns, raw)
        tape.flush()
        raise RuntimeError("crash")
    part = path.with_name(path.name + ".part")
    part.write_bytes(part.read_bytes()[:-40])
    recorder = recorded(tmp_path, [(NOON_NS + DAY_NS, frame(7))])
    kept = lines(path)
    assert 0 < len(kept) < 3_000
    assert kept == frames[: len(kept)]
    assert path in recorder.finished and len(recorder.finished) == 2
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob("*.torn"))


def test_a_repair_that_was_interrupted_itself_starts_over(tmp_path):
    path = tmp_path / "xusdt_20231114.gz"
    with TapeWriter(path) as tape:
        for n in range(100):
            tape.write(NOON_NS + n, frame(n))
    path.replace(path.with_name(path.name + ".torn"))
    with pytest.raises(RuntimeError), TapeWriter(path) as tape:
        tape.write(NOON_NS, frame(0))
        raise RuntimeError("crash")
    assert repair(tmp_path) == [path]
    assert len(lines(path)) == 100


def test_a_torn_tape_without_one_whole_line_is_set_aside(tmp_path):
    (tmp_path / "xusdt_20231114.gz.part").write_bytes(b"\x1f\x8b\x08")
    assert repair(tmp_path) == []
    assert [path.name.split(".unreadable")[0] for path in tmp_path.iterdir()] == ["xusdt_20231114.gz.torn"]
    assert free_path(tmp_path / "xusdt_20231114.gz").name == "xusdt_20231114.gz"


def test_checksums_are_replaced_whole(tmp_path):
    tape = tmp_path / "x.gz"
    tape.write_bytes(b"one")
    before = write_checksum(tape).read_text()
    tape.write_bytes(b"two")
    assert write_checksum(tape).read_text() != before


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from trader.capture import Recorder
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    told = []
    recorder = Recorder(Path(sys.argv[1]), on_error=lambda: told.append(1))
    for n in range(100_000):
        recorder.write("XUSDT", 1_700_000_000_000_000_000 + n * 1_000_000, b'{"u":%d,"x":%d}' % (n, hash(str(n))))
    recorder.close()
    print(len(told), recorder.error)
"""


def test_a_full_disk_is_told_once_and_what_was_written_stays(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("1 ") and "cannot be written" in done.stdout
    assert done.stderr == ""
    (tape,) = repair(tmp_path)
    kept = [recv_ns for recv_ns, _ in lines(tape)]
    assert len(kept) > 100
    assert kept == [1_700_000_000_000_000_000 + n * 1_000_000 for n in range(len(kept))]


def test_writing_never_waits_for_the_disk(tmp_path):
    """Queueing takes microseconds a frame while the thread compresses; the slowest thousand is bounded too."""
    recorder = Recorder(tmp_path)
    raw, slowest_s, begun = frame(1), 0.0, time.perf_counter()
    for chunk in range(50):
        chunk_s = time.perf_counter()
        for n in range(1_000):
            recorder.write("XUSDT", NOON_NS + chunk * 1_000 + n, raw)
        slowest_s = max(slowest_s, time.perf_counter() - chunk_s)
    took_s = time.perf_counter() - begun
    recorder.close()
    assert recorder.written == 50_000
    assert took_s < 5.0 and slowest_s < 1.0
