"""Every picture of a model draws, also from the least there can be."""

import numpy as np
import pytest

from pipelines import model_plots
from pipelines.drift import Drift
from pipelines.plots import png
from tests.pipelines.model_data import examined, trained

RNG = np.random.default_rng(0)
MANY = RNG.dirichlet([1, 2, 1], 500), RNG.integers(0, 3, 500).astype(np.int8)
ONE = np.array([[0.1, 0.8, 0.1]]), np.array([1], np.int8)


@pytest.mark.parametrize("scores", [MANY, ONE], ids=["many", "one"])
@pytest.mark.parametrize("draw", [model_plots.reliability_diagram, model_plots.coverage_curve, model_plots.confusion])
def test_score_pictures_draw(draw, scores):
    figure = draw(*scores)
    assert png(figure).startswith(b"\x89PNG")
    assert figure.axes[0].get_xlabel()


def test_weights_and_losses_show_every_member():
    assert [bar.get_width() for bar in model_plots.member_weights(examined().metrics.weights).axes[0].patches] == list(
        trained().blend.weights
    )
    labels = [text.get_text() for text in model_plots.losses_by_model(examined().metrics).axes[0].get_yticklabels()]
    assert labels == ["train prior", "recent prior", *examined().metrics.members, "blend"]


def test_psi_bars_put_the_worst_on_top_and_colour_it():
    axis = model_plots.psi_bars(Drift(0.5, {"calm": 0.01, "wild": 3.0})).axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["wild", "calm"]
    first, second = (bar.get_facecolor() for bar in axis.patches)
    assert first != second
