"""int8 is real or it is refused: Q/DQ nodes exist, outputs move, the log loss stays in its budget."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from features.schema import COUNT, SCHEMA_ID, WINDOW
from pipelines.candidate import row_samples
from pipelines.dataset import CALIBRATE, TEST
from pipelines.evaluate import open_session, run_graph
from pipelines.members import samples
from pipelines.quantize import (
    CALIBRATION_ROWS,
    calibration_rows,
    describe_calibration,
    quantize,
    quantize_model,
    quantized_nodes,
)
from tests.pipelines.model_data import trained


@pytest.fixture(scope="module")
def calibrate():
    return calibration_rows(samples(trained().dataset, CALIBRATE).x)


@pytest.fixture(scope="module")
def int8(calibrate):
    return quantize_model(trained().model, calibrate)


def test_every_dense_node_is_quantized_per_channel_and_nothing_else(int8):
    nodes = onnx.load_from_string(int8).graph.node
    dense = [node for node in nodes if node.op_type == "Gemm"]
    assert quantized_nodes(int8) == len(dense) == 3
    assert quantized_nodes(trained().model) == 0
    ops = [node.op_type for node in nodes]
    assert ops.count("LSTM") == ops.count("TreeEnsembleRegressor") == 2
    scales = {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(int8).graph.initializer}
    assert scales["lstm_hidden_weight_scale"].shape == (32,)
    zero_points = [value for name, value in scales.items() if name.endswith("zero_point")]
    assert zero_points
    assert all(not value.any() for value in zero_points)


def test_the_published_form_passes_the_budget_and_differs(calibrate):
    test = samples(trained().dataset, TEST)
    found = quantize(trained().model, calibrate, test.x, test.y)
    assert found.refused == ""
    assert found.nodes == 3
    assert 0 < found.max_abs_diff < 0.2
    proba, _ = run_graph(open_session(found.model), test.x)
    assert np.allclose(proba.sum(axis=1), 1, atol=1e-5)


def test_int8_still_answers_nan_to_a_broken_input(int8, calibrate):
    spoilt = calibrate[:3].copy()
    spoilt[1, 0, 3] = np.nan
    proba, _ = run_graph(open_session(int8), spoilt)
    assert np.isnan(proba).any(axis=1).tolist() == [False, True, False]


def test_metadata_and_bytes_are_kept_and_repeat(int8, calibrate):
    said = {prop.key: prop.value for prop in onnx.load_from_string(int8).metadata_props}
    assert said["schema_id"] == SCHEMA_ID
    assert said["precision"] == "int8"
    assert quantize_model(trained().model, calibrate) == int8


def test_ranges_seen_on_nothing_but_calm_rows_blow_the_budget():
    t = trained()
    test = samples(t.dataset, TEST)
    calm = np.repeat(row_samples(t.dataset, CALIBRATE).x.mean(axis=0, keepdims=True), 32, axis=0)
    found = quantize(t.model, np.repeat(calm, WINDOW, axis=1), test.x, test.y)
    assert "exceeds the budget" in found.refused


def test_a_model_without_dense_parts_is_refused_as_not_quantized(calibrate):
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Gather", ["mean", "columns"], ["three"], axis=1),
        helper.make_node("Softmax", ["three"], ["proba"], axis=-1),
        helper.make_node("Unsqueeze", ["proba", "axis"], ["members"]),
    ]
    constants = {"columns": np.array([0, 1, 2]), "axis": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "no_dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WINDOW, COUNT])],
        [
            helper.make_tensor_value_info("proba", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("members", TensorProto.FLOAT, ["batch", 1, 3]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    test = samples(trained().dataset, TEST)
    found = quantize(model.SerializeToString(), calibrate, test.x, test.y)
    assert found.nodes == 0
    assert "nothing was quantized" in found.refused


def test_calibration_rows_are_thinned_evenly_and_known_by_their_hash():
    x = np.arange(3 * CALIBRATION_ROWS, dtype=np.float32).reshape(-1, 1, 1)
    thin = calibration_rows(x)
    assert len(thin) == CALIBRATION_ROWS
    assert np.unique(np.diff(thin[:, 0, 0])).tolist() == [3.0]
    assert describe_calibration(thin).rows == CALIBRATION_ROWS
    assert describe_calibration(thin) == describe_calibration(thin.copy())
    assert describe_calibration(thin).sha256 != describe_calibration(thin + 1).sha256
