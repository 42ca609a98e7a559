"""``cryptoscalp check``: does anything that models learn from know the future?"""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console

if TYPE_CHECKING:
    from features.compiled import Kernel
    from pipelines.bank_events import Chunk
    from pipelines.leaks import Finding

app = typer.Typer(help="Check what models learn from.", no_args_is_help=True)
_LABEL = re.compile(r"nl([1-9]\d*)")
_MINUTES = 3.0
_SEED = 7


@app.callback()
def _group() -> None:
    """Check what models learn from."""


@app.command()
def leak(
    feature: Annotated[list[str] | None, typer.Option(help="Only this feature; may be given several times.")] = None,
    bank: Annotated[bool, typer.Option("--bank", help="Every feature of the bank.")] = False,
    label: Annotated[str, typer.Option(help="nlK, or a label of your own: path/to/file.py:function.")] = "nl50",
    tape: Annotated[Path | None, typer.Option(help="A tape, or a folder of tapes; else a generated market.")] = None,
    user: Annotated[str, typer.Option(help="Only your own function: path/to/file.py:function. The file is run.")] = "",
    dataset: Annotated[Path | None, typer.Option(help="Only a training set that the pipeline saved (.npz).")] = None,
    cuts: Annotated[int, typer.Option(min=1, help="Random places to cut at.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the places and of the generated market.")] = _SEED,
    tolerance: Annotated[float, typer.Option(min=0, help="With --user: differences up to this are rounding.")] = 0.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Cut the market at random places and see whether anything before changes; check how a training set is split.

    Exit code 0: no leak. 1: a leak. 2: the check cannot be made.
    """
    checks = _Checks(cuts, seed, tolerance)
    with Console(stderr=True).status("looking for leaks"):
        if dataset is not None:
            checks.stored(dataset)
        else:
            with _tape(tape, seed) as path:
                checks.market(path, feature or [], bank, label, user)
    _print(checks, json)
    if checks.findings:
        raise typer.Exit(1)


class _Checks:
    """What was checked, and what was found."""

    def __init__(self, cuts: int, seed: int, tolerance: float) -> None:
        self._cuts, self._seed, self._tolerance = cuts, seed, tolerance
        self.checked: list[str] = []
        self.findings: list[Finding] = []

    def _take(self, what: str, found: tuple["Finding", ...]) -> None:
        self.checked.append(what)
        self.findings += found

    def stored(self, path: Path) -> None:
        """A training set on disk, and the scaler that is fitted on it."""
        from pipelines.dataset import load

        self._training_set(load(path), str(path), latency_ns=0)

    def market(self, path: Path, features: list[str], bank: bool, label: str, user: str) -> None:
        """What was asked for, on one tape."""
        from pipelines.leak_market import read_market

        chunks = read_market(path)
        symbol = max(chunks, key=lambda name: len(chunks[name].kinds))
        if user:
            self._user(user, chunks[symbol])
            return
        self._features(features, bank, chunks[symbol])
        if not features and not bank:
            self._outcome(label, chunks, symbol)

    def _features(self, features: list[str], bank: bool, chunk: "Chunk") -> None:
        from pipelines.leak_market import folded, kernel_columns
        from pipelines.leaks import check_rows

        kernel, names = _kernel(features, bank)
        columns = kernel_columns(chunk)
        found = check_rows("feature", folded(kernel), columns, chunk.ts_ns, names, cuts=self._cuts, seed=self._seed)
        self._take(f"features ({len(names)}) on {len(chunk.kinds)} events", found)

    def _user(self, where: str, chunk: "Chunk") -> None:
        from pipelines.leak_market import events_of, load_function, names_of, of_user
        from pipelines.leaks import check_rows

        function, events = load_function(where), events_of(chunk)
        names, compute = names_of(function, events, where), of_user(function, where)
        near, cuts, seed = self._tolerance, self._cuts, self._seed
        found = check_rows("user", compute, events, events.ts_ns, names, cuts=cuts, seed=seed, tolerance=near)
        self._take(f"{where}: columns ({len(names)}) on {len(events.ts_ns)} events", found)

    def _outcome(self, label: str, chunks: dict[str, "Chunk"], symbol: str) -> None:
        from pipelines.leak_market import quotes_of, training_set
        from pipelines.leaks import check_label
        from pipelines.settings import settings_from_env

        settings = settings_from_env()
        latency_ns = round(settings.label_latency_ms * 1e6)
        k, function = _label(label, latency_ns)
        quotes = quotes_of(chunks[symbol])
        found = check_label("label", function, quotes, latency_ns, cuts=self._cuts, seed=self._seed)
        self._take(f"label {label} on {len(quotes[0])} quotes", found)
        if k is not None:
            made = training_set(chunks, k, latency_ns, (settings.train_share, settings.calibrate_share))
            self._training_set(made, "training set", latency_ns)

    def _training_set(self, dataset: Any, name: str, latency_ns: int) -> None:
        from features.schema import NAMES
        from pipelines.candidate import dataset_scaler
        from pipelines.leaks import check_dataset, check_scaler

        names = NAMES if dataset.rows.shape[1] == len(NAMES) else ()
        self._take(f"{name} of {len(dataset.y)} samples", check_dataset(dataset, latency_ns, names))
        self._take("scaler", check_scaler(dataset, dataset_scaler, names))


def _kernel(features: list[str], bank: bool) -> tuple["Kernel", tuple[str, ...]]:
    """The smallest kernel at hand that has the features, and their names."""
    from features.bank import BANK_NAMES, bank_kernel, kernel_of
    from features.kernel import SERVED
    from features.schema import NAMES

    if bank:
        return bank_kernel(), BANK_NAMES
    return (kernel_of(features), tuple(features)) if features else (SERVED, NAMES)


def _label(label: str, latency_ns: int) -> tuple[int | None, Callable[..., Any]]:
    """The label's k, where it is NLk, and the function that computes it."""
    from pipelines.leak_market import load_function, nl_label

    if found := _LABEL.fullmatch(label):
        return int(found[1]), nl_label(int(found[1]), latency_ns)
    if ":" in label:
        return None, load_function(label)
    raise typer.BadParameter(f"no label {label!r}: give nlK or path/to/file.py:function", param_hint="--label")


@contextmanager
def _tape(tape: Path | None, seed: int) -> Iterator[Path]:
    """The tape given, or that of a generated market, which goes away afterwards."""
    from market.simulator.generator import generate

    if tape is not None:
        yield tape
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), seed, minutes=_MINUTES)
        yield Path(folder)


def _print(checks: _Checks, json: bool) -> None:
    if json:
        found = [{**msgspec.to_builtins(each), "why": each.why, "fix": each.fix} for each in checks.findings]
        told = {"clean": not found, "checked": checks.checked, "findings": found}
        typer.echo(msgspec.json.format(msgspec.json.encode(told)).decode())
        return
    for each in checks.findings:
        typer.echo(str(each))
    for what in checks.checked:
        typer.echo(f"checked: {what}")
    typer.echo(f"leaks: {len(checks.findings)}" if checks.findings else "no leak")
