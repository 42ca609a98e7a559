"""Bad input at the front door: one sentence that names the file, a fix, exit code 2, never a trace."""

import gzip
import random

import pytest

from infra.cli.main import run as main
from market.simulator.generator import generate

pytestmark = pytest.mark.integration
QUOTE = (
    b'{"stream":"abcusdt@bookTicker","data":{"e":"bookTicker","u":%d,"s":"ABCUSDT","b":"1.0","B":"5","a":"1.1","A":"5",'
    b'"T":%d,"E":%d}}'
)


def lines(count=50, first_ms=1_700_000_000_000):
    return [b"%d " % ((first_ms + i) * 1_000_000) + QUOTE % (i, first_ms + i, first_ms + i) for i in range(count)]


def tape(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"\n".join(content) + b"\n"))
    return path


def missing(folder):
    return folder / "none"


def empty_folder(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


def empty_file(folder):
    (folder / "zero.gz").touch()
    return folder / "zero.gz"


def no_json(folder):
    return tape(folder / "text.gz", [b"hello", b"world"])


def foreign(folder):
    return tape(
        folder / "okx.gz", [b'1700000000000000000 {"arg":{"channel":"books","instId":"A-USDT-SWAP"},"data":[]}']
    )


def no_gzip(folder):
    (folder / "plain.gz").write_bytes(b"\x00\x01\x02" * 100)
    return folder / "plain.gz"


def too_short(folder):
    return tape(folder / "short.gz", lines())


def run(capsys, *arguments):
    code = main([str(part) for part in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("make", [missing, empty_folder, empty_file, no_json, no_gzip, too_short])
def test_demo_refuses_a_tape_it_cannot_use(make, tmp_path, capsys):
    path = make(tmp_path)
    home = tmp_path / "home"
    code, _, said = run(capsys, "demo", "--tape", path, "--home", home, "--repository", tmp_path / "models")
    assert code == 2
    assert str(path) in said and "fix:" in said
    assert "Traceback" not in said
    assert not (home / "summary.json").exists()


@pytest.mark.parametrize("make", [missing, empty_folder, empty_file, no_json, no_gzip])
def test_tape_stats_refuses_what_is_no_tape(make, tmp_path, capsys):
    path = make(tmp_path)
    code, _, said = run(capsys, "tape", "stats", path, "--json")
    assert code == 2
    assert str(path) in said and "fix:" in said


def test_a_truncated_tape_is_read_up_to_the_tear(tmp_path, capsys):
    whole = tape(tmp_path / "t" / "abcusdt.gz", lines(5000))
    whole.write_bytes(whole.read_bytes()[:-200])
    code, out, said = run(capsys, "tape", "stats", whole, "--json")
    assert code == 0
    assert '"frames": 0' not in out
    assert "torn" in said


def test_lines_out_of_order_and_broken_lines_are_counted_not_fatal(tmp_path, capsys):
    rows = lines(200)
    random.Random(1).shuffle(rows)
    rows[100:100] = [b"garbage", b"1700000000000000000 {broken", b"12 "]
    code, out, _ = run(capsys, "tape", "stats", tape(tmp_path / "abcusdt.gz", rows), "--json")
    assert code == 0
    assert '"bookTicker": 200' in out
    assert '"quarantined": 3' in out


def test_an_unknown_trader_setting_is_refused_with_the_nearest_name(tmp_path, capsys):
    (tmp_path / "t.toml").write_text("requote_mss = 5\n")
    code, _, said = run(
        capsys,
        "trade",
        "--symbols",
        "A",
        "--rest",
        "x",
        "--ws",
        "y",
        "--config",
        tmp_path / "t.toml",
        "--home",
        tmp_path,
    )
    assert code == 2
    assert "requote_ms?" in said


def test_a_folder_without_a_journal_is_not_replayed(tmp_path, capsys):
    generate(tmp_path / "market", 1, minutes=0.2)
    code, _, said = run(capsys, "replay", tmp_path / "market")
    assert code == 2
    assert "journal" in said and "fix:" in said
