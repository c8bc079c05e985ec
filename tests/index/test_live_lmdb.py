"""Other programs read a live index: Python's lmdb, while stores run, as FORMAT.md describes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import lmdb
import pytest

from testkit.kinds import StartReceiver
from testkit.objects import uid, write_object
from testkit.process import command, wait_until

FILES = 300


def test_pythons_lmdb_reads_while_stores_run(running_scp: StartReceiver, tmp_path: Path) -> None:
    """Each state is whole: every UID leads to an instance, and the count is that of the rows."""
    server = running_scp("serve", directory=tmp_path / "area")
    server.stdout.wait_for("^In another")
    for number in range(1, FILES + 1):
        write_object(tmp_path / "in" / f"{number}.dcm", number, study=number % 7)
    arguments = ["127.0.0.1", str(server.port), "+sd", "+r", str(tmp_path / "in")]
    states: list[int] = []
    path = str(tmp_path / "area" / ".dcmfast" / "index")
    with lmdb.open(path, readonly=True, max_dbs=16) as environment:
        uids = environment.open_db(b"uids", create=False)
        instances = environment.open_db(b"instances", create=False)
        meta = environment.open_db(b"meta", create=False)

        def look() -> bool:
            with environment.begin() as transaction:
                rows = dict(transaction.cursor(db=uids))
                for key in rows.values():
                    assert transaction.get(key, db=instances)[:1] == b"\1"
                counters = transaction.get(b"counters", db=meta)
                assert int.from_bytes(counters[24:32], "big") == len(rows)
                assert transaction.get(b"format", db=meta) == b"dcmfast\0\0\0\0\3"
            states.append(len(rows))
            return len(rows) == FILES

        assert not look()
        sender = subprocess.Popen([*command("dcmfast", "storescu"), *arguments])
        wait_until(look, within_s=60, what="all instances in the index")
        with environment.begin() as transaction:
            assert transaction.get(uid(1).encode(), db=uids) is not None
        assert sender.wait(30) == 0
    assert states == sorted(states)
    # It was read empty and while it grew; a fast machine may need two commits for all of it.
    assert len(set(states)) > 1


def test_pythons_lmdb_writes_nothing(running_scp: StartReceiver, tmp_path: Path) -> None:
    server = running_scp("serve", directory=tmp_path / "area")
    server.stdout.wait_for("^In another")
    path = str(tmp_path / "area" / ".dcmfast" / "index")
    with (
        lmdb.open(path, readonly=True, max_dbs=16) as environment,
        pytest.raises(lmdb.ReadonlyError),
    ):
        environment.begin(write=True)
