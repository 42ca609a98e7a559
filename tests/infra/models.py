"""Small real ONNX graphs with the bundle's inputs and outputs."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WINDOW, FEATURES, MEMBERS = 16, 25, 4


def write_model(path: Path, seed: int) -> Path:
    """Flattened window times seeded weights, soft-maxed per member; ``proba`` is the members' mean."""
    weights = np.random.default_rng(seed).normal(0, 0.1, (WINDOW * FEATURES, MEMBERS * 3)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Reshape", ["logits", "shape"], ["grouped"]),
        helper.make_node("Softmax", ["grouped"], ["members"], axis=2),
        helper.make_node("ReduceMean", ["members", "axis"], ["proba"], keepdims=0),
    ]
    constants = {
        "weights": weights,
        "shape": np.array([-1, MEMBERS, 3], np.int64),
        "axis": np.array([1], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WINDOW, FEATURES])],
        [
            helper.make_tensor_value_info("proba", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("members", TensorProto.FLOAT, ["batch", MEMBERS, 3]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def rows(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (batch, WINDOW, FEATURES)).astype(np.float32)
