"""dcmfast link: DCMTK's names for the tools, in a folder that a user puts on PATH.

A name is a symbolic link to the ``dcmfast`` program, which looks at the name that it is called by;
where there is no such program (``python -m dcmfast``) it is a launcher of four lines.
"""

from __future__ import annotations

import os
import shlex
import sys

from dcmfast.tools import DCMTK_NAMES, TOOLS

_USAGE = """\
usage: dcmfast link [--force] DIR

Makes DCMTK's names in DIR, each for the tool of dcmfast that takes its place. DIR is made if it is
not there. What has one of the names and is not a link of ours is left alone, and nothing is made,
unless --force is given.
"""


def main(arguments: list[str]) -> int:
    """Make the names in the folder named; return the exit code."""
    is_forced = "--force" in arguments
    folders = [one for one in arguments if one != "--force"]
    if folders in (["-h"], ["--help"]):
        sys.stdout.write(_USAGE)
        return 0
    if len(folders) != 1 or folders[0].startswith("-") or not folders[0]:
        sys.stderr.write(_USAGE)
        return 1
    try:
        return _link(folders[0], is_forced=is_forced)
    except OSError as error:
        sys.stderr.write(f"error: {error.filename}: {error.strerror}\n")
        return 1


def program() -> str | None:
    """Return the absolute path of the installed ``dcmfast`` program; None if there is none."""
    beside = os.path.join(os.path.dirname(os.path.abspath(sys.executable)), "dcmfast")
    called = os.path.abspath(sys.argv[0])
    for path in (called, beside):
        if os.path.basename(path) == "dcmfast" and os.access(path, os.X_OK):
            return path
    return None


def _link(folder: str, *, is_forced: bool) -> int:
    names = [name for name in TOOLS if name in DCMTK_NAMES]
    target = program()
    os.makedirs(folder, exist_ok=True)
    taken: list[str] = []
    there: list[str] = []
    for name in names:
        path = os.path.join(folder, name)
        if os.path.lexists(path):
            (there if _is_ours(path, name, target) else taken).append(name)
    if taken and not is_forced:
        sys.stderr.write(
            f"error: there already in {folder}: {', '.join(taken)}; nothing was made "
            "(--force replaces them)\n"
        )
        return 1
    for name in names:
        if name not in there:
            _make(os.path.join(folder, name), name, target)
    made = [name for name in names if name not in there]
    if made:
        what = f"links to {target}" if target else "launchers"
        sys.stdout.write(f"made {len(made)} {what}: {', '.join(made)}\n")
    if there:
        sys.stdout.write(f"there already: {', '.join(there)}\n")
    _tell_path(os.path.abspath(folder))
    return 0


def _is_ours(path: str, name: str, target: str | None) -> bool:
    """Return True if `path` is what would be made."""
    if target is not None:
        return os.path.islink(path) and os.readlink(path) == target
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(4096) == _launcher(name)


def _launcher(name: str) -> bytes:
    # Of sh: a path with blanks, or a long one, cannot stand behind #!.
    lines = [
        "#!/bin/sh",
        f"# {name}: the one of dcmfast; made by dcmfast link",
        f'exec {shlex.quote(sys.executable)} -m dcmfast {name} "$@"',
    ]
    return os.fsencode("\n".join(lines) + "\n")


def _make(path: str, name: str, target: str | None) -> None:
    """Put the new name in the place of whatever has it, in one step."""
    part = f"{path}.part-{os.getpid()}"
    if target is not None:
        os.symlink(target, part)
    else:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
        with open(descriptor, "wb") as file:
            file.write(_launcher(name))
    try:
        os.replace(part, path)
    except OSError:
        os.unlink(part)
        raise


def _tell_path(folder: str) -> None:
    """Say how the names come to be used."""
    places = [os.path.abspath(one) for one in os.environ.get("PATH", "").split(os.pathsep) if one]
    if folder not in places:
        sys.stdout.write(f'to use them: export PATH={shlex.quote(folder)}:"$PATH"\n')
        return
    for name in (name for name in TOOLS if name in DCMTK_NAMES):
        before = places[: places.index(folder)]
        others = [os.path.join(one, name) for one in before]
        hiding = next((one for one in others if os.access(one, os.X_OK)), None)
        if hiding is not None:
            sys.stdout.write(f"{hiding} comes first on PATH; put {folder} before it\n")
            return
    sys.stdout.write(f"{folder} is on PATH, before all others that have these names\n")
