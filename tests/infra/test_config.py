"""The serving configuration is Triton's own message, and survives being written and read."""

import pytest

from infra.errors import ModelError
from infra.triton.client import Answer, decode, encode
from infra.triton.config import model_names, read_config, write_config


def test_a_written_config_reads_back(tmp_path):
    path = write_config(tmp_path, "scalper", 64, 16, 25, 4)
    config = read_config(tmp_path, "scalper")
    assert path == tmp_path / "scalper" / "config.pbtxt"
    assert (config.name, config.backend, config.max_batch_size) == ("scalper", "onnxruntime", 64)
    assert [(t.name, list(t.dims)) for t in config.input] == [("x", [16, 25])]
    assert [(t.name, list(t.dims)) for t in config.output] == [("proba", [3]), ("members", [4, 3])]
    assert config.version_policy.latest.num_versions == 2
    assert config.instance_group[0].Kind.Name(config.instance_group[0].kind) == "KIND_AUTO"
    assert list(config.model_warmup[0].inputs["x"].dims) == [16, 25]
    assert [p.name for p in path.parent.iterdir()] == ["config.pbtxt"]


def test_versions_can_be_named_and_the_place_chosen(tmp_path):
    write_config(tmp_path, "scalper", 1, 16, 25, 4, versions=[7, 3], kind="KIND_CPU")
    config = read_config(tmp_path, "scalper")
    assert list(config.version_policy.specific.versions) == [3, 7]
    assert config.instance_group[0].Kind.Name(config.instance_group[0].kind) == "KIND_CPU"


@pytest.mark.parametrize(("text", "reason"), [(None, "does not exist"), ('name: "a"\nbackend {', "malformed")])
def test_a_missing_or_malformed_config_is_named(tmp_path, text, reason):
    if text is not None:
        (tmp_path / "scalper").mkdir()
        (tmp_path / "scalper" / "config.pbtxt").write_text(text)
    with pytest.raises(ModelError, match=reason) as caught:
        read_config(tmp_path, "scalper")
    assert "scalper/config.pbtxt" in caught.value.message


def test_only_models_with_a_version_on_disk_are_listed(tmp_path):
    write_config(tmp_path, "later", 1, 16, 25, 4)
    write_config(tmp_path, "ready", 1, 16, 25, 4)
    (tmp_path / "ready" / "12").mkdir()
    (tmp_path / "ready" / ".staging-13").mkdir()
    assert model_names(tmp_path) == ["ready"]


def test_a_binary_request_says_where_its_data_begin():
    headers, body = encode([[[1.5, -2.0]]])
    start = int(headers["Inference-Header-Content-Length"])
    assert b'"shape": [1, 1, 2]' in body[:start]
    assert body[start:] == bytes.fromhex("0000c03f000000c0")


def test_outputs_that_are_not_binary_float32_are_refused():
    body = b'{"outputs": [{"name": "proba", "datatype": "FP64", "shape": [1, 3], "data": [0, 1, 0]}]}'
    with pytest.raises(ModelError, match="proba is not binary float32"):
        decode(Answer(200, None, body))
