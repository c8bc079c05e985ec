"""dcmfast load: load an archive, measure it, and check what it keeps."""

from __future__ import annotations

import sys

from dcmfast.apps import frame
from dcmfast.errors import InputFileError, StartupFailure
from dcmfast.options import load_settings
from dcmfast.options.load_settings import LoadSettings, LoadTask, ReportSettings
from dcmfast.options.specs.load import LOAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Something failed, is missing or is worse.
FINDINGS = 2


def main(arguments: list[str]) -> int:
    """Run load with the arguments behind its name; return the exit code."""
    return frame.main(LOAD, load_settings.load, _run, arguments)


def _run(what: LoadTask) -> int:
    if isinstance(what, LoadSettings):
        return _load(what)
    assert isinstance(what, ReportSettings)
    return _compare(what) if what.command == "compare" else _show(what)


def _load(what: LoadSettings) -> int:
    # Imported here: a command line that is refused needs no engine.
    from dcmfast.net import load
    from dcmfast.observe import load_report

    try:
        report = load.run(what)
    except OSError as error:
        raise StartupFailure(("F", f"{error.filename}: {error.strerror}")) from None
    # What cannot be written costs no other of the reports.
    trouble = []
    if report["ledger_trouble"]:
        trouble.append(f"{what.ledger_file}: {report['ledger_trouble']}")
    if what.json_file:
        from json import dumps

        trouble += _write(what.json_file, dumps(report, indent=1, ensure_ascii=False) + "\n")
    trouble += _page(what.html_file, report)
    if what.log_level != "fatal":
        _say(load_report.text(report))
    if trouble:
        raise StartupFailure(*(("F", line) for line in trouble))
    if report["is_interrupted"]:
        from dcmfast.net import interrupts

        return interrupts.exit_code()
    if report["ended_by"] == "gave-up" and not any(
        figures["succeeded"] + figures["warned"] for figures in report["operations"].values()
    ):
        raise StartupFailure(("F", f"the peer cannot be loaded: {report['gave_up']}"))
    return FINDINGS if load_report.findings(report) else 0


def _compare(what: ReportSettings) -> int:
    from dcmfast.observe import load_report

    first, second = (_read(path) for path in what.files)
    result = load_report.compare(first, second, what.tolerance_percent)
    _say("\n".join(result.lines) + "\n")
    return FINDINGS if result.worse else 0


def _show(what: ReportSettings) -> int:
    from dcmfast.observe import load_report

    report = _read(what.files[0])
    trouble = _page(what.html_file, report)
    _say(load_report.text(report))
    if trouble:
        raise StartupFailure(*(("F", line) for line in trouble))
    return FINDINGS if load_report.findings(report) else 0


def _read(path: str) -> dict[str, Any]:
    from dcmfast.observe import load_report

    try:
        return load_report.read(path)
    except OSError as error:
        raise InputFileError(("F", f"{path}: {error.strerror}")) from None
    except load_report.NotAReportError as error:
        raise InputFileError(("F", str(error))) from None


def _page(path: str, report: dict[str, Any]) -> list[str]:
    if not path:
        return []
    from dcmfast.observe import load_html

    return _write(path, load_html.page(report))


def _write(path: str, text: str) -> list[str]:
    """Write a file; return why it could not be."""
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    return []


def _say(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()
