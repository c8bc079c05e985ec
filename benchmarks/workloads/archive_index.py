"""The index by itself: made anew from files, compared with them, its size, and its opening.

Files are as another program would have left them, a thousand to a directory, and the page cache
holds them.  Rates count the whole run of ``dcmfast index``, the start of Python included.
"""

from __future__ import annotations

import functools
from pathlib import Path

import corpora
from peers import Peer, archives
from workloads import Context, Measures, Workload
from workloads.asking import SMALLEST, AskError, generate, holding, rebuild, verify_index

#: The archive's own directory inside a storage area.
_INDEX = ".dcmfast/index"


class IndexTool(Peer):
    """The tool that is called and does not listen."""

    def why_unavailable(self, directory: Path) -> str | None:
        """Let it index an empty area."""
        area = directory / "area"
        area.mkdir()
        try:
            rebuild(area)
        except AskError as error:
            return str(error)
        return None


REBUILD = IndexTool("dcmfast index", "dcmfast", archives.DCMFAST_COMMAND, listens=False)


def index_measures(area: Path, objects: int) -> Measures:
    """Rebuild and verify the index of an area with files and no index."""
    rebuilt_s = rebuild(area)
    verified_s = verify_index(area)
    index_bytes = sum(
        path.stat().st_blocks * 512 for path in (area / _INDEX).rglob("*") if path.is_file()
    )
    return {
        "rebuilt_files_per_s": objects / rebuilt_s,
        "verified_files_per_s": objects / verified_s,
        "index_bytes_per_instance": index_bytes / objects,
        "index_bytes_beyond_values": index_bytes / objects - value_bytes(),
    }


def value_bytes() -> float:
    """Bytes of the attribute values of one instance that an index has to keep, on average.

    Those of the instance's own level count for each; patient, study and series values count once
    for all their instances.
    """
    own = len(corpora.UID_PREFIX) + 13 + 2 + len("1.2.840.10008.5.1.4.1.1.7")
    shared = 2 * (len(corpora.UID_PREFIX) + 10) + 200
    return own + shared / corpora.INSTANCES_PER_STUDY


def _measure_index(peer: Peer, context: Context, *, objects: int) -> Measures:
    del peer
    held = context.count(objects, least=SMALLEST)
    corpus = corpora.make("tiny", context.corpora, archived=True)
    with context.ground.fresh() as directory:
        generate(corpus, directory / "area" / "imported", held)
        return index_measures(directory / "area", held)


def _measure_startup(peer: Peer, context: Context, *, objects: int) -> Measures:
    with context.ground.fresh() as directory, peer.running(directory) as running:
        empty = running.startup_s
    held = context.count(objects, least=SMALLEST) if context.scale < 0.1 else objects
    with holding(peer, context, "tiny", held) as archive:
        full = archive.running.startup_s
    return {
        "startup_ms": full * 1e3,
        "empty_startup_ms": empty * 1e3,
        "above_empty_ms": (full - empty) * 1e3,
    }


def startup_workload(
    name: str, objects: int, peers: tuple[Peer, ...], *, asked_as: str | None = None
) -> Workload:
    """Start-up with `objects` instances beside that of an empty archive."""
    return Workload(
        name,
        f"Start-up of an archive with {objects:,} instances",
        "startup_ms",
        ("empty_startup_ms", "above_empty_ms"),
        peers,
        functools.partial(_measure_startup, objects=objects),
        "To the listening socket, after an orderly stop.",
        asked_as=asked_as,
    )


INDEX_DETAILS = (
    "verified_files_per_s",
    "index_bytes_per_instance",
    "index_bytes_beyond_values",
)
WORKLOADS = (
    Workload(
        "archive_index",
        "Rebuild and verify the index of 50,000 tiny instances",
        "rebuilt_files_per_s",
        INDEX_DETAILS,
        (REBUILD,),
        functools.partial(_measure_index, objects=50_000),
        "`dcmfast index rebuild` and `verify`. Bytes are what the index occupies on the disk.",
    ),
    startup_workload(
        "archive_startup", 10_000, (archives.DCMFAST_NONE, archives.ORTHANC_NONE, archives.DCMTK)
    ),
)
