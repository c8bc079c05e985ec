"""Progress of long work on a terminal: a bar with rate and time left, on stderr."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class FileBar:
    """A bar over files while stderr is a terminal, nothing elsewhere.

    As a context manager it gives a function that is told how many files are done.
    """

    def __init__(self, total: int, *, is_wanted: bool) -> None:
        self._total = total
        self._is_shown = is_wanted and total > 1 and sys.stderr.isatty()
        self._stop: Callable[[], None] = lambda: None

    def __enter__(self) -> Callable[[int], None]:
        if not self._is_shown:
            return lambda _done: None
        # Imported here: rich costs more than everything else that a short run needs.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        bar = Progress(
            TextColumn("sending"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        task = bar.add_task("sending", total=self._total, rate="")

        def advance(done: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, rate=f"{speed:.0f} files/s" if speed else "")

        bar.start()
        self._stop = bar.stop
        return advance

    def __exit__(self, *_: object) -> None:
        self._stop()


class WorkBar:
    """Progress of one piece of work on stderr: a bar on a terminal, plain lines elsewhere.

    As a context manager it gives a function of (phase, things done, things in all or None).
    """

    #: Seconds between two plain lines.
    LINE_S = 10.0

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_wanted = is_wanted
        self._stop: Callable[[], None] = lambda: None

    def __enter__(self) -> Callable[[str, int, int | None], None]:
        if not self._is_wanted:
            return lambda _phase, _done, _total: None
        return self._bar() if sys.stderr.isatty() else self._lines()

    def _lines(self) -> Callable[[str, int, int | None], None]:
        from time import monotonic

        began: dict[str, float] = {}
        told = monotonic()

        def step(phase: str, done: int, total: int | None) -> None:
            nonlocal told
            now = monotonic()
            began.setdefault(phase, now)
            if now - told < self.LINE_S:
                return
            told = now
            rate = done / max(now - began[phase], 0.001)
            left = f", {(total - done) / rate:.0f} s left" if total is not None and rate else ""
            of_all = "" if total is None else f" of {total}"
            sys.stderr.write(f"I: {phase}: {done}{of_all}, {rate:.0f}/s{left}\n")
            sys.stderr.flush()

        return step

    def _bar(self) -> Callable[[str, int, int | None], None]:
        # Imported here: rich costs more than everything else that a short run needs.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskID,
            TextColumn,
            TimeRemainingColumn,
        )

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        tasks: dict[str, TaskID] = {}

        def step(phase: str, done: int, total: int | None) -> None:
            if phase not in tasks:
                tasks[phase] = bar.add_task(phase, total=total, rate="")
            task = tasks[phase]
            speed = bar.tasks[list(tasks).index(phase)].speed
            rate = f"{speed:.0f}/s" if speed else ""
            bar.update(task, completed=done, total=total, rate=rate)

        bar.start()
        self._stop = bar.stop
        return step

    def __exit__(self, *_: object) -> None:
        self._stop()
