"""The sequence member: an LSTM of two layers of 64 over the scaled window, with a small dense head."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from pipelines.members import CLASS_COUNT, THREADS, Fitted, Floats, Mirror, Samples, Scaler, scale

HIDDEN: Final = 64
LAYERS: Final = 2
HEAD: Final = 32
BATCH: Final = 512
DROPOUT: Final = 0.3
NOISE: Final = 0.3


class Budget(msgspec.Struct, frozen=True):
    """At most ``epochs``, each over ``samples`` drawn anew; ``patience`` epochs without a gain end the learning."""

    epochs: int = 10
    samples: int = 8_192
    patience: int = 3


class Lstm(msgspec.Struct, frozen=True):
    """Weights in torch's layout (gates i, f, g, o), float32; ``hidden_*`` and ``out_*`` are the dense head."""

    weight_ih_l0: Floats
    weight_hh_l0: Floats
    bias_ih_l0: Floats
    bias_hh_l0: Floats
    weight_ih_l1: Floats
    weight_hh_l1: Floats
    bias_ih_l1: Floats
    bias_hh_l1: Floats
    hidden_weight: Floats
    hidden_bias: Floats
    out_weight: Floats
    out_bias: Floats


class Net(torch.nn.Module):
    """Scaled window [n, T, F] to logits [n, 3]."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(features, HIDDEN, LAYERS, batch_first=True, dropout=DROPOUT)
        self.dropout = torch.nn.Dropout(DROPOUT)
        self.hidden = torch.nn.Linear(HIDDEN, HEAD)
        self.out = torch.nn.Linear(HEAD, CLASS_COUNT)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits from the last step's hidden state."""
        states, _ = self.lstm(x)
        return self.out(self.dropout(torch.relu(self.hidden(self.dropout(states[:, -1])))))


def fit_lstm(
    train: Samples,
    calibrate: Samples,
    scaler: Scaler,
    seed: int,
    mirror: Mirror | None = None,
    budget: Budget | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Fitted:
    """Train on random draws of the train split, half of them mirrored; keep the epoch best on the calibrate split."""
    budget = Budget() if budget is None else budget
    torch.set_num_threads(THREADS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Net(train.x.shape[2])
        _train(net, train, calibrate, scaler, np.random.default_rng(seed), mirror, budget, progress)

    def predict(x: Floats) -> Floats:
        return np.exp(_log_proba(net, scale(scaler, x)))

    return Fitted(_artefact(net), predict)


def _train(
    net: Net,
    train: Samples,
    calibrate: Samples,
    scaler: Scaler,
    rng: np.random.Generator,
    mirror: Mirror | None,
    budget: Budget,
    progress: Callable[[str], None],
) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.3)
    checked = scale(scaler, calibrate.x)
    best, kept, stale = np.inf, net.state_dict(), 0
    for epoch in range(budget.epochs):
        _epoch(net, _draw(train, scaler, rng, mirror, budget.samples), optimizer)
        loss = _logloss(net, checked, calibrate.y)
        progress(f"lstm epoch {epoch + 1}/{budget.epochs}: calibrate log loss {loss:.5f}")
        if loss < best:
            best, stale = loss, 0
            kept = {name: value.detach().clone() for name, value in net.state_dict().items()}
        else:
            stale += 1
        if stale >= budget.patience:
            break
    net.load_state_dict(kept)


def _draw(
    train: Samples, scaler: Scaler, rng: np.random.Generator, mirror: Mirror | None, most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """A random subset in random order, each sample mirrored with probability one half: scaled x and classes."""
    idx = rng.permutation(len(train.y))[:most]
    x, y = train.x[idx], train.y[idx].astype(np.int64)
    if mirror is not None:
        flip = rng.random(len(idx)) < 0.5
        x = np.where(flip[:, None, None], mirror(x), x)
        y = np.where(flip, 2 - y, y)
    return _tensor(scale(scaler, x)), _tensor(y)


def _tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """A copy in torch's own memory: kernels round by alignment, and numpy's differs from process to process."""
    return torch.from_numpy(array).clone()


def _epoch(net: Net, data: tuple[torch.Tensor, torch.Tensor], optimizer: torch.optim.Optimizer) -> None:
    net.train()
    for x, y in zip(*(part.split(BATCH) for part in data), strict=True):
        optimizer.zero_grad()
        level = NOISE * torch.randn(len(x), 1, x.shape[2])  # one offset per window: slow levels must not be memorized
        torch.nn.functional.cross_entropy(net(x + level), y).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()


@torch.no_grad()
def _log_proba(net: Net, scaled: Floats) -> Floats:
    net.eval()
    parts = [torch.log_softmax(net(part), dim=1) for part in _tensor(scaled).split(4 * BATCH)]
    answer: Floats = torch.cat(parts).numpy()
    return answer


def _logloss(net: Net, scaled: Floats, y: Any) -> float:
    return float(-_log_proba(net, scaled)[np.arange(len(y)), y].astype(np.float64).mean())


def _artefact(net: Net) -> Lstm:
    state = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    return Lstm(**{name.replace("lstm.", "").replace(".", "_"): array for name, array in state.items()})
