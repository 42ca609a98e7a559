"""One merged ONNX graph: scaler, all members, calibration and blend, so that serving is one call with no glue.

Input ``x`` float32 [batch, T, F], unscaled, oldest row first. Outputs ``proba`` [batch, 3] (down, flat, up) and
``members`` [batch, M, 3] (calibrated, in ``trader.bundle.MEMBERS`` order). An input row that holds a NaN or an infinity
makes all of that sample's outputs NaN: operators differ in what they let through, so a guard term says it once for all.
Written for opset 17 and ONNX-ML 3, which every ONNX Runtime since 1.13 reads, including the one in Triton's containers.
"""

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipelines.ensemble import FLOOR, Blend
from pipelines.lstm import HIDDEN, Lstm
from pipelines.members import CLASS_COUNT, CLIP, Logistic, Scaler, Trees
from trader.bundle import CLASSES, MEMBERS

OPSET: Final = 17
ML_OPSET: Final = 3
IR_VERSION: Final = 8


class Parts(msgspec.Struct, frozen=True):
    """All that goes into the graph. ``window`` is T; the scaler's length is F."""

    scaler: Scaler
    logistic: Logistic
    forest: Trees
    xgboost: Trees
    lstm: Lstm
    blend: Blend
    window: int


class Builder:
    """Collects nodes and constants; every method returns the name of the value it made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype, order="C"), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes))
        return output


def build_graph(parts: Parts, schema_id: str) -> onnx.ModelProto:
    """The merged, checked model; equal parts give equal bytes."""
    b = Builder()
    scaled = _scale(b, parts.scaler)
    at_last = b.constant("last_index", parts.window - 1, np.int64)
    last = b.node("Gather", ["x", at_last], "last_row", axis=1)
    scaled_last = b.node("Gather", [scaled, at_last], "scaled_last_row", axis=1)
    raw = [
        _logistic(b, parts.logistic, scaled_last),
        _trees(b, parts.forest, "forest", last),
        _trees(b, parts.xgboost, "xgboost", last),
        _lstm(b, parts.lstm, scaled),
    ]
    _blend(b, parts.blend, raw)
    return _model(b, parts, schema_id)


def _scale(b: Builder, scaler: Scaler) -> str:
    centred = b.node("Sub", ["x", b.constant("scaler_mean", scaler.mean)], "centred")
    scaled = b.node("Mul", [centred, b.constant("scaler_inverse", scaler.inverse)], "unclipped")
    return b.node("Clip", [scaled, b.constant("clip_low", -CLIP), b.constant("clip_high", CLIP)], "scaled")


def _logistic(b: Builder, model: Logistic, row: str) -> str:
    inputs = [row, b.constant("logistic_weight", model.weight), b.constant("logistic_bias", model.bias)]
    return b.node("Softmax", [b.node("Gemm", inputs, "logistic_logits")], "logistic", axis=-1)


def _trees(b: Builder, trees: Trees, name: str, row: str) -> str:
    raw = f"{name}_margins" if trees.margins else name
    attributes = _node_attributes(trees) | _leaf_attributes(trees)
    b.node("TreeEnsembleRegressor", [row], raw, domain="ai.onnx.ml", n_targets=CLASS_COUNT, **attributes)
    return b.node("Softmax", [raw], name, axis=-1) if trees.margins else raw


def _owner(trees: Trees) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of every node: its tree, and its id within that tree."""
    sizes = np.diff(np.append(trees.roots, len(trees.feature)))
    tree = np.repeat(np.arange(len(sizes)), sizes)
    return tree, np.arange(len(tree)) - trees.roots[tree]


def _node_attributes(trees: Trees) -> dict[str, Any]:
    tree, within = _owner(trees)
    inner = trees.feature >= 0
    branch = "BRANCH_LT" if trees.strict else "BRANCH_LEQ"
    return {
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": within.tolist(),
        "nodes_featureids": np.maximum(trees.feature, 0).tolist(),
        "nodes_modes": [branch if is_inner else "LEAF" for is_inner in inner],
        "nodes_values": trees.threshold.tolist(),
        "nodes_truenodeids": np.where(inner, trees.left - trees.roots[tree], 0).tolist(),
        "nodes_falsenodeids": np.where(inner, trees.right - trees.roots[tree], 0).tolist(),
    }


def _leaf_attributes(trees: Trees) -> dict[str, Any]:
    """Leaf values by class; a boosted tree speaks of one class only, so its zeros are left out."""
    tree, within = _owner(trees)
    speaks = (trees.feature < 0)[:, None] & ((trees.value != 0) | (not trees.margins))
    node, klass = np.nonzero(speaks)
    return {
        "target_treeids": tree[node].tolist(),
        "target_nodeids": within[node].tolist(),
        "target_ids": klass.tolist(),
        "target_weights": trees.value[node, klass].tolist(),
        "base_values": trees.base.tolist(),
        "aggregate_function": "SUM",
        "post_transform": "NONE",
    }


def _gates(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Rows from torch's gate order (i, f, g, o) to that of ONNX (i, o, f, c); g is c."""
    i, f, g, o = np.split(array, 4)
    return np.concatenate([i, o, f, g])


def _lstm(b: Builder, model: Lstm, scaled: str) -> str:
    steps = b.node("Transpose", [scaled], "lstm_steps", perm=[1, 0, 2])
    first = _lstm_layer(b, model, 0, steps)
    ahead = b.node("Squeeze", [first, b.constant("lstm_directions", [1], np.int64)], "lstm_layer0_states")
    second = _lstm_layer(b, model, 1, ahead)
    state = b.node("Squeeze", [second, b.constant("lstm_only", [0], np.int64)], "lstm_state")
    hidden = b.node("Relu", [_dense(b, state, "lstm_hidden", model.hidden_weight, model.hidden_bias)], "lstm_active")
    return b.node("Softmax", [_dense(b, hidden, "lstm_out", model.out_weight, model.out_bias)], "lstm", axis=-1)


def _lstm_layer(b: Builder, model: Lstm, layer: int, steps: str) -> str:
    """All states [T, 1, batch, H] of the first layer; the final state [1, batch, H] of the last."""
    name = f"lstm_layer{layer}"
    bias = np.concatenate([_gates(getattr(model, f"bias_{part}_l{layer}")) for part in ("ih", "hh")])
    inputs = [
        steps,
        b.constant(f"{name}_w", _gates(getattr(model, f"weight_ih_l{layer}"))[None]),
        b.constant(f"{name}_r", _gates(getattr(model, f"weight_hh_l{layer}"))[None]),
        b.constant(f"{name}_b", bias[None]),
    ]
    outputs = [f"{name}_all"] if layer == 0 else ["", f"{name}_final"]
    b.nodes.append(helper.make_node("LSTM", inputs, outputs, name=name, hidden_size=HIDDEN))
    return outputs[-1]


def _dense(b: Builder, value: str, name: str, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> str:
    inputs = [value, b.constant(f"{name}_weight", weight.T), b.constant(f"{name}_bias", bias)]
    return b.node("Gemm", inputs, f"{name}_dense")


def _blend(b: Builder, blend: Blend, raw: list[str]) -> None:
    """Mirrors ``ensemble.apply_blend``, then adds the guard to both outputs."""
    axis = b.constant("member_axis", [1], np.int64)
    stacked = b.node("Concat", [b.node("Unsqueeze", [p, axis], f"{p}_row") for p in raw], "raw_members", axis=1)
    logs = b.node("Log", [b.node("Max", [stacked, b.constant("floor", FLOOR)], "floored")], "raw_logs")
    slopes = np.array([[c.slope] for c in blend.members])
    sloped = b.node("Mul", [logs, b.constant("member_slopes", slopes)], "sloped")
    biases = b.constant("member_biases", np.array([c.bias for c in blend.members]))
    logits = b.node("Add", [sloped, biases], "member_logits")
    weighted = b.node(
        "Mul",
        [
            b.node("LogSoftmax", [logits], "member_logs", axis=-1),
            b.constant("weights", np.array(blend.weights)[:, None]),
        ],
        "weighted",
    )
    pooled = b.node("LogSoftmax", [b.node("ReduceSum", [weighted, axis], "pool_sum", keepdims=0)], "pooled", axis=-1)
    sharpened = b.node("Mul", [pooled, b.constant("final_slope", blend.final.slope)], "final_sloped")
    final = b.node("Add", [sharpened, b.constant("final_bias", blend.final.bias)], "final_logits")
    _guard(
        b, b.node("Softmax", [final], "unguarded", axis=-1), b.node("Softmax", [logits], "unguarded_members", axis=-1)
    )


def _guard(b: Builder, proba: str, members: str) -> None:
    """0 for a finite sample, NaN for any other: 0 * NaN and 0 * inf are both NaN."""
    nothing = b.node("Mul", ["x", b.constant("zero", 0.0)], "nothing")
    over = b.constant("sample_axes", [1, 2], np.int64)
    b.node("Add", [members, b.node("ReduceSum", [nothing, over], "guard", keepdims=1)], "members")
    b.node("Add", [proba, b.node("Squeeze", ["guard", b.constant("guard_axis", [2], np.int64)], "guard_row")], "proba")


def _model(b: Builder, parts: Parts, schema_id: str) -> onnx.ModelProto:
    features = len(parts.scaler.mean)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", parts.window, features])
    proba = helper.make_tensor_value_info("proba", TensorProto.FLOAT, ["batch", CLASS_COUNT])
    members = helper.make_tensor_value_info("members", TensorProto.FLOAT, ["batch", len(MEMBERS), CLASS_COUNT])
    graph = helper.make_graph(b.nodes, "scalper", [x], [proba, members], b.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="cryptoscalp")
    described = {
        "schema_id": schema_id,
        "window": str(parts.window),
        "features": str(features),
        "classes": ",".join(CLASSES),
        "members": ",".join(MEMBERS),
    }
    helper.set_model_props(model, described)
    onnx.checker.check_model(model, full_check=True)
    return model


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Deterministic serialization."""
    return model.SerializeToString(deterministic=True)
