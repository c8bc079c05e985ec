"""The goals, as a list: what must be reached, and how the measured value is formed.

A value is formed from medians over the rounds of one run of the benchmark.  A goal whose
measurements are missing is reported as not measured, never as met.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peers import Peer, archives, dcmfast, dcmtk, limit
from workloads import archive_index, clients, load_generator, read_corpus, senders, startup


class Medians:
    """Medians by workload, peer and measure; a missing one raises `KeyError`."""

    def __init__(self, values: dict[tuple[str, str, str], float]) -> None:
        self._values = values

    def get(self, workload: str, peer: str, measure: str) -> float:
        """Median of one measure."""
        return self._values[workload, peer, measure]

    def of_dcmtk(self, workload: str, measure: str) -> list[float]:
        """The measure of every DCMTK receiver that took part, default or not."""
        names = [peer.name for peer in (*dcmtk.FAIR, *dcmtk.DEFAULT)]
        found = [
            self._values[workload, name, measure]
            for name in names
            if (workload, name, measure) in self._values
        ]
        if not found:
            raise KeyError(workload)
        return found


@dataclass(frozen=True)
class Goal:
    """One line of the goals table."""

    text: str
    #: Which workloads it needs: those left out of a run leave the goal out too.
    workloads: tuple[str, ...]
    value: Callable[[Medians], float]
    bound: float
    at_least: bool
    unit: str = "×"

    def met(self, value: float) -> bool:
        """Compare with the bound, in the direction of the goal."""
        return value >= self.bound if self.at_least else value <= self.bound

    def verdict(self, value: float) -> str:
        """``met``, or ``missed`` and by how much."""
        if self.met(value):
            return "met"
        if not self.bound:
            return f"**missed** by {value:.1f} {self.unit}"
        return f"**missed** by {abs(value - self.bound) / self.bound:.0%}"


_OURS = dcmfast.STORESCP.name
_RATE = "objects_per_s"


def _of_limit(workload: str) -> Callable[[Medians], float]:
    return lambda m: m.get(workload, _OURS, _RATE) / m.get(workload, limit.LIMIT.name, _RATE)


def _of_dcmtk(workload: str) -> Callable[[Medians], float]:
    return lambda m: m.get(workload, _OURS, _RATE) / max(m.of_dcmtk(workload, _RATE))


def _of_synced(workload: str) -> Callable[[Medians], float]:
    group = dcmfast.STORESCP_GROUP.name
    return lambda m: m.get(workload, group, _RATE) / m.get(workload, limit.LIMIT_SYNC.name, _RATE)


def _of_pydicom(workload: str) -> Callable[[Medians], float]:
    ours, theirs = read_corpus.DCMFAST.name, read_corpus.PYDICOM.name
    return lambda m: m.get(workload, ours, "files_per_s") / m.get(workload, theirs, "files_per_s")


def _at_least(
    text: str, workload: str, form: Callable[[str], Callable[[Medians], float]], bound: float
) -> Goal:
    return Goal(text, (workload,), form(workload), bound, at_least=True)


def _at_most(
    text: str, workload: str, value: Callable[[Medians], float], bound: float, unit: str
) -> Goal:
    return Goal(text, (workload,), value, bound, at_least=False, unit=unit)


def _cpu(m: Medians) -> float:
    measure = "server_cpu_us_per_object"
    return m.get("store_tiny_1", _OURS, measure) / min(m.of_dcmtk("store_tiny_1", measure))


def _above_bare(m: Medians) -> float:
    bare = m.get("startup", startup.BARE.name, "startup_ms")
    return m.get("startup", _OURS, "startup_ms") - bare


_NONE, _GROUP, _SERVE = archives.DCMFAST_NONE, archives.DCMFAST_GROUP, archives.DCMFAST_SERVE
_ORTHANC, _DCMQRSCP = archives.ORTHANC_NONE, archives.DCMTK


def _archive(
    text: str, workload: str, ours: Peer, theirs: Peer, bound: float, measure: str = _RATE
) -> Goal:
    """Our archive at least so many times as fast as another, in the same workload."""
    return Goal(
        f"archive, {text}: dcmfast / {theirs.name}",
        (workload,),
        lambda m: m.get(workload, ours.name, measure) / m.get(workload, theirs.name, measure),
        bound,
        at_least=True,
    )


def _of_better(text: str, workload: str, ours: Peer, bound: float, measure: str = _RATE) -> Goal:
    """Our archive beside the better of dcmqrscp and Orthanc."""
    return Goal(
        f"archive, {text}: dcmfast / better of dcmqrscp and Orthanc",
        (workload,),
        lambda m: (
            m.get(workload, ours.name, measure)
            / max(m.get(workload, peer.name, measure) for peer in (_ORTHANC, _DCMQRSCP))
        ),
        bound,
        at_least=True,
    )


def _figure(
    text: str,
    workload: str,
    ours: Peer,
    measure: str,
    bound: float,
    unit: str,
    *,
    at_least: bool,
) -> Goal:
    return Goal(
        f"archive, {text}",
        (workload,),
        lambda m: m.get(workload, ours.name, measure),
        bound,
        at_least=at_least,
        unit=unit,
    )


def _kept(text: str, workloads: tuple[str, str], measure: str) -> Goal:
    """The same rate in a large archive as in a small one; nine tenths pass for the same."""
    small, large = workloads
    return Goal(
        f"archive, {text}",
        workloads,
        lambda m: m.get(large, _SERVE.name, measure) / m.get(small, _SERVE.name, measure),
        0.9,
        at_least=True,
    )


def _by_key(workload: str, count: str, ours: Peer, prefix: str = "") -> tuple[Goal, ...]:
    """10,000 finds per second by each key that an archive indexes."""
    return tuple(
        _figure(
            f"finds by {text} among {count}",
            workload,
            ours,
            f"{prefix}{key}_finds_per_s",
            10_000,
            "finds/s",
            at_least=True,
        )
        for key, text in (
            ("study_uid", "Study UID"),
            ("patient_id", "patient ID"),
            ("accession", "accession number"),
        )
    )


_MILLION = "archive_million"


def _million(text: str, value: Callable[[Medians], float], bound: float) -> Goal:
    return Goal(f"archive, {text}", (_MILLION,), value, bound, at_least=True)


def _million_find(key: str) -> Callable[[Medians], float]:
    return lambda m: (
        m.get(_MILLION, _SERVE.name, f"many_{key}_finds_per_s")
        / m.get(_MILLION, _SERVE.name, f"few_{key}_finds_per_s")
    )


def _million_startup(m: Medians) -> float:
    many = m.get(_MILLION, _SERVE.name, "many_startup_ms")
    return many - m.get(_MILLION, _SERVE.name, "empty_startup_ms")


_FIND = "archive_find_10000"
_UID = "study_uid_finds_per_s"

ARCHIVE_GOALS = (
    _archive("tiny, 1 association, none", "archive_store_tiny_1", _NONE, _ORTHANC, 12.0),
    _archive("tiny, 4 associations, none", "archive_store_tiny_4", _NONE, _ORTHANC, 12.0),
    _archive("tiny, 1 association, none", "archive_store_tiny_1", _NONE, _DCMQRSCP, 20.0),
    _archive("tiny, 4 associations, none", "archive_store_tiny_4", _NONE, _DCMQRSCP, 20.0),
    _archive("CT, 1 association, none", "archive_store_ct_1", _NONE, _ORTHANC, 4.0),
    _archive("CT, 4 associations, none", "archive_store_ct_4", _NONE, _ORTHANC, 4.0),
    _figure(
        "tiny: server CPU per object with the index",
        "archive_store_tiny_1",
        _NONE,
        "server_cpu_us_per_object",
        75.0,
        "µs",
        at_least=False,
    ),
    *(
        _archive(
            f"tiny, {count} association(s), group",
            f"archive_durable_tiny_{count}",
            _GROUP,
            theirs,
            bound,
        )
        for count, times in ((1, 2.0), (4, 4.0), (16, 6.0))
        for theirs, bound in ((limit.LIMIT_JOURNAL, 0.6), (archives.ORTHANC_SYNCED, times))
    ),
    *(
        _archive(
            f"CT, {count} association(s), group",
            f"archive_durable_ct_{count}",
            _GROUP,
            limit.LIMIT_SYNC_FILE,
            0.8,
        )
        for count in (1, 4, 16)
    ),
    *_by_key("archive_find_1000", "1,000", _NONE),
    *_by_key(_FIND, "10,000", _NONE),
    *_by_key("archive_find_100000", "100,000", _SERVE),
    *_by_key(_MILLION, "1,000,000", _SERVE, "many_"),
    _archive("finds by Study UID among 10,000", _FIND, _NONE, _ORTHANC, 15.0, _UID),
    _archive(
        "finds by patient ID among 10,000", _FIND, _NONE, _ORTHANC, 15.0, "patient_id_finds_per_s"
    ),
    _archive(
        "finds by accession number among 10,000",
        _FIND,
        _NONE,
        _ORTHANC,
        15.0,
        "accession_finds_per_s",
    ),
    _archive("finds by Study UID among 10,000", _FIND, _NONE, _DCMQRSCP, 100.0, _UID),
    _archive(
        "finds by Study UID among 100,000", "archive_find_100000", _SERVE, _ORTHANC, 50.0, _UID
    ),
    _kept(
        "finds by Study UID: 100,000 / 1,000", ("archive_find_1000", "archive_find_100000"), _UID
    ),
    _of_better("name prefix among 10,000", _FIND, _NONE, 20.0, "name_prefix_finds_per_s"),
    _of_better("images of a study among 10,000", _FIND, _NONE, 20.0, "images_finds_per_s"),
    _figure(
        "unindexed attribute: first answer",
        "archive_scan",
        _SERVE,
        "first_answer_beside_stores_ms",
        100.0,
        "ms",
        at_least=False,
    ),
    _of_better("C-GET, tiny", "archive_get_tiny", _NONE, 3.0),
    _of_better("C-GET, CT", "archive_get_ct", _NONE, 1.5),
    _of_better("C-MOVE, tiny", "archive_move_tiny", _NONE, 3.0),
    _of_better("C-MOVE, CT", "archive_move_ct", _NONE, 1.5),
    _figure(
        "rebuild",
        "archive_index",
        archive_index.REBUILD,
        "rebuilt_files_per_s",
        20_000,
        "files/s",
        at_least=True,
    ),
    _figure(
        "verify",
        "archive_index",
        archive_index.REBUILD,
        "verified_files_per_s",
        50_000,
        "files/s",
        at_least=True,
    ),
    _figure(
        "index per instance beyond its values",
        "archive_index",
        archive_index.REBUILD,
        "index_bytes_beyond_values",
        500,
        "bytes",
        at_least=False,
    ),
    _million(
        "stores at 1,000,000 / at 1,000", lambda m: m.get(_MILLION, _SERVE.name, "rate_kept"), 0.9
    ),
    _million("finds by Study UID at 1,000,000 / at 1,000", _million_find("study_uid"), 0.9),
    _million("finds by patient ID at 1,000,000 / at 1,000", _million_find("patient_id"), 0.9),
    _million("finds by accession at 1,000,000 / at 1,000", _million_find("accession"), 0.9),
    _figure(
        "unindexed attribute among 1,000,000: first answer",
        _MILLION,
        _SERVE,
        "many_scan_first_answer_ms",
        100.0,
        "ms",
        at_least=False,
    ),
    _at_most(
        "archive, start-up with 1,000,000, above the empty one's",
        _MILLION,
        _million_startup,
        150.0,
        "ms",
    ),
)


def _beside(text: str, workload: str, ours: Peer, theirs: Peer, bound: float) -> Goal:
    """Objects per second of one receiver beside another's."""
    return Goal(
        f"{text}: {ours.name} / {theirs.name}",
        (workload,),
        lambda m: m.get(workload, ours.name, _RATE) / m.get(workload, theirs.name, _RATE),
        bound,
        at_least=True,
    )


def _deflated_size(m: Medians) -> float:
    ours, theirs = dcmfast.STORESCP_DEFLATED.name, dcmtk.STORESCP_DEFLATED.name
    measure = "file_kb"
    return m.get("encode_deflated_ct", ours, measure) / m.get("encode_deflated_ct", theirs, measure)


OPTION_GOALS = (
    *(
        _beside(f"{text}, nothing to change", name, dcmfast.STORESCP, dcmfast.STORESCP_B, 0.95)
        for text, name in (
            ("tiny", "store_tiny_1"),
            ("CT", "store_ct_1"),
            ("210 MB", "store_multiframe_1"),
        )
    ),
    _beside("CT, big endian", "encode_big_ct", dcmfast.STORESCP_BIG, dcmtk.STORESCP_BIG, 2.0),
    _beside(
        "CT, deflated",
        "encode_deflated_ct",
        dcmfast.STORESCP_DEFLATED,
        dcmtk.STORESCP_DEFLATED,
        1.0,
    ),
    _at_most("CT, deflated: size beside DCMTK's", "encode_deflated_ct", _deflated_size, 1.02, "×"),
    _beside("CT over TLS", "tls_ct", dcmfast.STORESCP_TLS, limit.LIMIT_TLS, 0.9),
    _beside("CT over TLS", "tls_ct", dcmfast.STORESCP_TLS, dcmtk.STORESCP_TLS, 1.2),
    _beside("tiny", "fork_tiny_1", dcmfast.STORESCP_FORK, dcmtk.STORESCP_FORK, 1.0),
    _beside("associations", "fork_associations", dcmfast.STORESCP_FORK, dcmtk.STORESCP_FORK, 0.5),
)


def _first_answer(m: Medians, theirs: Peer) -> float:
    """Milliseconds by which our findscu is later than another."""
    measure = "first_answer_ms"
    ours = m.get("client_find", clients.FINDSCU.name, measure)
    return ours - m.get("client_find", theirs.name, measure)


CLIENT_GOALS = (
    _at_most(
        "findscu, start to first answer, above DCMTK's with TCP_NODELAY",
        "client_find",
        lambda m: _first_answer(m, clients.DCMTK_FINDSCU),
        40.0,
        "ms",
    ),
    _at_most(
        "findscu, start to first answer, above DCMTK's as installed",
        "client_find",
        lambda m: _first_answer(m, clients.DCMTK_FINDSCU_AS_INSTALLED),
        0.0,
        "ms",
    ),
    _beside("CT", "client_movescu_ct", clients.MOVESCU, clients.DCMTK_MOVESCU, 1.5),
    _beside("CT", "client_getscu_ct", clients.GETSCU, clients.DCMTK_GETSCU, 1.5),
    Goal(
        "load generator: tiny stores on one processor",
        ("load_generator_tiny",),
        lambda m: m.get("load_generator_tiny", load_generator.DISCARDING.name, "objects_per_s"),
        20_000.0,
        at_least=True,
        unit="/s",
    ),
    *(
        _beside(what, f"send_{kind}", ours, senders.DCMTK_STORESCU, bound)
        for kind, what, bound in (
            ("tiny", "tiny, stored", 3.0),
            ("tiny_discarded", "tiny, discarded", 3.0),
            ("ct", "CT", 1.2),
        )
        for ours in (senders.STORESCU, senders.DCMSEND)
    ),
)

GOALS = (
    _at_least("tiny, 1 association: dcmfast / best of DCMTK", "store_tiny_1", _of_dcmtk, 1.4),
    _at_least("tiny, 1 association: dcmfast / limit", "store_tiny_1", _of_limit, 0.7),
    _at_least("tiny, 4 associations: dcmfast / limit", "store_tiny_4", _of_limit, 0.7),
    _at_most("tiny: server CPU per object, dcmfast / DCMTK", "store_tiny_1", _cpu, 0.8, "×"),
    _at_least("CT, 1 association: dcmfast / limit", "store_ct_1", _of_limit, 0.9),
    _at_least("CT, 4 associations: dcmfast / limit", "store_ct_4", _of_limit, 0.9),
    _at_least("CT, 1 association: dcmfast / best of DCMTK", "store_ct_1", _of_dcmtk, 1.0),
    _at_least("CT, 4 associations: dcmfast / best of DCMTK", "store_ct_4", _of_dcmtk, 1.0),
    _at_least("DX, 1 association: dcmfast / limit", "store_dx_1", _of_limit, 0.9),
    _at_least("DX, 4 associations: dcmfast / limit", "store_dx_4", _of_limit, 0.9),
    _at_least("DX, 1 association: dcmfast / best of DCMTK", "store_dx_1", _of_dcmtk, 1.0),
    _at_least("DX, 4 associations: dcmfast / best of DCMTK", "store_dx_4", _of_dcmtk, 1.0),
    _at_least("210 MB, 1 association: dcmfast / limit", "store_multiframe_1", _of_limit, 0.8),
    _at_most(
        "210 MB: growth of resident memory",
        "store_multiframe_1",
        lambda m: m.get("store_multiframe_1", _OURS, "memory_growth_mb"),
        16.0,
        "MB",
    ),
    _at_most(
        "200 idle associations: resident memory in all",
        "idle_associations",
        lambda m: m.get("idle_associations", _OURS, "total_resident_mb"),
        64.0,
        "MB",
    ),
    _at_most(
        "idle, no association: resident memory",
        "idle_associations",
        lambda m: m.get("idle_associations", _OURS, "idle_resident_mb"),
        40.0,
        "MB",
    ),
    _at_most("start-up to listening, above `python -c pass`", "startup", _above_bare, 60.0, "ms"),
    _at_least("group, tiny, 1 association: / synced limit", "durable_tiny_1", _of_synced, 0.8),
    _at_least("group, tiny, 4 associations: / synced limit", "durable_tiny_4", _of_synced, 1.5),
    _at_least("group, CT, 1 association: / synced limit", "durable_ct_1", _of_synced, 0.8),
    _at_least("group, CT, 4 associations: / synced limit", "durable_ct_4", _of_synced, 1.5),
    _at_least("read, headers: dcmfast / pydicom", "read_headers", _of_pydicom, 5.0),
    _at_least("read, every value: dcmfast / pydicom", "read_values", _of_pydicom, 2.0),
    _at_least("write, as read: dcmfast / pydicom", "write_raw", _of_pydicom, 3.0),
    _at_least("write, decoded: dcmfast / pydicom", "write_touched", _of_pydicom, 3.0),
    *OPTION_GOALS,
    *ARCHIVE_GOALS,
    *CLIENT_GOALS,
)  # fmt: skip
