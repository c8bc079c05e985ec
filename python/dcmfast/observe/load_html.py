"""A report of the load generator as one HTML page: tables, and plots as inline SVG.

Nothing is fetched and nothing runs: the page has no script, no link and no picture from elsewhere,
and says so to the browser.  Everything from a report is escaped.
"""

from __future__ import annotations

from html import escape
from math import log10

from dcmfast.observe import load_report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 860, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 16, 14, 34
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em;
  color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0 }
th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
.wrong { color: #a00; font-weight: bold } .well { color: #060; font-weight: bold }
svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: #444 }
"""


def page(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    plan = report["plan"]
    title = f"dcmfast load: {plan['command']} to {load_report.where(plan)}"
    made = f"{report['started']}, dcmfast {report['dcmfast']}"
    wrong = load_report.findings(report)
    verdict = (
        "".join(f'<li class="wrong">{escape(one)}</li>' for one in wrong)
        if wrong
        else '<li class="well">all is well</li>'
    )
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1><p>{escape(made)}</p><ul>{verdict}</ul>",
        _figures(report),
        "<h2>Operations over time</h2>",
        _over_time(report),
        "<h2>Latency over time</h2>",
        _latency_over_time(report),
        "<h2>Latency by percentile</h2>",
        _percentiles(report),
        "<h2>Distribution of latencies</h2>",
        _distribution(report),
        f"<h2>All of it as text</h2><pre>{escape(load_report.text(report))}</pre>",
        "<h2>What was asked for</h2><table>",
        *(
            f"<tr><td>{escape(str(name))}</td><td>{escape(str(value))}</td></tr>"
            for name, value in plan.items()
        ),
        "</table></body></html>\n",
    ]
    return "\n".join(parts)


def _figures(report: dict[str, Any]) -> str:
    rows = []
    for action, figures in report["operations"].items():
        times = figures["latency_us"]
        cells = [
            str(load_report.done(figures)),
            str(figures["failed"]),
            f"{load_report.rate(figures, report['elapsed_s']):.1f}",
            *(f"{times[name] / 1000:.3f}" for name in ("p50", "p90", "p99", "p999", "max")),
        ]
        rows.append(
            f"<tr><td>{escape(action)}</td>" + "".join(f"<td>{one}</td>" for one in cells) + "</tr>"
        )
    heads = ("", "done", "failed", "per second", "p50 ms", "p90", "p99", "p99.9", "max")
    head = "".join(f"<th>{one}</th>" for one in heads)
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _over_time(report: dict[str, Any]) -> str:
    width = report["timeline"]["width_s"]
    rows = report["timeline"]["rows"]
    return _plot(
        [
            ("operations", [((at + 0.5) * width, row[0] / width) for at, row in enumerate(rows)]),
            ("failed", [((at + 0.5) * width, row[1] / width) for at, row in enumerate(rows)]),
        ],
        across="s",
        up="per second",
    )


def _latency_over_time(report: dict[str, Any]) -> str:
    width = report["timeline"]["width_s"]
    # An interval in which nothing ended has no latency: it is left out, not shown as none.
    rows = [(at, row) for at, row in enumerate(report["timeline"]["rows"]) if row[0]]
    return _plot(
        [
            ("mean", [((at + 0.5) * width, row[3] / 1000) for at, row in rows]),
            ("longest", [((at + 0.5) * width, row[4] / 1000) for at, row in rows]),
        ],
        across="s",
        up="ms",
    )


def _kinds(report: dict[str, Any]) -> list[tuple[str, list[list[float]]]]:
    """Return each kind of latency with its buckets."""
    kinds = []
    for action, figures in report["operations"].items():
        kinds.append((action, figures["latency_us"]["buckets"]))
        if "service_us" in figures:
            kinds.append((f"{action}, service", figures["service_us"]["buckets"]))
    return kinds


def _percentiles(report: dict[str, Any]) -> str:
    series = []
    for name, buckets in _kinds(report):
        total = sum(count for _, count in buckets)
        passed, points = 0.0, []
        for edge, count in buckets:
            # In nines: 90 % is 1, 99 % is 2; the last of all would be without end.
            share = max(1 - (passed + count / 2) / total, 0.5 / total)
            points.append((-log10(share), edge / 1000))
            passed += count
        series.append((name, points))
    return _plot(series, across="nines (1: 90 %, 2: 99 %, 3: 99.9 %)", up="ms")


def _distribution(report: dict[str, Any]) -> str:
    series = []
    for name, buckets in _kinds(report):
        bars: dict[float, float] = {}
        for edge, count in buckets:
            place = round(log10(max(edge, 0.001) / 1000) * 20) / 20
            bars[place] = bars.get(place, 0) + count
        series.append((name, sorted(bars.items())))
    return _plot(series, across="ms, as a power of ten", up="operations")


def _plot(series: list[tuple[str, Any]], *, across: str, up: str) -> str:
    """Draw lines."""
    points = [point for _, line in series for point in line]
    if not points:
        return "<p>nothing to show</p>"
    low = min(0.0, min(x for x, _ in points))
    wide = (max(x for x, _ in points) - low) or 1.0
    high = max(y for _, y in points) or 1.0

    def place(x: float, y: float) -> str:
        at_x = _LEFT + (x - low) / wide * (_WIDTH - _LEFT - _RIGHT)
        at_y = _HEIGHT - _BOTTOM - y / high * (_HEIGHT - _TOP - _BOTTOM)
        return f"{at_x:.1f},{at_y:.1f}"

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">']
    for step in range(5):
        value = high * step / 4
        x, y = place(low, value).split(",")
        parts.append(
            f'<line x1="{x}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end">{value:.4g}</text>'
        )
        value = low + wide * step / 4
        x, y = place(value, 0).split(",")
        parts.append(f'<text x="{x}" y="{_HEIGHT - 16}" text-anchor="middle">{value:.4g}</text>')
    for at, (name, line) in enumerate(series):
        colour = _COLOURS[at % len(_COLOURS)]
        drawn = " ".join(place(x, y) for x, y in line)
        parts.append(f'<polyline fill="none" stroke="{colour}" points="{drawn}"/>')
        if len(line) == 1:
            x, y = place(*line[0]).split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>')
        x = f"{_LEFT + 10 + 150 * at}"
        parts.append(f'<text x="{x}" y="{_TOP}" style="fill:{colour}">{escape(name)}</text>')
    parts.append(
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 3}" text-anchor="end">{escape(across)}</text>'
        f'<text x="4" y="{_TOP}">{escape(up)}</text></svg>'
    )
    return "".join(parts)
