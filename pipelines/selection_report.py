"""What a selection found, as a record that is stored, a table for people, and a picture."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from matplotlib.figure import Figure

from features.bank import BANK
from pipelines.folds import Estimate
from pipelines.plots import COLOURS, new_figure
from pipelines.selection import Ranking
from pipelines.selection_trial import Trial
from pipelines.served_set import Choice, difference, schema_id_of

MOST_SHOWN: Final = 60
MILLI: Final = 1e3
_UNITS: Final = "thousandths of a nat"


class Row(msgspec.Struct, frozen=True):
    """One feature of the bank: the medoid of its cluster ("" when left out), what was found, in or out, and why."""

    name: str
    family: str
    cluster: str
    probability: float | None
    importance: Estimate | None
    chosen: bool
    why: str


class Selection(msgspec.Struct, frozen=True):
    """A finished selection: ``rows`` best first, the set in the order it would be served in, and the trials."""

    chosen: tuple[str, ...]
    leaving: list[str]
    coming: list[str]
    schema_id: str
    served_schema_id: str
    bank_id: str
    samples: int
    clusters: int
    seed: int
    trials: list[Trial]
    rows: list[Row]


def described(
    ranking: Ranking,
    choice: Choice,
    trials: list[Trial],
    served: Sequence[str],
    *,
    bank_id: str,
    samples: int,
    seed: int,
) -> Selection:
    """The record of a selection beside the set that is served now."""
    leaving, coming = difference(served, choice.names)
    return Selection(
        chosen=choice.names,
        leaving=leaving,
        coming=coming,
        schema_id=schema_id_of(choice.names),
        served_schema_id=schema_id_of(served),
        bank_id=bank_id,
        samples=samples,
        clusters=len(ranking.clusters.medoids),
        seed=seed,
        trials=trials,
        rows=_rows(ranking, choice),
    )


def _rows(ranking: Ranking, choice: Choice) -> list[Row]:
    found = {ranked.column: ranked for ranked in ranking.ranked}
    rest = [column for column in range(len(BANK)) if column not in found]
    rows = []
    for column in [*found, *sorted(rest, key=lambda c: c not in choice.columns)]:
        medoid = int(ranking.clusters.of[column])
        ranked = found.get(column)
        rows.append(
            Row(
                name=BANK[column].name,
                family=BANK[column].family,
                cluster=BANK[medoid].name if medoid >= 0 else "",
                probability=None if ranked is None else ranked.probability,
                importance=None if ranked is None else ranked.importance,
                chosen=column in choice.columns,
                why=choice.why.get(column, ""),
            )
        )
    return rows


def in_words(trial: Trial) -> str:
    """A trial in one line."""
    low, mean, high = (MILLI * value for value in (trial.difference.low, trial.difference.mean, trial.difference.high))
    judged = "better" if high < 0.0 else ("worse" if low > 0.0 else "not told apart")
    return (
        f"{trial.model}: selected {trial.selected:.5f}, served {trial.served:.5f}, class shares {trial.shares:.5f}; "
        f"selected - served {mean:+.1f} [{low:+.1f}, {high:+.1f}] {_UNITS}: {judged}"
    )


def markdown_table(selection: Selection, most: int = MOST_SHOWN) -> str:
    """The best of the ranking, for the asset's page."""
    lines = ["| feature | family | cluster | probability | importance, 0.001 nat | |", "|---|---|---|---|---|---|"]
    for row in selection.rows[:most]:
        cells = (row.name, row.family, row.cluster, share(row.probability), interval(row.importance), _verdict(row))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def interval(found: Estimate | None) -> str:
    if found is None:
        return ""
    return f"{MILLI * found.mean:.1f} [{MILLI * found.low:.1f}, {MILLI * found.high:.1f}]"


def _verdict(row: Row) -> str:
    return f"**chosen**: {row.why}" if row.chosen else row.why


def ranked_importance(selection: Selection, most: int = MOST_SHOWN // 2) -> Figure:
    """Importance with its interval, best on top, chosen ones in colour; beside it how many features each speaks for."""
    shown = [row for row in selection.rows if row.importance is not None][:most]
    sizes = np.unique([row.cluster for row in selection.rows], return_counts=True)
    members = dict(zip(*map(np.ndarray.tolist, sizes), strict=True))
    figure, (left, right) = new_figure(1, 2, height=0.8 + 0.2 * max(len(shown), 1), width=9.0)
    at = np.arange(len(shown))[::-1]
    colours = [COLOURS[0] if row.chosen else COLOURS[5] for row in shown]
    for y, row, colour in zip(at, shown, colours, strict=True):
        assert row.importance is not None
        reach = np.nan_to_num(row.importance.high - row.importance.mean)
        left.errorbar(MILLI * row.importance.mean, y, xerr=MILLI * reach, fmt="o", ms=3, lw=1, color=colour)
    left.axvline(0.0, color=COLOURS[5], lw=0.6)
    left.set_xscale("symlog", linthresh=1.0)
    left.set_yticks(at, [row.name for row in shown], fontsize=6)
    left.set_xlabel(f"log loss that shuffling adds, {_UNITS}")
    right.barh(at, [members.get(row.cluster, 1) for row in shown], color=colours)
    right.set_yticks(at, [share(row.probability) for row in shown], fontsize=6)
    right.set_xlabel("features in its cluster; at the left its selection probability")
    return figure
