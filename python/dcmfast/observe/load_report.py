"""Reports of the load generator: read, told as text, judged, compared.

A report is the dictionary that ``net.load.run`` makes and JSON carries.  One that comes from a file
is looked at before it is believed, so that everything below can rely on its shape.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Longest report that is read, in bytes; the longest that is written has under 2 MB.
REPORT_BYTES_MAX = 64 * 1024 * 1024
#: Operations below which a 99th percentile is chance.
_TAIL_OPERATIONS_MIN = 100

_NUMBER = (int, float)


class _Above:
    """A number above zero: something is divided by it, or it is a count of something there."""


_TIMES: dict[str, Any] = {
    **dict.fromkeys(("count", "min", "mean", "p50", "p90", "p99", "p999", "p9999", "max"), _NUMBER),
    "buckets": [(_NUMBER, _Above)],
}
#: What a report has: a type, a dictionary of fields, ``{"*": …}`` for any names, a list of rows.
_SHAPE: dict[str, Any] = {
    "format": str,
    "format_version": int,
    "dcmfast": str,
    "started": str,
    "is_interrupted": bool,
    "plan": {
        "command": str,
        "host": str,
        "port": int,
        "count": int,
        "duration_s": int,
        "associations": int,
        "seed": int,
        "mix": {"*": int},
    },
    "elapsed_s": _NUMBER,
    "begun": int,
    "overdue": int,
    "ended_by": str,
    "operations": {
        "*": {
            **dict.fromkeys(("succeeded", "warned", "failed", "objects", "bytes"), int),
            "statuses": {"*": int},
            "latency_us": _TIMES,
        }
    },
    "associations": {"failed": int, "latency_us": _TIMES},
    "errors": {"*": int},
    "timeline": {"width_s": _Above, "rows": [(_NUMBER,) * 5]},
    "ledger": dict.fromkeys(
        ("stores", "stored", "warned", "refused", "no_answer", "not_sent"), int
    ),
}
#: What is wrong with an acknowledged object, and the words for it.
_FAULTS = {
    "lost": "acknowledged and lost",
    "not_sent": "listed, but not sent by a get",
    "not_listed": "sent by a get, but not listed",
    "altered": "altered",
    "duplicated": "duplicated",
    "not_compared": "acknowledged and not compared",
}
_AUDIT: dict[str, Any] = {
    **dict.fromkeys(("acknowledged", "whole", *_FAULTS, "unacknowledged"), int),
    **dict.fromkeys(("unknown", "retrieved", "retrieved_bytes"), int),
    "incomplete": list,
    "remarks": list,
    "findings": list,
    "elapsed_s": _NUMBER,
}


class NotAReportError(ValueError):
    """The file is no report of the load generator; the text says why."""


def read(path: str) -> dict[str, Any]:
    """Return the report in a file.

    Raises
    ------
    NotAReportError
        It is none.
    OSError
        It cannot be read.
    """
    from json import loads

    with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs its import
        text = file.read(REPORT_BYTES_MAX + 1)
    if len(text) > REPORT_BYTES_MAX:
        raise NotAReportError(f"{path}: longer than any report")
    try:
        report = loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise NotAReportError(f"{path}: not a report (no JSON)") from None
    if not isinstance(report, dict) or report.get("format") != "dcmfast-load":
        raise NotAReportError(f"{path}: not a report of dcmfast load")
    if report.get("format_version") != 1:
        raise NotAReportError(f"{path}: a report of another version of dcmfast")
    wrong = _misshapen(report, _SHAPE, "")
    if not wrong:
        wrong = _misshapen_choices(report)
    for action, figures in {} if wrong else report["operations"].items():
        if "service_us" in figures and not wrong:
            wrong = _misshapen(figures["service_us"], _TIMES, f"operations.{action}.service_us")
    if wrong:
        raise NotAReportError(f"{path}: not a report: {wrong} is missing or wrong")
    return report


def _misshapen_choices(report: dict[str, Any]) -> str:
    """Return the name of the first thing that may be there or not, and is not as it should be."""
    for table, name, kind in (
        (report["plan"], "rate", _Above),
        (report["plan"], "is_auditing", bool),
        (report, "gave_up", str),
        (report, "ledger_trouble", str),
    ):
        if table.get(name) is not None and _misshapen(table[name], kind, name):
            return name
    if "audit" not in report:
        return "audit"
    audit = report["audit"]
    return "" if audit is None else _misshapen(audit, _AUDIT, "audit") or _misnamed(audit)


def _misnamed(audit: dict[str, Any]) -> str:
    """Return the name of a list whose rows are no texts; nothing if they are."""
    rows = [*audit["findings"], audit["incomplete"], audit["remarks"]]
    is_right = all(
        isinstance(row, list) and all(isinstance(one, str) for one in row) for row in rows
    ) and all(len(row) in (2, 3) for row in audit["findings"])
    return "" if is_right else "audit.findings"


def _no_number(text: str) -> float:
    raise ValueError(text)


def _misshapen(value: Any, shape: Any, place: str) -> str:
    """Return the name of the first thing in `value` that is not as `shape` says."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return place
        fields = dict.fromkeys(value, shape["*"]) if "*" in shape else shape
        for name, inner in fields.items():
            below = f"{place}.{name}" if place else name
            wrong = _misshapen(value[name], inner, below) if name in value else below
            if wrong:
                return wrong
        return ""
    if isinstance(shape, list):
        row = shape[0]
        is_right = isinstance(value, list) and all(
            isinstance(one, list)
            and len(one) == len(row)
            and all(not _misshapen(*both, place) for both in zip(one, row, strict=True))
            for one in value
        )
        return "" if is_right else place
    is_number = shape in (_NUMBER, int, _Above)
    kind = _NUMBER if shape is _Above else shape
    is_right = isinstance(value, kind) and not (is_number and isinstance(value, bool))
    # What counts or measures is never negative, and JSON's numbers may be beyond any float.
    least = 1e-30 if shape is _Above else 0
    return "" if is_right and (not is_number or least <= value < 1e30) else place


# ---- Judgement


def findings(report: dict[str, Any]) -> list[str]:
    """Return what is wrong with what the peer did, in sentences; nothing if all is well."""
    found = []
    if report["is_interrupted"]:
        found.append("it was interrupted: what is told is what was done by then")
    if report["ended_by"] == "gave-up":
        found.append(f"the run gave up: {report.get('gave_up') or 'nothing but failures'}")
    for action, figures in report["operations"].items():
        if figures["failed"]:
            count = figures["failed"] + figures["succeeded"] + figures["warned"]
            found.append(f"{figures['failed']} of {count} {action} operations failed")
    if report["associations"]["failed"]:
        found.append(f"{report['associations']['failed']} associations failed")
    if report.get("ledger_trouble"):
        found.append(f"the ledger is not whole: {report['ledger_trouble']}")
    audit = report["audit"]
    if audit is None:
        if report["plan"].get("is_auditing"):
            found.append("the audit that was asked for was not made")
        return found
    found += [
        f"{_count(audit[name], 'object')} {words}" for name, words in _FAULTS.items() if audit[name]
    ]
    found += [f"the audit is incomplete: {why}" for why in audit["incomplete"]]
    return found


# ---- Text


def text(report: dict[str, Any]) -> str:
    """Return the report as text."""
    plan = report["plan"]
    what = f"{plan['command']} to {where(plan)}, {_loop(plan)}"
    heads = ("p50 ms", "p90", "p99", "p99.9", "max")
    if plan["command"] == "audit":
        lines = [f"audit of {where(plan)}, seed {plan['seed']}"]
    else:
        lines = [
            f"{what}, {_count(plan['associations'], 'association')}, seed {plan['seed']}",
            f"{report['begun']} operations in {report['elapsed_s']:.3f} s; {_end(report)}",
            "",
            " ".join(
                [f"{'':10} {'ended':>9} {'failed':>7} {'/s':>10} {'MB/s':>8}"]
                + [f"{head:>9}" for head in heads]
            ),
        ]
    for action, figures in report["operations"].items():
        lines.append(_row(action, figures, figures["latency_us"], report["elapsed_s"]))
        if "service_us" in figures:
            times = _times(figures["service_us"])
            lines.append(f"{'  service':10} {'':9} {'':7} {'':10} {'':8} {times}")
    associations = report["associations"]
    times = associations["latency_us"]
    if plan["command"] != "audit":
        lines.append(
            f"{'associate':10} {times['count']:>9} {associations['failed']:>7} {'':10} {'':8} "
            f"{_times(times)}"
        )
    if any("service_us" in figures for figures in report["operations"].values()):
        lines.append("latencies count from when an operation was due, service from its begin")
    ledger = report["ledger"]
    if ledger["stores"]:
        parts = [f"{ledger['stored']} stored"]
        parts += [
            f"{ledger[name]} {words}"
            for name, words in (
                ("warned", "stored with a warning"),
                ("refused", "refused"),
                ("no_answer", "sent without an answer"),
                ("not_sent", "not sent"),
            )
            if ledger[name]
        ]
        lines += ["", f"ledger: {ledger['stores']} stores: {', '.join(parts)}"]
    lines += [f"  {count} x {_plain(error)}" for error, count in _common(report["errors"])]
    lines += _audit_lines(report["audit"])
    wrong = findings(report)
    lines += ["", *([f"WRONG: {_plain(one)}" for one in wrong] or ["all is well"])]
    return "\n".join(lines) + "\n"


def _audit_lines(audit: dict[str, Any] | None) -> list[str]:
    if audit is None:
        return []
    counts = ("acknowledged", "whole", *_FAULTS)
    told = ", ".join(f"{audit[name]} {name.replace('_', ' ')}" for name in counts)
    lines = ["", f"audit: {told}"]
    lines += [f"  {_plain(remark)}" for remark in audit["remarks"]]
    if audit["unacknowledged"]:
        lines.append(f"  {audit['unacknowledged']} are there that were not acknowledged")
    if audit["unknown"]:
        lines.append(f"  {audit['unknown']} objects in these series are none of ours")
    for what, uid, *where in audit["findings"][:20]:
        told = "".join(f": {_plain(one)}" for one in where if one)
        lines.append(f"  {_plain(what)}: {_plain(uid)}{told}")
    if len(audit["findings"]) > 20:
        lines.append(f"  and {len(audit['findings']) - 20} more, named in the JSON report")
    return lines


def _common(errors: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(errors.items(), key=lambda one: -one[1])[:20]


def _plain(value: object) -> str:
    """Return what came from outside without characters that move a terminal's cursor."""
    text = str(value)
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def where(plan: dict[str, Any]) -> str:
    """Return host and port of the peer; an IPv6 address stands in brackets (RFC 3986 §3.2.2)."""
    host = _plain(plan["host"])
    return f"[{host}]:{plan['port']}" if ":" in host else f"{host}:{plan['port']}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _loop(plan: dict[str, Any]) -> str:
    rate = plan.get("rate")
    return "closed loop" if rate is None else f"open loop of {rate:g}/s"


_ENDS = {
    "count": "all were begun",
    "duration": "the time was over",
    "stop": "it was stopped",
    "gave-up": "it gave up",
}


def _end(report: dict[str, Any]) -> str:
    end = _ENDS.get(report["ended_by"], _plain(report["ended_by"]))
    if report["overdue"]:
        end += f"; {report['overdue']} were due and not begun: the peer is slower than the rate"
    return end


def done(figures: dict[str, Any]) -> int:
    """Return how many operations of an action were done, with success or without."""
    count: int = figures["succeeded"] + figures["warned"] + figures["failed"]
    return count


def rate(figures: dict[str, Any], elapsed_s: float) -> float:
    """Return operations a second, failures left out."""
    good: int = figures["succeeded"] + figures["warned"]
    return good / elapsed_s if elapsed_s else 0.0


def _row(name: str, figures: dict[str, Any], times: dict[str, Any], elapsed_s: float) -> str:
    megabytes = figures["bytes"] / 1e6 / elapsed_s if elapsed_s else 0.0
    return (
        f"{_plain(name):10} {done(figures):>9} {figures['failed']:>7} "
        f"{rate(figures, elapsed_s):>10.1f} {megabytes:>8.1f} {_times(times)}"
    )


def _times(times: dict[str, Any]) -> str:
    names = ("p50", "p90", "p99", "p999", "max")
    return " ".join(f"{times[name] / 1000:>9.3f}" for name in names)


# ---- Comparison


class Comparison:
    """Two reports side by side: lines to show, and whether the second is worse."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        #: Sentences, each a reason why the second is worse.
        self.worse: list[str] = []
        #: The same for the better.
        self.better: list[str] = []


#: Fields of a plan that must be the same for a fair comparison.
_SAME = (
    *("mix", "count", "duration_s", "associations", "per_association", "rate", "kind"),
    *("pixel_bytes", "patients", "studies", "series", "known", "find_level", "retrieve_level"),
    *("objects", "max_pdu_bytes"),
)


def compare(first: dict[str, Any], second: dict[str, Any], tolerance_percent: int) -> Comparison:
    """Compare two reports; ratios are the second's figure by the first's."""
    result = Comparison()
    different = [name for name in _SAME if first["plan"].get(name) != second["plan"].get(name)]
    if different:
        result.lines.append(f"NOTE: the runs were not the same: {', '.join(different)}")
    result.lines.append(
        f"{'':10} {'figure':10} {'first':>12} {'second':>12} {'ratio':>7}  (second by first)"
    )
    both = [name for name in first["operations"] if name in second["operations"]]
    for name in both:
        _compare_action(result, name, first, second, tolerance_percent)
    for report, where in ((first, "first"), (second, "second")):
        alone = [_plain(name) for name in report["operations"] if name not in both]
        if alone:
            result.lines.append(f"only in the {where}: {', '.join(alone)}")
    if not both:
        result.worse.append("the reports have no operation in common")
    _compare_audits(result, first, second)
    new = [one for one in findings(second) if not findings(first)]
    if new:
        result.worse.append("the second run found faults: " + "; ".join(new))
    result.lines.append("")
    if result.worse:
        result.lines += [f"WORSE: {_plain(why)}" for why in result.worse]
    if result.better:
        result.lines += [f"better: {_plain(why)}" for why in result.better]
    if not result.worse and not result.better:
        result.lines.append(f"the same, within {tolerance_percent} %")
    return result


def _compare_audits(result: Comparison, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Compare what the archives kept: more that is wrong, of as many objects, is worse."""
    before, after = first["audit"], second["audit"]
    if before is None and after is None:
        return
    if before is None or after is None:
        where = "second" if before is None else "first"
        result.lines.append(f"only in the {where}: audit")
        return
    of_all = [max(audit["acknowledged"], 1) for audit in (before, after)]
    for name in _FAULTS:
        one, other = before[name], after[name]
        if one or other:
            words = name.replace("_", " ")
            result.lines.append(f"{'audit':10} {words:12} {one:>10} {other:>12}")
        if other * of_all[0] > one * of_all[1]:
            result.worse.append(
                f"audit: {other} of {after['acknowledged']} {_FAULTS[name]}, "
                f"where {one} of {before['acknowledged']} were"
            )
    if after["incomplete"] and not before["incomplete"]:
        result.worse.append(f"the second audit is incomplete: {after['incomplete'][0]}")


def _compare_action(
    result: Comparison,
    name: str,
    first: dict[str, Any],
    second: dict[str, Any],
    tolerance_percent: int,
) -> None:
    pairs = [(report["operations"][name], report["elapsed_s"]) for report in (first, second)]
    is_open = all(report["plan"].get("rate") is not None for report in (first, second))
    counts = [done(figures) for figures, _ in pairs]
    has_tail = min(counts) >= _TAIL_OPERATIONS_MIN
    # A refusal is told sooner than an answer: such times are no gain.
    is_failing = bool(pairs[1][0]["failed"])
    rows = [
        # In an open loop the rate is what was asked for, as long as the peer keeps up.
        ("rate /s", [rate(*pair) for pair in pairs], True, True),
        ("p50 ms", [pair[0]["latency_us"]["p50"] / 1000 for pair in pairs], False, True),
        ("p99 ms", [pair[0]["latency_us"]["p99"] / 1000 for pair in pairs], False, has_tail),
    ]
    for title, (one, other), is_more_better, is_judged in rows:
        ratio = other / one if one else (1.0 if not other else float("inf"))
        result.lines.append(
            f"{_plain(name):10} {title:10} {one:>12.3f} {other:>12.3f} {ratio:>7.2f}"
            f"{'' if is_judged else '  (too few to judge)'}"
        )
        if not is_judged or (is_open and is_more_better and not second["overdue"]):
            continue
        limit = 1 + tolerance_percent / 100
        gain = ratio if is_more_better else (1 / ratio if ratio else float("inf"))
        if gain * limit < 1:
            result.worse.append(f"{name}: {title.split()[0]} {ratio:.2f} of the first's")
        elif gain > limit and not is_failing:
            result.better.append(f"{name}: {title.split()[0]} {ratio:.2f} of the first's")
    failed = [pair[0]["failed"] for pair in pairs]
    result.lines.append(f"{_plain(name):10} {'failed':10} {failed[0]:>12} {failed[1]:>12}")
    if failed[1] * max(counts[0], 1) > failed[0] * max(counts[1], 1):
        result.worse.append(f"{name}: {failed[1]} failed, where {failed[0]} did")
