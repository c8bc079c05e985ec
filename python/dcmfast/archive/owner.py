"""Root's tools work on an area as its owner, so that its server can use what they make.

dcmqrscp gives up root's rights for those of ``UserName``; an index that belongs to root, with mode
0700, would keep it out for good.
"""

from __future__ import annotations

import os
from contextlib import contextmanager

from dcmfast.errors import IndexToolFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def as_owner(directory: str) -> Iterator[None]:
    """Act for the owner of the area in `directory` within ``with``, if the caller is root.

    Raises
    ------
    IndexToolFailure
        The system does not let root do so.
    """
    owner = _other_owner(directory)
    if owner is None:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    try:
        os.setgroups([])
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
    except OSError as error:
        raise IndexToolFailure(
            ("F", f"{directory} belongs to user {owner.st_uid}, who must run this: {error}")
        ) from None
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


@contextmanager
def readable_by_owner(source: str, directory: str) -> Iterator[str]:
    """Act as `as_owner` does, and give a path by which the owner can read the file `source`."""
    if _other_owner(directory) is None or not os.path.isfile(source):
        with as_owner(directory):
            yield source
        return
    from shutil import copyfileobj
    from tempfile import NamedTemporaryFile

    with (
        open(source, "rb") as file,
        as_owner(directory),
        NamedTemporaryFile(dir=directory, prefix=".dcmfast-", suffix=".part") as copy,
    ):
        copyfileobj(file, copy)
        copy.flush()
        yield copy.name


def _other_owner(directory: str) -> os.stat_result | None:
    """Return who owns the area, if that is not root and the caller is."""
    if os.geteuid() != 0:
        return None
    for path in (os.path.join(directory, ".dcmfast"), directory):
        try:
            owner = os.stat(path)
        except OSError:
            continue
        return owner if owner.st_uid else None
    return None
