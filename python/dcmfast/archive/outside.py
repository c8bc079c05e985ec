"""Files outside of an area that its index lists, asked of an index that may be broken.

A rebuild finds what lies in the area by itself; files elsewhere (``dcmfast dcmqridx``) are known
to the old index alone.  LMDB ends the process when pages contradict each other, so the question is
put to a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys


def listed_outside(directory: str) -> tuple[list[str], str]:
    """Return the absolute paths that the index of the area in `directory` lists.

    Returns
    -------
    tuple
        The paths, and what to tell the user when they could not be had, or nothing.
    """
    if not os.path.exists(os.path.join(directory, ".dcmfast", "index", "data.mdb")):
        return [], ""
    command = [sys.executable, "-m", "dcmfast", "index", "show", "--outside", "--json", directory]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        return [], (
            "the old index cannot be read: files outside of the area, if it listed any, must be "
            f"listed again with `dcmfast dcmqridx {directory} FILE ...`"
        )
    from json import loads

    lines = [loads(line) for line in done.stdout.splitlines()]
    return [line["path"] for line in lines if "path" in line], ""
