"""The door: quick help, lazy commands, explained errors with exit code 2."""

import errno
import json
import os
import resource
import subprocess
import sys

import pytest
import typer

from infra.cli import main
from infra.cli.failures import explain
from market.errors import CryptoScalpError, TapeError


def test_help_lists_the_commands_and_imports_none_of_them():
    code = (
        "import sys; from infra.cli.main import run; run(['--help'])\n"
        "print([m for m in sys.modules if m.startswith('infra.cli.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"doctor", "serve", "up"} <= set(done.stdout.split())
    assert done.stderr.strip() == "['infra.cli.failures', 'infra.cli.main']"


def test_help_is_quick():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "infra.cli.main", "--help"], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


@pytest.mark.parametrize("name", [name for name in main.COMMANDS if (main.HERE / f"{name}.py").exists()])
def test_every_command_has_help(name, capsys):
    assert main.run([name, "--help"]) == 0
    assert "--help" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["doctr"], "Did you mean 'doctor'"),
        (["serve", "--nope"], "No such option: --nope"),
        (["serve", "--http-port", "high"], "--http-port"),
        (["serve", "--http-port", "70000"], "--http-port"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_a_fix(arguments, message, capsys):
    assert main.run(arguments) == 2
    error, fix = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert fix.startswith("fix: see `cryptoscalp")


def test_an_expected_error_of_a_command_ends_with_its_fix(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CRYPTOSCALP_TRITON_VENV", str(tmp_path / "nowhere"))
    assert main.run(["serve", "--home", str(tmp_path), "--repository", str(tmp_path / "models")]) == 2
    error, fix = capsys.readouterr().err.splitlines()
    assert "nowhere" in error
    assert "make setup" in fix


def raised_from(error, cause):
    try:
        raise error from cause
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "message", "fix"),
    [
        (TapeError("x.gz is empty", "record again"), "x.gz is empty", "record again"),
        (raised_from(RuntimeError("step failed"), CryptoScalpError("a", "b")), "a", "b"),
        (OSError(errno.ENOSPC, "No space left", "/d/f"), "no space left while writing /d/f", "free some space"),
        (raised_from(ValueError("x"), OSError(errno.EDQUOT, "Quota")), "no space left while writing the disk", "free"),
        (PermissionError(errno.EACCES, "Permission denied", "/d"), "cannot use /d: Permission denied", "access"),
        (ModuleNotFoundError("No module", name="torch.nn"), "the package torch.nn is not installed", "make setup"),
        (typer.BadParameter("too high"), "too high", "--help"),
    ],
)
def test_expected_failures_are_explained(error, message, fix):
    explained = explain(error)
    assert explained is not None
    assert message in explained[0]
    assert fix in explained[1]


@pytest.mark.parametrize(
    "error",
    [ValueError("a bug"), OSError(errno.EIO, "I/O"), ModuleNotFoundError("x", name="trader.gone"), KeyError("k")],
)
def test_a_bug_is_not_explained_away(error):
    assert explain(error) is None


def test_an_interrupt_gives_130(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "app", interrupted)
    assert main.run(["doctor"]) == 130


def test_quick_doctor_reports_every_check_as_json(tmp_path, capsys):
    code = main.run(["doctor", "--quick", "--json", "--home", str(tmp_path), "--repository", str(tmp_path / "none")])
    report = json.loads(capsys.readouterr().out)
    rows = {row["check"]: row for row in report["checks"]}
    assert {"python", "packages", "disk", "triton environment", "models"} <= rows.keys()
    assert rows["python"]["state"] == "ok"
    assert rows["models"]["state"] == "warn"
    assert "make demo" in rows["models"]["fix"]
    assert all(row["fix"] for row in rows.values() if row["state"] != "ok")
    assert code == (0 if report["healthy"] else 1)


def test_doctor_fails_with_a_fix_when_triton_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CRYPTOSCALP_TRITON_VENV", str(tmp_path))
    assert main.run(["doctor", "--quick", "--json", "--home", str(tmp_path)]) == 1
    rows = {row["check"]: row for row in json.loads(capsys.readouterr().out)["checks"]}
    assert rows["triton environment"]["state"] == "fail"
    assert "make setup" in rows["triton environment"]["fix"]


def test_completion_offers_commands_and_their_options():
    def offered(words):
        env = {"_CRYPTOSCALP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        code = "from infra.cli.main import run; run()"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **env}, check=False
        )
        return set(done.stdout.split())

    assert {"doctor", "serve"} <= offered("cryptoscalp ")
    assert "--quick" in offered("cryptoscalp doctor --q")


@pytest.mark.integration
def test_doctor_starts_every_server(tmp_path, capsys):
    main.run(["doctor", "--json", "--home", str(tmp_path)])
    rows = {row["check"]: row for row in json.loads(capsys.readouterr().out)["checks"]}
    for server in ("triton", "postgres", "redis"):
        assert rows[server]["state"] == "ok", rows[server]
