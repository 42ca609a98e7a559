"""Group ``training``: the four members, each fitted on its own, and the blend that makes one model of them."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import dagster as dg
import msgspec
import numpy as np
import numpy.typing as npt

from pipelines import model_plots
from pipelines.asset_metadata import picture
from pipelines.candidate import ARTEFACTS, blend_members, fit_member, in_member_order, split_of
from pipelines.dataset import CALIBRATE, TEST, TRAIN, Dataset, content_sha256, load, windows
from pipelines.ensemble import Blend, apply_blend
from pipelines.evaluate import evaluate, logloss
from pipelines.lstm import Lstm
from pipelines.members import Logistic, Trees, evaluated, load_artefact, save_artefact, shares
from pipelines.resources import Workspace
from pipelines.settings import PipelineError
from trader.bundle import CLASSES, MEMBERS, Metrics

OWNERS: Final = ["team:models"]
MODELS: Final = "models"
BLEND: Final = (MODELS, "blend.json")


def read_dataset(workspace: Workspace) -> Dataset:
    """The training set that ``training_set`` wrote."""
    return load(workspace.path("training_set", "dataset.npz"))


def read_members(workspace: Workspace, dataset: Dataset) -> tuple[dict[str, Any], npt.NDArray[np.float32]]:
    """Artefacts by member, and their libraries' answers to the evaluated samples, [M, n, 3].

    Raises
    ------
    PipelineError
        When a member is absent or was fitted on another training set.
    """
    wanted, artefacts, native = content_sha256(dataset), {}, {}
    for name in MEMBERS:
        path = workspace.path(MODELS, f"{name}.npz")
        artefacts[name], more = load_artefact(path, ARTEFACTS[name])
        if str(more["data_sha256"]) != wanted:
            raise PipelineError(f"{path}: fitted on another training set", "materialize the members again")
        native[name] = more["native"]
    return artefacts, in_member_order(native)


def _fit(context: dg.AssetExecutionContext, workspace: Workspace, member: str) -> dg.MaterializeResult[None]:
    dataset, started = read_dataset(workspace), time.monotonic()
    fitted = fit_member(member, dataset, workspace.settings.seed, context.log.info)
    idx = evaluated(dataset)
    native = fitted.predict(windows(dataset, idx))
    path = workspace.path(MODELS, f"{member}.npz")
    save_artefact(path, fitted.artefact, native=native, data_sha256=content_sha256(dataset))
    calibrate, test = (split_of(dataset, native, split) for split in (CALIBRATE, TEST))
    tested = dataset.y[dataset.split == TEST]
    return dg.MaterializeResult(
        metadata={
            "rows": int((dataset.split == TRAIN).sum()),
            "seconds": round(time.monotonic() - started, 2),
            "path": dg.MetadataValue.path(str(path)),
            "calibrate_logloss": logloss(calibrate, dataset.y[dataset.split == CALIBRATE]),
            "test_logloss": logloss(test, tested),
            **_about(fitted.artefact),
            "reliability": picture(model_plots.reliability_diagram(test, tested), "reliability before calibration"),
        }
    )


def _about(artefact: Logistic | Trees | Lstm) -> Mapping[str, int]:
    if isinstance(artefact, Trees):
        return {"trees": len(artefact.roots), "nodes": len(artefact.feature)}
    return {"parameters": sum(np.size(array) for array in msgspec.structs.astuple(artefact))}


def _member_asset(name: str, member: str, kinds: set[str], description: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        group_name="training",
        owners=OWNERS,
        kinds=kinds,
        deps=["training_set"],
        description=description,
    )
    def fit(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
        return _fit(context, workspace, member)

    return fit


logistic_regression = _member_asset(
    "logistic_regression",
    "logistic",
    {"sklearn", "numpy"},
    "Multinomial logistic regression on the scaled last row: the baseline that the other members have to beat.",
)
random_forest = _member_asset(
    "random_forest",
    "forest",
    {"sklearn", "numpy"},
    "64 bounded trees on the last row, each grown on half of the mirrored train split.",
)
xgboost_classifier = _member_asset(
    "xgboost_classifier",
    "xgboost",
    {"xgboost", "numpy"},
    "Shallow boosted trees on the last row, stopped where the calibrate split stops gaining.",
)
lstm = _member_asset(
    "lstm",
    "lstm",
    {"pytorch", "numpy"},
    "Two LSTM layers of 64 over the window of rows, stopped where the calibrate split stops gaining.",
)


@dg.asset(
    group_name="training",
    owners=OWNERS,
    kinds={"scipy", "json"},
    deps=[logistic_regression, random_forest, xgboost_classifier, lstm],
    description="Calibrators and weights that make one probability of four, fitted on the calibrate split alone.",
)
def ensemble(context: dg.AssetExecutionContext, workspace: Workspace) -> dg.MaterializeResult[None]:
    dataset = read_dataset(workspace)
    _, native = read_members(workspace, dataset)
    blend = blend_members(dataset, native, workspace.settings.label_k)
    workspace.write_json(msgspec.to_builtins(blend), *BLEND)
    proba, members = apply_blend(blend, split_of(dataset, native, TEST))
    y = dataset.y[dataset.split == TEST]
    prior, recent = (shares(dataset.y[dataset.split == split]) for split in (TRAIN, CALIBRATE))
    metrics = evaluate(proba, np.moveaxis(members, 0, 1), y, prior, recent, blend.weights)
    context.log.info(f"test log loss {metrics.logloss:.5f}, train prior {metrics.baseline_logloss:.5f}")
    return dg.MaterializeResult(metadata={**metric_metadata(metrics), **_pictures(proba, y, metrics)})


def read_blend(workspace: Workspace) -> Blend:
    """The blend that ``ensemble`` wrote."""
    return msgspec.convert(workspace.read_json(*BLEND), Blend)


def metric_metadata(metrics: Metrics) -> dict[str, Any]:
    """Test figures under the names every asset uses."""
    return {
        "rows": metrics.rows,
        "logloss": metrics.logloss,
        "baseline_logloss": metrics.baseline_logloss,
        "recent_prior_logloss": metrics.recent_prior_logloss,
        "brier": metrics.brier,
        "ece": metrics.ece,
        "accuracy_p70": "no such score" if metrics.accuracy_p70 is None else metrics.accuracy_p70,
        "coverage_p70": metrics.coverage_p70,
        "member_logloss": dg.MetadataValue.json(metrics.members),
        "weights": dg.MetadataValue.json(metrics.weights),
        "classes": ", ".join(CLASSES),
    }


def _pictures(proba: npt.NDArray[np.float64], y: npt.NDArray[np.int8], metrics: Metrics) -> dict[str, Any]:
    figures: dict[str, Callable[[], Any]] = {
        "member_weights": lambda: model_plots.member_weights(metrics.weights),
        "log_losses": lambda: model_plots.losses_by_model(metrics),
        "reliability": lambda: model_plots.reliability_diagram(proba, y),
        "accuracy_and_coverage": lambda: model_plots.coverage_curve(proba, y),
        "confusion": lambda: model_plots.confusion(proba, y),
    }
    return {name: picture(draw(), name.replace("_", " ")) for name, draw in figures.items()}
