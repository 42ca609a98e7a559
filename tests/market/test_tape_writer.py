"""A tape under a crash, a full disk, or a second writer."""

import os
import signal
import subprocess
import sys
from io import FileIO
from pathlib import Path

import pytest

from market.errors import TapeError
from market.tape import FrameReader, TapeWriter, tape_name
from tests.market.wire import NS, trade

FRAMES = [(NS + index * 1_000_000, trade(index)) for index in range(3000)]


def read(path):
    reader = FrameReader(path)
    return [(frame.recv_ns, frame.raw) for frame in reader], reader.truncated


def test_frames_come_back_and_only_a_finished_tape_has_its_name(tmp_path):
    path = tmp_path / "deep" / tape_name("XYZUSDT", NS)
    with TapeWriter(path) as writer:
        for recv_ns, raw in FRAMES:
            writer.write(recv_ns, raw)
        assert not path.exists()
    writer.close()
    assert read(path) == (FRAMES, False)
    assert [child.name for child in path.parent.iterdir()] == ["xyzusdt_20231114.gz"]


def test_same_frames_make_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        with TapeWriter(tmp_path / name) as writer:
            for recv_ns, raw in FRAMES:
                writer.write(recv_ns, raw)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_finished_tape_is_never_overwritten(tmp_path):
    path = tmp_path / "t.gz"
    TapeWriter(path).close()
    with pytest.raises(TapeError, match="exists already"):
        TapeWriter(path)


def test_an_exception_keeps_the_part_and_a_new_writer_continues_it(tmp_path):
    path = tmp_path / "t.gz"
    with pytest.raises(KeyboardInterrupt), TapeWriter(path) as writer:
        for recv_ns, raw in FRAMES[:1000]:
            writer.write(recv_ns, raw)
        raise KeyboardInterrupt
    assert not path.exists()
    with TapeWriter(path) as writer:
        for recv_ns, raw in FRAMES[1000:]:
            writer.write(recv_ns, raw)
    assert read(path) == (FRAMES, False)


def test_without_resume_a_leftover_part_is_started_afresh(tmp_path):
    path = tmp_path / "t.gz"
    writer = TapeWriter(path)
    writer.write(*FRAMES[0])
    writer.flush()
    with TapeWriter(path, resume=False) as again:
        again.write(*FRAMES[1])
    assert read(path) == ([FRAMES[1]], False)


def test_a_killed_writer_loses_at_most_its_last_second(tmp_path):
    path = tmp_path / "t.gz"
    code = (
        "import os, signal, sys; from pathlib import Path; from market.tape import TapeWriter\n"
        "writer = TapeWriter(Path(sys.argv[1]))\n"
        f"for i in range(5500): writer.write({NS} + i * 1_000_000, b'{{\"i\":%d}}' % i)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=os.environ | {"PYTHONPATH": str(root)}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    frames, truncated = read(path.with_name("t.gz.part"))
    assert truncated and len(frames) > 4500
    assert [raw for _, raw in frames] == [b'{"i":%d}' % index for index in range(len(frames))]
    TapeWriter(path).close()
    assert read(path) == (frames, False)


def test_a_path_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TapeError, match="cannot be written"):
        TapeWriter(tmp_path / "file" / "t.gz")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_one_clear_error_and_nothing_is_lost_when_it_has_room_again(tmp_path):
    writer = TapeWriter(tmp_path / "t.gz")
    writer.write(*FRAMES[0])
    disk, writer._file = writer._file, FileIO("/dev/full", "w")
    with pytest.raises(TapeError, match="No space left") as caught:
        writer.write(NS + 5_000_000_000, FRAMES[1][1])
    assert "t.gz.part" in caught.value.message
    writer._file.close()
    writer._file = disk
    writer.write(*FRAMES[2])
    writer.close()
    assert read(tmp_path / "t.gz") == ([FRAMES[0], (NS + 5_000_000_000, FRAMES[1][1]), FRAMES[2]], False)
