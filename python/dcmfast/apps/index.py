"""dcmfast index: what can be done with the index of a storage area.

Answers go to stdout, as text or as one JSON object per line; progress and failures to stderr.
"""

from __future__ import annotations

import os
import sys

from dcmfast.apps import frame
from dcmfast.observe.logs import is_shown
from dcmfast.observe.progress import WorkBar
from dcmfast.options import index_settings
from dcmfast.options.index_settings import IndexSettings
from dcmfast.options.specs.index import INDEX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dcmfast.archive.index import Finding, LeftOut

#: Something was found that is not as it should be.
FINDINGS = 1
#: The user ended it; 128 + SIGINT, as shells say.
INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Run index with the arguments behind its name; return the exit code."""
    return frame.main(INDEX, index_settings.index, _run, arguments)


def _run(what: IndexSettings) -> int:
    try:
        return _COMMANDS[what.command](what)
    except BrokenPipeError:
        # Who read the answer has had enough; Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("F: interrupted; the index is as it was\n")
        return INTERRUPTED


def _say(what: IndexSettings, text: str, values: dict[str, Any]) -> None:
    """Print `text` as one line that moves no cursor, or `values` as a line of JSON."""
    if what.is_json:
        from json import dumps

        text = dumps(values, ensure_ascii=False)
    else:
        text = text.translate(_CONTROLS)
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")
    sys.stdout.buffer.flush()


#: Names of files and of patients are whatever somebody wrote.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def _bar(what: IndexSettings) -> WorkBar:
    return WorkBar(is_wanted=is_shown("W", what.log_level))


def _show(what: IndexSettings) -> int:
    from dcmfast.archive import index

    totals = index.totals(what.directory)
    if what.shows_outside:
        for one in index.instances(what.directory):
            if one.kind == "absolute":
                _say(what, one.path, {"path": one.path})
    if what.shows_studies:
        for study in index.studies(what.directory):
            text = (
                f"{_time(study.last_reception_s)}  {study.instances:>7} objects  "
                f"{_size(study.file_bytes):>9}  {study.study_instance_uid}  "
                f"{study.patient_id}  {study.patient_name}"
            )
            _say(what, text, study.as_dict())
    if what.is_json:
        _say(what, "", {"command": "show", "directory": what.directory, **totals.as_dict()})
        return 0
    if what.shows_outside or what.shows_studies:
        return 0
    per_instance = totals.index_bytes / max(totals.instances, 1)
    lines = [
        f"storage area  {what.directory}",
        f"patients      {totals.patients}",
        f"studies       {totals.studies}",
        f"series        {totals.series}",
        f"instances     {totals.instances}",
        f"files         {_size(totals.file_bytes)}",
        f"index         {_size(totals.index_bytes)}, {per_instance:.0f} bytes per instance",
        f"journal       {_JOURNAL[totals.journal_has_records, totals.is_current]}",
    ]
    for line in lines:
        _say(what, line, {})
    return 0


_JOURNAL = {
    (False, True): "empty: all is in the index",
    (False, False): "empty",
    (True, True): "has records: all are in the index",
    (True, False): "has records that only the server or the next start lists",
}


def _verify(what: IndexSettings) -> int:
    from dcmfast.archive import index

    def report(finding: Finding) -> None:
        mark = "repaired" if finding.is_repaired else "found"
        text = f"{mark}  {finding.problem:<10}  {finding.path or what.directory}: {finding.text}"
        _say(what, text, finding.as_dict())

    with _bar(what) as watch:
        done = index.verify(
            what.directory,
            depth=what.depth,
            is_repairing=what.is_repairing,
            threads=what.threads,
            log_level=what.log_level,
            report=report,
            watch=watch,
        )
    text = (
        f"{done.instances} instances listed, {done.files} files there: {done.findings} findings"
        f"{f', {done.repaired} repaired' if what.is_repairing else ''}"
        f"{f'; {done.pending} files are not in the index yet' if done.pending else ''}"
        f"{f'; {done.others} other files' if done.others else ''}"
    )
    _say(what, text, {"command": "verify", "directory": what.directory, **done.as_dict()})
    return FINDINGS if done.findings > done.repaired else 0


def _rebuild(what: IndexSettings) -> int:
    from dcmfast.archive import index
    from dcmfast.archive.outside import listed_outside

    outside, complaint = listed_outside(what.directory)
    if complaint and is_shown("W", what.log_level):
        sys.stderr.write(f"W: {complaint}\n")

    def report(left_out: LeftOut) -> None:
        text = f"left out  {left_out.reason:<10}  {left_out.path}: {left_out.text}"
        _say(what, text, left_out.as_dict())

    with _bar(what) as watch:
        done = index.rebuild(
            what.directory,
            outside=outside,
            threads=what.threads,
            log_level=what.log_level,
            report=report,
            watch=watch,
        )
    text = (
        f"{done.instances} instances listed, of {done.files} files"
        f"{f'; {done.damaged} damaged' if done.damaged else ''}"
        f"{f'; {done.duplicates} with the UID of a newer one' if done.duplicates else ''}"
        f"{f'; {done.undeleted} to be deleted' if done.undeleted else ''}"
        f"{f'; {done.others} other files' if done.others else ''}"
    )
    _say(what, text, {"command": "rebuild", "directory": what.directory, **done.as_dict()})
    return FINDINGS if done.damaged or done.duplicates or done.undeleted else 0


def _export(what: IndexSettings) -> int:
    from dcmfast.archive import index

    with _bar(what) as watch:
        count = index.export(what.directory, what.file, watch=watch)
    values = {"command": "export", "directory": what.directory, "instances": count}
    _say(what, f"{count} instances written to {what.file}", values)
    return 0


def _import(what: IndexSettings) -> int:
    from dcmfast.archive import index

    with _bar(what) as watch:
        count = index.import_(what.directory, what.file, log_level=what.log_level, watch=watch)
    values = {"command": "import", "directory": what.directory, "instances": count}
    text = f"{count} instances listed; dcmfast index verify {what.directory} compares the files"
    _say(what, text, values)
    return 0


def _quota(what: IndexSettings) -> int:
    from dcmfast.archive import index, quota

    studies = index.studies(what.directory)
    plan = quota.plan(studies, what.studies_max, what.study_bytes_max)
    for study in plan.studies:
        size = _size(study.file_bytes)
        text = f"study  {study.study_instance_uid}: {study.instances} objects, {size}"
        _say(what, text, {"would_go": "study", **study.as_dict()})
    for study, excess in plan.shrunk:
        size = f"{_size(excess)} of {_size(study.file_bytes)}"
        text = f"objects of study  {study.study_instance_uid}: {size}"
        _say(what, text, {"would_go": "objects", "excess_bytes": excess, **study.as_dict()})
    text = (
        f"{len(plan.studies)} studies would go before a new study is stored, and objects of "
        f"{len(plan.shrunk)} studies when the next object of theirs comes"
    )
    values = {
        "command": "quota",
        "directory": what.directory,
        "studies": len(plan.studies),
        "shrunk_studies": len(plan.shrunk),
    }
    _say(what, text, values)
    return 0


_COMMANDS: dict[str, Callable[[IndexSettings], int]] = {
    "show": _show,
    "verify": _verify,
    "rebuild": _rebuild,
    "export": _export,
    "import": _import,
    "quota": _quota,
}


def _time(seconds: float) -> str:
    from time import localtime, strftime

    return strftime("%Y-%m-%d %H:%M:%S", localtime(seconds))


def _size(count: float) -> str:
    """Return a number of bytes with a unit."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")
