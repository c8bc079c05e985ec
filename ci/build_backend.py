"""PEP 517 backend: cythonize first, then let maturin build and pack.

The Cython sources live in ``cython/`` and their extension modules in ``python/dcmfast/_cython/``
(git-ignored), from where maturin's ``include`` packs them beside the Rust module.  Run as a script
(``python ci/build_backend.py``) it only rebuilds the Cython modules, which is the daily command
after editing a ``.pyx``.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "cython" / "dcmfast" / "_cython"
TARGETS = ROOT / "python" / "dcmfast" / "_cython"


def build_cython() -> None:
    """Compile every ``.pyx`` into ``python/dcmfast/_cython`` and remove orphaned modules."""
    from Cython.Build import cythonize
    from setuptools import Extension
    from setuptools.dist import Distribution

    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    names = sorted(path.stem for path in SOURCES.glob("*.pyx"))
    # The include glob of pyproject.toml packs every .so: one of a deleted .pyx, or of another
    # Python, must not travel.
    for built in TARGETS.glob("*.so"):
        if built.name not in {name + suffix for name in names}:
            built.unlink()
    if not names:
        return
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        extensions = cythonize(
            [
                Extension(
                    f"dcmfast._cython.{name}",
                    [f"cython/dcmfast/_cython/{name}.pyx"],
                    # Python's own flags carry -g, which makes a module six times larger.
                    extra_compile_args=["-O3", "-g0"],
                )
                for name in names
            ],
            include_path=["cython"],
            build_dir="build/cython",
            compiler_directives={"language_level": "3"},
            quiet=True,
        )
        distribution = Distribution({"name": "dcmfast-cython", "ext_modules": extensions})
        command = distribution.get_command_obj("build_ext")
        command.build_lib = "python"
        command.build_temp = "build/cython/objects"
        command.parallel = os.cpu_count() or 1
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Say what a wheel needs; the static list in pyproject.toml is complete."""
    return []


get_requires_for_build_editable = get_requires_for_build_wheel
get_requires_for_build_sdist = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(directory: str, config_settings: Any = None) -> str:
    """Let maturin write the metadata."""
    import maturin

    return str(maturin.prepare_metadata_for_build_wheel(directory, config_settings))


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_wheel(directory: str, config_settings: Any = None, metadata: Any = None) -> str:
    """Cythonize, then build the wheel."""
    import maturin

    build_cython()
    return str(maturin.build_wheel(directory, config_settings, metadata))


def build_editable(directory: str, config_settings: Any = None, metadata: Any = None) -> str:
    """Cythonize in place, then build the editable wheel."""
    import maturin

    build_cython()
    return str(maturin.build_editable(directory, config_settings, metadata))


def build_sdist(directory: str, config_settings: Any = None) -> str:
    """Let maturin pack the sources; nothing is compiled."""
    import maturin

    return str(maturin.build_sdist(directory, config_settings))


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    build_cython()
