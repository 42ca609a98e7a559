"""Which version serves: chosen only among the promoted, taken back in one step, and never guessed."""

import msgspec
import pytest

from infra.cli import main
from infra.triton.config import read_config
from market.errors import CryptoScalpError
from pipelines.registry import list_models, promote, published, rollback
from pipelines.settings import PipelineError
from tests.trader.test_bundle import manifest, write
from trader.bundle import MODEL_FILE, BundleError, Gate, read_manifest, sha256_file, version_dir
from trader.serving import Serving, read_serving, serving_path, serving_version

NAME, SCHEMA = "scalper", "s1"
REFUSED = Gate(False, ("baseline: not better than class shares",))


@pytest.fixture
def repository(tmp_path):
    """Versions 1, 2, 4, 5 promoted, 3 refused; nothing chosen."""
    for version in range(1, 6):
        gate = {"gate": REFUSED} if version == 3 else {}
        write(version_dir(tmp_path, NAME, version), version=version, **gate)
    return tmp_path


def choose(repository, *versions):
    for version in versions:
        promote(repository, NAME, version, "test", SCHEMA)


def back(repository):
    return rollback(repository, NAME, "test", SCHEMA).version


def test_the_newest_serves_where_nothing_was_chosen(repository):
    assert read_serving(repository, NAME) is None
    assert serving_version(repository, NAME) == 5


def test_after_rollback_a_start_serves_the_former_version(repository):
    choose(repository, 2, 5)
    assert serving_version(repository, NAME) == 5
    assert back(repository) == 2 == serving_version(repository, NAME)


def test_rollback_goes_back_step_by_step_and_then_to_older_promoted_versions(repository):
    choose(repository, 4, 1, 2)
    assert [back(repository), back(repository)] == [1, 4]
    assert back(repository) == 5  # the newest, which served before the first choice
    serving_path(repository, NAME).unlink()
    assert [back(repository), back(repository), back(repository)] == [4, 2, 1]
    with pytest.raises(PipelineError, match="no version that may serve did so before 1"):
        back(repository)
    assert serving_version(repository, NAME) == 1


def test_what_served_before_the_first_choice_is_remembered(repository):
    choose(repository, 1)
    assert read_serving(repository, NAME).previous == (5,)
    assert back(repository) == 5


def test_rollback_without_a_choice_passes_over_what_was_refused_or_altered(repository):
    (version_dir(repository, NAME, 4) / MODEL_FILE).write_bytes(b"altered")
    assert back(repository) == 2


def test_triton_keeps_what_serves_beside_the_newest(repository):
    choose(repository, 1)
    assert list(read_config(repository, NAME).version_policy.specific.versions) == [1, 4, 5]


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_refused_version_cannot_be_promoted(repository, capsys, by_hand):
    choose(repository, 2)
    if by_hand:
        assert main.run(["models", "promote", f"{NAME}@3", "--repository", str(repository)]) == 2
    else:
        with pytest.raises(PipelineError, match="refused by its gate: baseline: not better"):
            choose(repository, 3)
    assert serving_version(repository, NAME) == 2


def test_a_version_that_is_altered_or_of_another_schema_cannot_be_promoted(repository):
    with pytest.raises(BundleError, match="schema_id"):
        promote(repository, NAME, 2, "test", "s2")
    (version_dir(repository, NAME, 2) / MODEL_FILE).write_bytes(b"altered")
    with pytest.raises(BundleError, match="altered"):
        choose(repository, 2)
    assert read_serving(repository, NAME) is None


@pytest.mark.parametrize(
    "broken", [b"", b"{", b'{"version": "5"}', b'{"version": 9, "since_ns": 1, "reason": ""}', b"null"]
)
def test_a_broken_choice_is_one_error_and_never_the_newest_version(repository, broken):
    choose(repository, 2)
    serving_path(repository, NAME).write_bytes(broken)
    with pytest.raises(CryptoScalpError, match=r"serving\.json") as refused:
        serving_version(repository, NAME)
    assert f"models promote {NAME}@VERSION" in refused.value.fix
    choose(repository, 4)
    assert serving_version(repository, NAME) == 4


def test_a_choice_that_cannot_be_written_leaves_the_former_one(repository, monkeypatch):
    choose(repository, 2)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PipelineError, match="cannot be written"):
        choose(repository, 5)
    assert serving_version(repository, NAME) == 2
    assert [path.name for path in serving_path(repository, NAME).parent.glob("*.part")] == []


def test_publishing_serves_the_promoted_and_a_shadow_where_nothing_else_can(repository):
    choose(repository, 2)
    published(repository, read_manifest(version_dir(repository, NAME, 5)))
    assert (serving_version(repository, NAME), read_serving(repository, NAME).previous) == (5, (2,))
    write(version_dir(repository, NAME, 6), version=6, gate=REFUSED)
    published(repository, read_manifest(version_dir(repository, NAME, 6)))
    assert serving_version(repository, NAME) == 6


def test_the_choice_is_read_as_it_was_written(repository):
    made = promote(repository, NAME, 2, "because", SCHEMA)
    assert read_serving(repository, NAME) == made
    assert msgspec.json.decode(serving_path(repository, NAME).read_bytes()) == {
        "version": 2, "since_ns": made.since_ns, "reason": "because", "previous": [5]
    }  # fmt: skip
    assert isinstance(made, Serving)


def test_every_version_is_listed_broken_ones_too(repository):
    choose(repository, 2)
    (version_dir(repository, NAME, 4) / "manifest.json").unlink()
    found = {listed.version: listed for listed in list_models(repository)}
    assert sorted(found) == [1, 2, 3, 4, 5]
    assert [v for v, listed in found.items() if listed.serving] == [2]
    assert "no such file" in found[4].problem
    assert found[1].manifest == manifest(sha256_file(version_dir(repository, NAME, 1) / MODEL_FILE))
