"""``config.pbtxt``: what Triton is told about a model, written and read through Triton's own protobuf."""

import os
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from infra.errors import ModelError

CONFIG_FILE = "config.pbtxt"
CLASSES = 3
KEPT_VERSIONS = 2
WARMUP_RUNS = 20


def _tensor(name: str, dims: Sequence[int]) -> dict[str, object]:
    return {"name": name, "data_type": pb.TYPE_FP32, "dims": list(dims)}


def _version_policy(versions: Sequence[int]) -> pb.ModelVersionPolicy:
    if versions:
        return pb.ModelVersionPolicy(specific={"versions": sorted(versions)})
    return pb.ModelVersionPolicy(latest={"num_versions": KEPT_VERSIONS})


def _warmup(window: int, features: int) -> pb.ModelWarmup:
    zeros = {"data_type": pb.TYPE_FP32, "dims": [window, features], "zero_data": True}
    return pb.ModelWarmup(name="first_calls", batch_size=1, count=WARMUP_RUNS, inputs={"x": zeros})


def build_config(
    name: str,
    max_batch: int,
    window: int,
    features: int,
    members: int,
    versions: Sequence[int] = (),
    kind: str = "KIND_AUTO",
) -> pb.ModelConfig:
    """The serving configuration of one bundle.

    Parameters
    ----------
    name
        Model name, and its folder's.
    max_batch
        Largest batch in one request.
    window, features
        Shape of one input row block: ``x`` float32 ``[batch, window, features]``.
    members
        Ensemble members in ``members`` float32 ``[batch, members, 3]``.
    versions
        Versions to keep loaded; empty keeps the newest two.
    kind
        ``KIND_AUTO`` (a GPU where there is one), ``KIND_CPU`` or ``KIND_GPU``.
    """
    return pb.ModelConfig(
        name=name,
        backend="onnxruntime",
        max_batch_size=max_batch,
        input=[_tensor("x", (window, features))],
        output=[_tensor("proba", (CLASSES,)), _tensor("members", (members, CLASSES))],
        version_policy=_version_policy(versions),
        instance_group=[{"count": 1, "kind": pb.ModelInstanceGroup.Kind.Value(kind)}],
        model_warmup=[_warmup(window, features)],
    )


def write_config(
    repository: Path,
    name: str,
    max_batch: int,
    window: int,
    features: int,
    members: int,
    versions: Sequence[int] = (),
    kind: str = "KIND_AUTO",
) -> Path:
    """Write ``<repository>/<name>/config.pbtxt`` in one step (see :func:`build_config`); return its path."""
    path = repository / name / CONFIG_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    config = build_config(name, max_batch, window, features, members, versions, kind)
    part.write_text(text_format.MessageToString(config))
    part.replace(path)
    return path


def read_config(repository: Path, name: str) -> pb.ModelConfig:
    """Parse a model's configuration; ModelError names the file when it is absent or malformed."""
    path = repository / name / CONFIG_FILE
    try:
        return text_format.Parse(path.read_text(), pb.ModelConfig())
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist", "publish a model: `cryptoscalp train`") from error
    except text_format.ParseError as error:
        raise ModelError(f"{path} is malformed: {error}", "publish the model again: `cryptoscalp train`") from error


def model_names(repository: Path) -> list[str]:
    """Models in a repository that have a configuration and at least one version on disk, sorted."""
    return sorted(c.parent.name for c in repository.glob(f"*/{CONFIG_FILE}") if versions_on_disk(c.parent))


def versions_on_disk(model: Path) -> list[int]:
    """Versions of one model folder, oldest first."""
    return sorted(int(v.name) for v in model.iterdir() if v.name.isdigit() and v.is_dir())
