"""Progress of long work on a terminal: a bar with rate and time left, on stderr."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class FileBar:
    """A bar over files while stderr is a terminal, nothing elsewhere.

    As a context manager it gives a function that is called once for each file done.
    """

    def __init__(self, total: int, *, is_wanted: bool) -> None:
        self._total = total
        self._is_shown = is_wanted and total > 1 and sys.stderr.isatty()
        self._stop: Callable[[], None] = lambda: None

    def __enter__(self) -> Callable[[], None]:
        if not self._is_shown:
            return lambda: None
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

        def advance() -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=1, rate=f"{speed:.0f} files/s" if speed else "")

        bar.start()
        self._stop = bar.stop
        return advance

    def __exit__(self, *_: object) -> None:
        self._stop()
