"""Shows what is being fetched or built: one moving line per server in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from servers.cache import Progress

_EVERY = 20.0
"""Seconds between two plain lines about the same stage."""
_FEWEST = 0.05
"""Share of the steps that must be done before the rest is estimated."""


@dataclass
class Stage(Progress):
    """One server's progress: its present stage, steps of that, and when it began."""

    server: str
    changed: Callable[[Stage], None] = lambda _: None
    """Called with each change."""
    text: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    began: float = field(default_factory=time.monotonic)

    def __call__(self, text: str) -> None:
        self.text, self.done, self.total, self.unit, self.began = text, 0, 0, "", time.monotonic()
        self.changed(self)

    def steps(self, done: int, total: int, unit: str) -> None:
        self.done, self.total, self.unit = done, total, unit
        self.changed(self)

    @property
    def left(self) -> float | None:
        """Estimated seconds until the end of the stage; None if too few steps are done."""
        if not self.total or self.done < self.total * _FEWEST:
            return None
        return (time.monotonic() - self.began) * (self.total - self.done) / self.done

    @property
    def count(self) -> str:
        """Such as `120 of 800 packages`; `12 modules` where it is not known how many there will be."""
        if not self.unit:
            return ""
        return f"{self.done} of {self.total} {self.unit}" if self.total else f"{self.done} {self.unit}"

    def line(self) -> str:
        """Such as `Loki: compiling, 120 of 800 packages, 0:30 elapsed, about 2:50 left`."""
        parts = [self.text, *([self.count] if self.count else [])]
        parts.append(f"{clock(time.monotonic() - self.began)} elapsed")
        if self.left is not None:
            parts.append(f"about {clock(self.left)} left")
        return f"{self.server}: {', '.join(parts)}"


def clock(seconds: float) -> str:
    """Minutes and seconds, such as 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Display:
    """Shows the progress of several servers."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        """Prints a whole line above the moving lines."""

    @contextlib.contextmanager
    def stage(self, server: str) -> Iterator[Progress]:
        """The progress of one server, shown from its first stage on until the context ends."""
        raise NotImplementedError


class _LineDisplay(Display):
    """A line when a stage begins, and one every 20 seconds while it lasts."""

    @contextlib.contextmanager
    def stage(self, server: str) -> Iterator[Progress]:
        ended = threading.Event()

        def changed(stage: Stage) -> None:
            if stage.text and not stage.unit:
                self.say(f"{stage.server}: {stage.text}")

        stage = Stage(server, changed)

        def repeat() -> None:
            while not ended.wait(_EVERY):
                if stage.text:
                    self.say(stage.line())

        thread = threading.Thread(target=repeat, name=f"progress of {server}")
        thread.start()
        try:
            yield stage
        finally:
            ended.set()
            thread.join()


class _Left(ProgressColumn):
    """The estimate, if there is one."""

    def render(self, task: Task) -> Text:
        left = task.fields["stage"].left
        return Text(f"about {clock(left)} left" if left is not None else "", style="cyan")


class _Moving(Display):
    """A line for each server that is being prepared, with a bar, the time and an estimate; gone when it is ready."""

    def __init__(self, bars: Bars, say: Callable[[str], None]) -> None:
        super().__init__(say)
        self._bars = bars

    @contextlib.contextmanager
    def stage(self, server: str) -> Iterator[Progress]:
        stage = Stage(server)
        task = self._bars.add_task(server, total=None, visible=False, text="", steps="", stage=stage)

        def changed(stage: Stage) -> None:
            if not stage.unit:
                self._bars.reset(task)
            self._bars.update(
                task,
                visible=True,
                text=stage.text,
                steps=stage.count,
                total=stage.total or None,
                completed=stage.done,
                refresh=True,
            )

        stage.changed = changed
        try:
            yield stage
        finally:
            self._bars.remove_task(task)


@contextlib.contextmanager
def display(say: Callable[[str], None] | None = None) -> Iterator[Display]:
    """Moving lines where the standard output is a terminal, plain ones elsewhere; `say` prints a line (default: as is)."""
    printed = say or (lambda text: print(text, flush=True))
    console = Console(soft_wrap=True)  # commands and addresses stay on one line, to be copied
    if not console.is_terminal:
        yield _LineDisplay(printed)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", style="bold"),
        TextColumn("{task.fields[text]}"),
        BarColumn(20),
        TextColumn("{task.fields[steps]}"),
        TimeElapsedColumn(),
        _Left(),
    )
    with Bars(*columns, console=console, redirect_stdout=True, redirect_stderr=True) as bars:
        yield _Moving(bars, printed)
