"""What a result depends on besides the code: commit, machine, tools, file system.

Everything is read, nothing is changed; what cannot be found out is reported as ``unknown``.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from peers import archives, dcmtk

ROOT = Path(__file__).resolve().parent.parent


def describe() -> dict[str, str]:
    """Name and value of each thing, in the order of the report."""
    status = _output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _output("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD")
        + (" and uncommitted changes" if status not in ("", "unknown") else ""),
        "dcmfast build": build_profile(),
        "cpu": cpu_name(),
        "cpus": str(len(os.sched_getaffinity(0))),
        "virtual machine": _virtualization(),
        "frequency governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory": _read("/proc/meminfo").splitlines()[0].split(":")[-1].strip(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rustc": _output("rustc", "--version").removeprefix("rustc "),
        "dcmtk": dcmtk.version("storescp") or "not installed",
        "orthanc": archives.orthanc_version() or "not installed",
        "pydicom": _package("pydicom"),
        "pynetdicom": _package("pynetdicom"),
        "load average at the start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def machine_name() -> str:
    """A directory name that tells kinds of machine apart and names no particular one."""
    words = re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-") or platform.machine()
    return f"{words[:40].strip('-')}-{len(os.sched_getaffinity(0))}-cpus"


def cpu_name() -> str:
    """Model of the first processor."""
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def build_profile() -> str:
    """Profile of the installed extension module, which says so itself."""
    try:
        from dcmfast import _rust
    except ImportError:
        return "not built"
    return str(getattr(_rust, "BUILD_PROFILE", "unknown"))


def newer_than_the_build() -> Path | None:
    """Find a source file that changed after the extension modules were compiled in this tree."""
    package = ROOT / "python" / "dcmfast"
    for built, folders in (
        (package.glob("_rust*.so"), ("rust/core/src", "rust/py/src")),
        (package.glob("_cython/*.so"), ("cython/dcmfast",)),
    ):
        times = [path.stat().st_mtime for path in built]
        for path in (each for folder in folders for each in sorted((ROOT / folder).rglob("*.*"))):
            if times and path.stat().st_mtime > max(times):
                return path.relative_to(ROOT)
    return None


def _virtualization() -> str:
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", _read("/proc/cpuinfo"), re.MULTILINE)
    return "yes" if flags else "no"


def _package(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip() or "unknown"
    except OSError:
        return "unknown"


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "unknown"
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"
