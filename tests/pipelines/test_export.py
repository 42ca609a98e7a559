"""The merged graph computes what the libraries computed, for any batch, and says so when it cannot."""

import hashlib
import subprocess
import sys

import numpy as np
import onnx
import pytest

from features.schema import COUNT, SCHEMA_ID, WINDOW
from pipelines.candidate import score_split, split_of
from pipelines.dataset import CALIBRATE, TEST, windows
from pipelines.ensemble import apply_blend
from pipelines.evaluate import open_session, parity, parity_failures, run_graph
from pipelines.export import IR_VERSION, ML_OPSET, OPSET, Parts, build_graph, to_bytes
from pipelines.members import evaluated, fit_scaler
from tests.pipelines.model_data import examined, trained
from trader.bundle import CLASSES, MEMBERS, is_distribution


@pytest.fixture(scope="module")
def session():
    return open_session(trained().model)


@pytest.fixture(scope="module")
def x():
    return windows(trained().dataset, evaluated(trained().dataset))


def test_every_member_and_the_blend_match_the_training_libraries(session, x):
    proba, members = run_graph(session, x)
    blended, calibrated = apply_blend(trained().blend, trained().native)
    expected = np.moveaxis(calibrated, 0, 1)
    assert parity_failures(members, expected) == []
    assert max(parity(members, expected).values()) < 2e-6
    assert np.allclose(proba, blended, atol=2e-6)


def test_outputs_have_the_shapes_names_and_sums_that_the_trader_expects(session, x):
    proba, members = session.run(["proba", "members"], {"x": x[:5]})
    assert proba.shape == (5, 3)
    assert members.shape == (5, len(MEMBERS), 3)
    assert proba.dtype == members.dtype == np.float32
    assert all(is_distribution(row) for row in proba)
    assert np.allclose(members.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 8, 64])
def test_a_sample_scores_the_same_in_any_batch(session, x, batch):
    whole, _ = session.run(["proba", "members"], {"x": x[:64]})
    parts = [session.run(["proba"], {"x": x[at : at + batch]})[0] for at in range(0, 64, batch)]
    assert np.allclose(np.concatenate(parts), whole, atol=1e-6)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (WINDOW - 1, COUNT - 1), (7, 12)])
def test_a_broken_input_makes_its_own_sample_nan_and_no_other(session, x, broken, row, column):
    spoilt = x[:3].copy()
    spoilt[1, row, column] = broken
    proba, members = session.run(["proba", "members"], {"x": spoilt})
    assert np.isnan(proba[1]).all()
    assert np.isnan(members[1]).all()
    clean, _ = session.run(["proba", "members"], {"x": x[:3]})
    assert np.array_equal(proba[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e8, -1e8, 3e38])
def test_any_finite_input_gives_a_distribution(session, size):
    proba, _ = session.run(["proba", "members"], {"x": np.full((2, WINDOW, COUNT), size, np.float32)})
    assert all(is_distribution(row) for row in proba)


def test_the_graph_says_which_schema_and_order_it_speaks():
    model = onnx.load_from_string(trained().model)
    said = {prop.key: prop.value for prop in model.metadata_props}
    assert said == {
        "schema_id": SCHEMA_ID,
        "window": str(WINDOW),
        "features": str(COUNT),
        "classes": ",".join(CLASSES),
        "members": ",".join(MEMBERS),
    }
    assert {o.domain: o.version for o in model.opset_import} == {"": OPSET, "ai.onnx.ml": ML_OPSET}
    assert model.ir_version == IR_VERSION
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_another_window_length_is_built_as_well():
    t = trained()
    model = to_bytes(build_graph(Parts(scaler=scaler_of(t), blend=t.blend, window=3, **t.artefacts), "s"))
    proba, _ = open_session(model).run(["proba", "members"], {"x": np.zeros((2, 3, COUNT), np.float32)})
    assert proba.shape == (2, 3)


def scaler_of(t):
    from pipelines.candidate import row_samples

    return fit_scaler(row_samples(t.dataset, CALIBRATE))


def test_examination_finds_parity_a_known_answer_and_nothing_wrong():
    found = examined()
    assert found.parity_failures == ()
    assert found.known_answer_problem == found.score_problem == ""
    assert set(found.parity) == {*MEMBERS, "proba"}
    assert found.metrics.logloss < 0.9 * found.metrics.baseline_logloss
    assert found.metrics.logloss < 1.02 * min(found.metrics.members.values())
    x = np.array(found.known_answer.x, np.float32)
    assert np.allclose(open_session(trained().model).run(["proba"], {"x": x})[0][0], found.known_answer.proba)


def test_native_answers_are_split_in_dataset_order():
    t = trained()
    proba, _ = score_split(t.model, t.dataset, TEST)
    blended, _ = apply_blend(t.blend, split_of(t.dataset, t.native, TEST))
    assert np.allclose(proba, blended, atol=2e-6)


@pytest.mark.integration
def test_same_data_and_seed_give_the_same_bytes_in_another_process():
    code = (
        "import hashlib; from tests.pipelines.model_data import trained; "
        "print(hashlib.sha256(trained().model).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(trained().model).hexdigest()
