"""A small real bundle: the last imbalance through a softmax, with a manifest that tells the truth about it."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from features.schema import COUNT, INDEX, SCHEMA_ID, WINDOW
from infra.triton.config import write_config
from trader.bundle import Calibration, Data, Gate, KnownAnswer, Label, Manifest, Metrics

NAME = "scalper"


def graph() -> onnx.ModelProto:
    """Softmax over (down, flat, up) of the last queue imbalance, muted so that quotes go out on both sides."""
    weight = np.zeros((COUNT, 3), np.float32)
    weight[INDEX["imbalance"]] = [-0.8, 0.0, 0.8]
    constants = {
        "last": np.array(WINDOW - 1, np.int64),
        "weight": weight,
        "bias": np.array([0.0, 1.0, 0.0], np.float32),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["x", "last"], ["row"], axis=1),
        helper.make_node("Gemm", ["row", "weight", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["proba"], axis=-1),
        helper.make_node("Unsqueeze", ["proba", "axis"], ["member"]),
        helper.make_node("Concat", ["member"] * 4, ["members"], axis=1),
    ]
    io = helper.make_tensor_value_info
    body = helper.make_graph(
        nodes,
        "small",
        [io("x", TensorProto.FLOAT, ["batch", WINDOW, COUNT])],
        [io("proba", TensorProto.FLOAT, ["batch", 3]), io("members", TensorProto.FLOAT, ["batch", 4, 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def publish_small(repository: Path, promoted: bool = True) -> Path:
    """Version 1 of the small model in ``repository``."""
    folder = repository / NAME / "1"
    folder.mkdir(parents=True)
    onnx.save(graph(), folder / "model.onnx")
    x = np.zeros((1, WINDOW, COUNT), np.float32)
    proba = ort.InferenceSession(folder / "model.onnx").run(["proba"], {"x": x})[0][0]
    manifest = Manifest(
        name=NAME,
        version=1,
        schema_id=SCHEMA_ID,
        window=WINDOW,
        features=COUNT,
        sha256={"model.onnx": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()},
        state="onnx_only",
        state_reason="",
        data=Data("", 0, 1, 1, 0, (), ""),
        calibration=Calibration(0, ""),
        parity={},
        metrics=Metrics(0, 1.0, 1.0, 1.0, 1.0, 0.0, None, 0.0, {}, {}),
        gate=Gate(promoted, ()),
        known_answer=KnownAnswer(x.tolist(), proba.tolist()),
        label=Label("nl", 50, 10.0),
        created_ns=1,
        code_version="",
    )
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    write_config(repository, NAME, 16, WINDOW, COUNT, 4)
    return repository
