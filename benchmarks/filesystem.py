"""Fresh places to store into: a new file system for every run where mounting is allowed.

Why a file system and not just a directory: ext4 does not hand out an inode number again within
five seconds of its deletion, and looks at each such inode on the way.  A run that follows the
deletion of some thousand files then pays up to 1 ms of system time per file (measured: 25 µs on a
fresh file system, 150 to 1,000 µs after), and the order of the runs decides who wins.

The image is a sparse file on the disk under test.  Files are deleted before the unmount: in mode
``none`` their pages never get as far as the disk, for any peer.  Synced runs share one image whose
blocks were written once, so that a sync through it costs the disk's flush and no allocation; and
a file system of their own means that ``syncfs`` waits for nobody else's pages.
Without the right to mount, runs get fresh directories, which are deleted only when the whole
benchmark ends; `Ground.description` says which it was, and the report quotes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: Holds the largest run (eight DX of 20 MB for each of four associations) three times over.
IMAGE_BYTES = 3 << 30

#: Holds the largest synced run (13 CT for each of 16 associations, received, stored and journalled)
#: twice over, with an archive's journal of 64 MB and its index.
SYNCED_IMAGE_BYTES = 768 << 20

_COMMAND_TIMEOUT_S = 60


class Ground:
    """Hands out fresh directories under one working directory; a context manager."""

    def __init__(self, parent: Path | None = None) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="dcmfast-bench-", dir=parent))
        self._count = 0
        self._refusal = self._why_not_mount()

    def __enter__(self) -> Ground:
        return self

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def description(self) -> str:
        """What every run stores into, for the report."""
        if self._refusal is None:
            return "a fresh ext4 file system per run, in an image on the disk (loop device)"
        return f"a fresh directory per run, no file system of its own ({self._refusal})"

    @contextlib.contextmanager
    def fresh(self, *, synced: bool = False) -> Iterator[Path]:
        """Yield an empty directory that no earlier run has touched.

        `synced` says that the run will sync what it stores.
        """
        self._count += 1
        place = self.root / f"run-{self._count}"
        place.mkdir()
        if self._refusal is not None:
            yield place
            return
        image = self._written_image() if synced else self.root / f"run-{self._count}.img"
        if not synced:
            with image.open("wb") as file:
                file.truncate(IMAGE_BYTES)
        try:
            _mkfs_and_mount(image, place, is_zero=not synced)
            try:
                stored = place / "stored"
                stored.mkdir()
                yield stored
            finally:
                shutil.rmtree(place / "stored", ignore_errors=True)
                _run("umount", str(place))
        finally:
            if not synced:
                image.unlink()
            place.rmdir()

    def _written_image(self) -> Path:
        """Make the image of the synced runs on first use."""
        image = self.root / "synced.img"
        if not image.exists():
            zeros = bytes(1 << 20)
            with image.open("wb") as file:
                for _ in range(SYNCED_IMAGE_BYTES // len(zeros)):
                    file.write(zeros)
                os.fsync(file.fileno())
        return image

    def _why_not_mount(self) -> str | None:
        """Try once what every run will do; return what stood in the way, in a few words."""
        if os.geteuid() != 0:
            return "mounting needs root"
        for program in ("mkfs.ext4", "mount", "umount"):
            if shutil.which(program) is None:
                return f"{program} is not installed"
        image, place = self.root / "probe.img", self.root / "probe"
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(64 << 20)
        try:
            _mkfs_and_mount(image, place, is_zero=True)
            _run("umount", str(place))
        except (OSError, subprocess.SubprocessError) as error:
            return f"mounting failed: {error}"
        finally:
            image.unlink()
            place.rmdir()
        return None


def _mkfs_and_mount(image: Path, place: Path, *, is_zero: bool) -> None:
    # No table is zeroed now, none by a kernel thread during the run. A written image keeps its
    # blocks: discarding them would make it sparse again.
    options = "lazy_itable_init=1," + ("assume_storage_prezeroed=1" if is_zero else "nodiscard")
    _run("mkfs.ext4", "-q", "-F", "-E", options, str(image))
    _run("mount", "-o", "loop,noatime,noinit_itable", str(image), str(place))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=_COMMAND_TIMEOUT_S)
