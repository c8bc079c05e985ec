"""Reports of load: read with suspicion, compared with a verdict, shown on a page of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dcmfast.observe import load_html, load_report


def times(middle_us: float, count: int = 1000) -> dict[str, Any]:
    return {
        "count": count,
        "min": middle_us / 2,
        "mean": middle_us,
        "p50": middle_us,
        "p90": middle_us * 2,
        "p99": middle_us * 3,
        "p999": middle_us * 4,
        "p9999": middle_us * 4,
        "max": middle_us * 5,
        "buckets": [one for one in ([middle_us / 2, count - 1], [middle_us * 5, 1]) if one[1]],
    }


def report(
    *, middle_us: float = 1000, elapsed_s: float = 2.0, failed: int = 0, count: int = 1000
) -> dict[str, Any]:
    good = count - failed
    figures = {
        "succeeded": good,
        "warned": 0,
        "failed": failed,
        "objects": good,
        "bytes": good * 1000,
        "statuses": {"0000": good},
        "latency_us": times(middle_us, count),
    }
    return {
        "format": "dcmfast-load",
        "format_version": 1,
        "dcmfast": "0.1.0",
        "started": "2026-01-01T00:00:00+00:00",
        "is_interrupted": False,
        "plan": {
            "command": "store",
            "host": "localhost",
            "port": 104,
            "count": count,
            "duration_s": 60,
            "associations": 1,
            "seed": 1,
            "mix": {"store": 1},
            "rate": None,
        },
        "elapsed_s": elapsed_s,
        "begun": count,
        "overdue": 0,
        "ended_by": "count",
        "gave_up": None,
        "operations": {"store": figures},
        "associations": {"failed": 0, "latency_us": times(500, 1)},
        "errors": {},
        "timeline": {"width_s": 0.5, "rows": [[250, 0, 250_000, 1000.0, 5000.0]] * 4},
        "ledger": {
            "stores": count,
            "stored": good,
            "warned": 0,
            "refused": failed,
            "no_answer": 0,
            "not_sent": 0,
        },
        "audit": None,
    }


AUDIT = {
    "acknowledged": 10,
    "whole": 7,
    "lost": 1,
    "not_sent": 0,
    "not_listed": 0,
    "altered": 1,
    "duplicated": 1,
    "not_compared": 0,
    "unacknowledged": 0,
    "unknown": 0,
    "retrieved": 10,
    "retrieved_bytes": 10,
    "incomplete": [],
    "remarks": ["release: late"],
    "findings": [["lost", "2.25.1"], ["altered", "2.25.2"], ["duplicated", "2.25.3"]],
    "elapsed_s": 0.1,
}


def test_the_same_run_twice_is_the_same() -> None:
    result = load_report.compare(report(), report(middle_us=1050, elapsed_s=2.1), 10)
    assert (result.worse, result.better) == ([], [])
    assert result.lines[-1] == "the same, within 10 %"


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (report(elapsed_s=3), "store: rate 0.67 of the first's"),
        (report(middle_us=1200), "store: p50 1.20 of the first's"),
        (report(failed=3), "store: 3 failed, where 0 did"),
        ({**report(), "audit": AUDIT}, "the second run found faults"),
        ({**report(), "operations": {}}, "no operation in common"),
    ],
)
def test_what_is_worse(second: dict[str, Any], why: str) -> None:
    assert why in "\n".join(load_report.compare(report(), second, 10).worse)
    back = load_report.compare(second, report(), 10)
    assert not back.worse or "no operation" in back.worse[0]


def test_a_tail_of_few_operations_is_not_judged() -> None:
    few = report(count=50)
    slow = report(count=50)
    slow["operations"]["store"]["latency_us"]["p99"] *= 10
    assert not load_report.compare(few, slow, 10).worse
    many, slow = report(), report()
    slow["operations"]["store"]["latency_us"]["p99"] *= 10
    assert load_report.compare(many, slow, 10).worse


def test_an_open_loop_is_not_judged_by_the_rate_it_was_told() -> None:
    first, second = report(), report(elapsed_s=4)
    for one in (first, second):
        one["plan"]["rate"] = 100
    assert not load_report.compare(first, second, 10).worse
    second["overdue"] = 5
    assert load_report.compare(first, second, 10).worse


def test_runs_that_were_not_the_same_are_noted() -> None:
    other = report()
    other["plan"] = {**other["plan"], "associations": 4}
    assert (
        "NOTE: the runs were not the same: associations"
        in (load_report.compare(report(), other, 10).lines[0])
    )


def test_faults_are_told_in_words() -> None:
    assert load_report.findings(report()) == []
    wrong = load_report.findings({**report(failed=2), "audit": AUDIT})
    assert wrong == [
        "2 of 1000 store operations failed",
        "1 object acknowledged and lost",
        "1 object altered",
        "1 object duplicated",
    ]
    text = load_report.text({**report(failed=2), "audit": AUDIT})
    assert "WRONG: 1 object altered" in text
    assert "altered: 2.25.2" in text
    assert "  release: late\n" in text
    assert "all is well" in load_report.text(report())


def test_what_was_not_done_is_not_well() -> None:
    for name, value, words in (
        ("is_interrupted", True, "it was interrupted"),
        ("ledger_trouble", "No space left on device", "the ledger is not whole: No space"),
        ("plan", {**report()["plan"], "is_auditing": True}, "the audit that was asked for was not"),
        ("audit", {**AUDIT, "lost": 0, "altered": 0, "duplicated": 0, "not_listed": 2},
         "2 objects sent by a get, but not listed"),
    ):  # fmt: skip
        (wrong,) = load_report.findings({**report(), name: value})
        assert words in wrong
        assert "all is well" not in load_report.text({**report(), name: value})


def test_what_the_archives_kept_is_compared() -> None:
    def kept(**figures: object) -> dict[str, Any]:
        return {**report(), "audit": {**AUDIT, "acknowledged": 1000, **figures}}

    for worse, words in (
        ({"lost": 1000}, "audit: 1000 of 1000 acknowledged and lost, where 1 of 1000 were"),
        ({"not_sent": 1}, "listed, but not sent by a get"),
        ({"not_listed": 1}, "but not listed"),
        ({"acknowledged": 10, "altered": 2}, "altered"),
        ({"duplicated": 9}, "duplicated"),
        ({"not_compared": 1}, "not compared"),
        ({"incomplete": ["why"]}, "the second audit is incomplete: why"),
    ):
        told = load_report.compare(kept(), kept(**worse), 10).worse
        assert any(words in one for one in told), (worse, told)
        assert not load_report.compare(kept(**worse), kept(**worse), 10).worse
    # As many of more objects is less.
    assert not load_report.compare(kept(acknowledged=10), kept(), 10).worse


def test_a_report_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    made = {**report(), "audit": AUDIT}
    path.write_text(json.dumps(made))
    assert load_report.read(str(path)) == made


def without(place: str) -> dict[str, Any]:
    made: dict[str, Any] = report()
    *parents, name = place.split(".")
    inner = made
    for parent in parents:
        inner = inner[parent]
    del inner[name]
    return made


def altered(place: str, value: object) -> dict[str, Any]:
    made: dict[str, Any] = report()
    *parents, name = place.split(".")
    inner = made
    for parent in parents:
        inner = inner[parent]
    inner[name] = value
    return made


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "not a report of dcmfast load"),
        ('{"format": "other"}', "not a report of dcmfast load"),
        ('{"format": "dcmfast-load", "format_version": 2}', "another version"),
        (json.dumps(without("operations")), "operations is missing"),
        (json.dumps(without("plan.host")), "plan.host is missing"),
        (json.dumps(without("audit")), "audit is missing"),
        (json.dumps(altered("audit", {})), "audit.acknowledged is missing"),
        (json.dumps(altered("plan.rate", "5")), "rate is missing or wrong"),
        (json.dumps(altered("plan.rate", 0)), "rate is missing or wrong"),
        (json.dumps(altered("plan.is_auditing", 1)), "is_auditing is missing or wrong"),
        (json.dumps(altered("ledger_trouble", [])), "ledger_trouble is missing or wrong"),
        (json.dumps(altered("gave_up", {})), "gave_up is missing or wrong"),
        (json.dumps(altered("timeline.width_s", 0)), "timeline.width_s is missing or wrong"),
        (
            json.dumps(altered("operations.store.latency_us.buckets", [[1, 0]])),
            "operations.store.latency_us.buckets is missing or wrong",
        ),
        (json.dumps(altered("elapsed_s", "1")), "elapsed_s is missing or wrong"),
        (json.dumps(altered("elapsed_s", -1)), "elapsed_s is missing or wrong"),
        (json.dumps(altered("elapsed_s", True)), "elapsed_s is missing or wrong"),
        (json.dumps(altered("timeline.rows", [[1, 2]])), "timeline.rows is missing or wrong"),
        (json.dumps(altered("operations.store", 5)), "operations.store is missing or wrong"),
        (json.dumps(altered("elapsed_s", float("inf"))), "no JSON"),
    ],
)
def test_what_is_no_report(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(content)
    with pytest.raises(load_report.NotAReportError) as caught:
        load_report.read(str(path))
    assert text in str(caught.value)


def test_the_page_fetches_nothing_and_believes_nothing() -> None:
    hostile = report()
    hostile["plan"]["host"] = '<script src="http://x"></script>'
    hostile["errors"] = {"\x1b[2J<img src=http://x onerror=alert(1)>": 1}
    page = load_html.page(hostile)
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<svg ") == 4
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|img|link|iframe|object)\b", page)
    assert "&lt;script src=" in page
    assert "\x1b" not in page
    assert not re.search(r'\b(?:src|href)="', page)
    assert "nan" not in page.lower().replace("dominant", "")


def test_a_run_without_any_operation_has_a_page() -> None:
    empty = report()
    empty["operations"] = {}
    empty["elapsed_s"] = 0
    empty["timeline"]["rows"] = []
    assert "nothing to show" in load_html.page(empty)


def test_an_ipv6_address_stands_in_brackets() -> None:
    of_v6 = report()
    of_v6["plan"]["host"] = "::1"
    assert " to [::1]:104," in load_report.text(of_v6)
    assert "to [::1]:104<" in load_html.page(of_v6)
