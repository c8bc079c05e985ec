"""dcmfast man: print a tool's manual page, for ``man -l -``, or write those of all tools."""

from __future__ import annotations

import os
import sys

from dcmfast.options import man
from dcmfast.options.specs import all_front_ends
from dcmfast.tools import GROUPS, TOOLS


def main(arguments: list[str]) -> int:
    """Print the page of the one tool named, or write all pages; return the exit code."""
    pages = {"dcmfast": overview()}
    pages.update((one.tool, man.page(one)) for one in all_front_ends())
    pages.update(man.set_up_pages({name: summary for name, (_, summary) in TOOLS.items()}))
    if len(arguments) == 2 and arguments[0] == "--write":
        return _write(arguments[1], pages)
    if len(arguments) != 1 or arguments[0] not in pages:
        out = sys.stdout if arguments in (["-h"], ["--help"]) else sys.stderr
        out.write(f"usage: dcmfast man <tool>, one of: {', '.join(pages)}\n")
        out.write("       dcmfast man --write DIR    all pages, as DIR/man1/dcmfast-<tool>.1\n")
        return 0 if out is sys.stdout else 1
    sys.stdout.write(pages[arguments[0]])
    return 0


def overview() -> str:
    """Return the page of ``dcmfast`` itself: its tools, and those without options."""
    titles = {title: [(name, TOOLS[name][1]) for name in names if name in TOOLS]
              for title, names in GROUPS}  # fmt: skip
    return man.overview(titles)


def _write(folder: str, pages: dict[str, str]) -> int:
    """Write each page as man(1) looks for it."""
    section = os.path.join(folder, "man1")
    try:
        os.makedirs(section, exist_ok=True)
        for tool, text in pages.items():
            name = "dcmfast.1" if tool == "dcmfast" else f"dcmfast-{tool}.1"
            with open(os.path.join(section, name), "w", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        sys.stderr.write(f"error: {error.filename}: {error.strerror}\n")
        return 1
    sys.stdout.write(
        f"wrote {len(pages)} pages to {section}: man dcmfast, man dcmfast-storescp, …\n"
    )
    return 0
