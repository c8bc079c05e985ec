"""What all workloads of an archive share: filling one, asking it, and checking what it holds.

``tools/query`` sends the requests, one after the other over one association, and checks every
answer: the number of matches, that each carries the value asked for and none comes twice, and
every byte of every object.  The instances asked for are spread over the archive.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import corpora
from corpora import INSTANCES_PER_STUDY, Archived, Part
from peers import Peer, Running, archives, on_cpus
from peers.limit import TOOLS
from workloads import Context, Measures
from workloads.sending import load

QUERY = TOOLS / "target" / "release" / "query"
GENERATE = TOOLS / "target" / "release" / "generate"

#: Study Root (PS3.4 Annex C.4.1.3.1): the model that all have.
_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
_GET = "1.2.840.10008.5.1.4.1.2.2.3"

#: A million files on a busy machine.
_DEADLINE_S = 1800

Keys = Mapping[int, tuple[str, tuple[Part, ...]]]

#: What a worklist of studies shows.
_STUDY_KEYS: dict[int, tuple[str, tuple[Part, ...]]] = {
    0x00080005: ("CS", ("ISO_IR 100",)),
    0x00080020: ("DA", ()),
    0x00080030: ("TM", ()),
    0x00080050: ("SH", ()),
    0x00080052: ("CS", ("STUDY",)),
    0x00081030: ("LO", ()),
    0x00100010: ("PN", ()),
    0x00100020: ("LO", ()),
    0x0020000D: ("UI", ()),
    0x00200010: ("SH", ()),
}
_ONE_STUDY: Keys = {
    0x00080052: ("CS", ("STUDY",)),
    0x0020000D: ("UI", Archived.study_uid),
}


class AskError(RuntimeError):
    """An archive did not answer, or not with what it had been given."""


@dataclass(frozen=True)
class Query:
    """One kind of C-FIND and what must come back."""

    name: str
    keys: Keys
    #: Matches of each request; None for whatever the archive holds.
    expect: int | None
    #: Key whose value must come back as asked.
    match: int | None = None
    #: Key whose value differs from match to match.
    distinct: int = 0x0020000D
    #: Part of a workload's requests: those with many matches take longer.
    share: float = 1.0


QUERIES = (
    Query("study_uid", {**_STUDY_KEYS, 0x0020000D: ("UI", Archived.study_uid)}, 1, 0x0020000D),
    Query("patient_id", {**_STUDY_KEYS, 0x00100020: ("LO", Archived.patient_id)}, 2, 0x00100020),
    Query(
        "accession", {**_STUDY_KEYS, 0x00080050: ("SH", Archived.accession_number)}, 1, 0x00080050
    ),
    Query(
        "name_prefix",
        {**_STUDY_KEYS, 0x00100010: ("PN", Archived.patient_name_prefix)},
        20,
        0x00100010,
        share=0.2,
    ),
    Query(
        "images",
        {
            0x00080018: ("UI", ()),
            0x00080052: ("CS", ("IMAGE",)),
            0x0020000D: ("UI", Archived.study_uid),
            0x0020000E: ("UI", Archived.series_uid),
            0x00200013: ("IS", ()),
        },
        INSTANCES_PER_STUDY,
        distinct=0x00080018,
        share=0.2,
    ),
    Query(
        "unindexed",
        {**_STUDY_KEYS, 0x00081080: ("LO", Archived.diagnoses)},
        1,
        0x00081080,
        share=0.02,
    ),
)
#: A tenth of all studies, by an attribute without an index of its values.
SCAN = Query("scan", {**_STUDY_KEYS, 0x00081080: ("LO", ("Diagnosis *7",))}, None)
_EVERY_STUDY = Query("studies", _STUDY_KEYS, None)

#: Instances that every archive has: the name prefix needs ten patients.
SMALLEST = 500

#: Archives that cannot be filled in the time: DCMTK's looks at every record for every store.
_HOLDS_AT_MOST = {archives.DCMTK.name: 2000, archives.QRSCP.name: 500}
#: Part of the requests that is enough for a rate, by family: theirs are slower by such factors.
_ASKED = {"orthanc": 0.06, "dcmtk": 0.01, "pynetdicom": 0.004}

#: The same for whole studies: only Python is that much slower.
_RETRIEVED = {"pynetdicom": 0.025}


def find(
    running: Running,
    context: Context,
    query: Query,
    *,
    span: int,
    requests: int,
    cpus: set[int] | None = None,
) -> dict[str, float]:
    """Send C-FINDs for instances among the first `span` ones."""
    expectation = [] if query.expect is None else ["--expect", str(query.expect)]
    if query.match is not None:
        expectation += ["--match", f"{query.match:08X}"]
    with on_cpus(cpus):
        return _ask(
            running,
            context,
            query.keys,
            ["--find", _FIND, *expectation, "--distinct", f"{query.distinct:08X}"],
            span=span,
            requests=requests,
            corpus=None,
        )


def retrieve(
    running: Running,
    context: Context,
    corpus: corpora.Corpus,
    *,
    move: bool,
    span: int,
    requests: int,
) -> dict[str, float]:
    """Ask for whole studies by C-GET or C-MOVE; every byte of every object is compared."""
    service = ["--get", _GET]
    if move:
        target = f"{archives.DESTINATION}:{running.move_port}"
        service = ["--move", _MOVE, "--destination", target]
    return _ask(
        running,
        context,
        _ONE_STUDY,
        [*service, "--expect", str(INSTANCES_PER_STUDY)],
        span=span,
        requests=requests,
        corpus=corpus,
    )


def _ask(
    running: Running,
    context: Context,
    keys: Keys,
    arguments: list[str],
    *,
    span: int,
    requests: int,
    corpus: corpora.Corpus | None,
) -> dict[str, float]:
    with background(running, context, keys, arguments, span, requests, corpus) as asking:
        pass
    return asking.answer


@dataclass
class Asking:
    """A `query` that runs, or has run."""

    process: subprocess.Popen[bytes]
    answer: dict[str, float]


@contextlib.contextmanager
def background(
    running: Running,
    context: Context,
    keys: Keys,
    arguments: list[str],
    span: int,
    requests: int,
    corpus: corpora.Corpus | None,
) -> Iterator[Asking]:
    """Let `query` run beside what the caller does; its answer is there afterwards."""
    encoded, fields = corpora.identifier(keys)
    path = context.corpora / "identifier"
    path.write_bytes(encoded)
    command = [
        *(str(QUERY), "--port", str(running.port), "--called", running.title),
        *("--identifier", str(path), "--span", str(span), "--requests", str(requests), "--hold"),
        *(word for field in fields for word in ("--ask", corpora.field_argument(*field))),
        *arguments,
        *(corpus.load_arguments() if corpus is not None else []),
    ]
    cpu_before = running.cpu_seconds()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    asking = Asking(process, {})
    try:
        yield asking
        line = process.stdout.readline()
        cpu_s = running.cpu_seconds() - cpu_before
        _, errors = process.communicate(timeout=_DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    if not line:
        raise AskError(f"query: {errors.decode('utf-8', 'replace').strip()}")
    answer = json.loads(line)
    if answer["failure"] is not None:
        raise AskError(answer["failure"])
    answer["server_cpu_us_per_request"] = cpu_s / max(1, answer["requests"]) * 1e6
    asking.answer |= answer


def ask_in_background(
    running: Running, context: Context, query: Query, *, requests: int
) -> contextlib.AbstractContextManager[Asking]:
    """Send C-FINDs while the caller does something else."""
    return background(running, context, query.keys, ["--find", _FIND], 1, requests, None)


def verify(
    peer: Peer, running: Running, context: Context, corpus: corpora.Corpus, objects: int
) -> None:
    """Check over the network that an archive holds the first `objects` instances.

    The number of studies and, of three of them, every instance and every byte.
    """
    studies = objects // INSTANCES_PER_STUDY
    sample = min(3, studies)
    images = next(query for query in QUERIES if query.name == "images")
    find(running, context, images, span=objects, requests=sample)
    if peer.family != "pynetdicom":  # That one answers with a match per instance.
        found = find(running, context, _EVERY_STUDY, span=1, requests=1)["matches"]
        if found != studies:
            raise AskError(f"{found} studies found, {studies} stored")
    retrieve(running, context, corpus, move=False, span=objects, requests=sample)


def answers_right(peer: Peer, query: Query) -> bool:
    """Whether a peer can be asked this at all."""
    return peer.family != "pynetdicom" or query.name == "images"


def requests_for(peer: Peer, context: Context, requests: int, query: Query | None = None) -> int:
    """How many requests give a rate in reasonable time."""
    share = _ASKED.get(peer.family, 1.0) * (query.share if query is not None else 1.0)
    return context.count(requests, share, least=3)


def studies_for(peer: Peer, context: Context, studies: int) -> int:
    """How many studies give a rate in reasonable time."""
    return context.count(studies, _RETRIEVED.get(peer.family, 1.0), least=2)


@dataclass(frozen=True)
class Held:
    """An archive that runs and holds instances 0 to `objects` of a corpus."""

    running: Running
    corpus: corpora.Corpus
    objects: int


@contextlib.contextmanager
def holding(
    peer: Peer, context: Context, kind: str, objects: int, *, cpus: set[int] | None = None
) -> Iterator[Held]:
    """Start an archive that holds `objects` instances of `kind`, on some CPUs or all.

    It is filled once in a run of the benchmark and started again on the same directory later:
    what is measured on it must not store.
    """
    objects = min(objects, _HOLDS_AT_MOST.get(peer.name, objects))
    corpus = corpora.make(kind, context.corpora, archived=True)
    name = re.sub(r"[^a-z0-9]+", "-", f"{peer.name}-{kind}-{objects}".lower())
    directory = context.ground.root / "kept" / name
    if not directory.exists():
        directory.mkdir(parents=True)
        try:
            fill(peer, context, directory, corpus, objects)
        except Exception:
            shutil.rmtree(directory)
            raise
    with peer.running(directory, cpus=cpus) as running:
        yield Held(running, corpus, objects)


#: More than this goes in by files and ``dcmfast index rebuild`` where that is possible.
_OVER_THE_NETWORK = 20_000


def fill(
    peer: Peer, context: Context, directory: Path, corpus: corpora.Corpus, objects: int
) -> None:
    """Put the first `objects` instances into an archive, and check it."""
    in_bulk = peer.family == "dcmfast" and objects > _OVER_THE_NETWORK
    if in_bulk:
        generate(corpus, directory / "area" / "imported", objects)
        rebuild(directory / "area")
    with peer.running(directory) as running:
        if not in_bulk:
            load(running, corpus, associations=1, objects=objects, first=0)
        verify(peer, running, context, corpus, objects)


def generate(corpus: corpora.Corpus, directory: Path, objects: int) -> None:
    """Write the first `objects` instances as files, a thousand to a directory."""
    directory.mkdir(parents=True)
    arguments = ["--first", "0", "--objects", str(objects), "--directory", str(directory)]
    subprocess.run(
        [str(GENERATE), *corpus.load_arguments(), *arguments], check=True, timeout=_DEADLINE_S
    )


def rebuild(area: Path) -> float:
    """Make the index of a storage area from its files; return the seconds it took."""
    return _index_command("rebuild", area)


def verify_index(area: Path) -> float:
    """Compare an index with its files; return the seconds it took."""
    return _index_command("verify", area)


def _index_command(command: str, area: Path) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        [*archives.DCMFAST_COMMAND, "index", command, str(area)],
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    if done.returncode:
        raise AskError(f"dcmfast index {command}: exit {done.returncode}: {done.stderr[-300:]}")
    return time.perf_counter() - started


def per_object(answer: Mapping[str, float]) -> Measures:
    """Measures of a retrieval."""
    return {
        "objects_per_s": answer["objects_per_s"],
        "mb_per_s": answer["mb_per_s"],
        "server_cpu_us_per_object": answer["server_cpu_us_per_request"] / INSTANCES_PER_STUDY,
        "latency_p50_us": answer["latency_us_p50"],
    }
