"""Progress on stderr: a line per finished stage, a spinner for the one under way, a bar where the end is known."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

_STEP_S = 0.25


class Progress:
    """Lines carry the seconds since the start; stdout stays free for figures."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._status = self.console.status("starting")
        self._start = time.monotonic()

    @property
    def wall_s(self) -> float:
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        self.console.print(f"[dim]{self.wall_s:6.1f} s[/dim]  {text}")

    def asset(self, name: str, what: str) -> None:
        """An asset or check of the pipeline has started or ended."""
        if what == "started":
            self._status.update(name)
            self._status.start()
        else:
            self._status.stop()
            self.say(f"{name}: {what}")

    def bar(self, title: str, expected_s: float, limit_s: float, running: Callable[[], bool]) -> bool:
        """A bar over ``expected_s`` while ``running``; False when ``limit_s`` passed first."""
        end = time.monotonic() + limit_s
        columns = (TextColumn(title), BarColumn(), TimeRemainingColumn())
        with Bar(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task("", total=expected_s)
            while running() and time.monotonic() < end:
                time.sleep(_STEP_S)
                bar.advance(task, _STEP_S)
        return not running()
