"""Manual pages, made from the front end's description: ``dcmfast man storescp | man -l -``.

The input of man(1), in its man macro package.  What each option does is said once, in its record;
what holds for every tool (command files, levels, environment) is said here.
"""

from __future__ import annotations

import dcmfast
from dcmfast.options.help import summary_lines, synopsis
from dcmfast.options.option import FrontEnd, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COMMAND_LINE = """\
Square brackets enclose optional values, three dots mean that several are allowed.  An argument
that begins with + or - is an option unless a digit follows; options and parameters mix freely.
Of options that exclude each other the rightmost counts, and so does the rightmost of one given
twice.

An argument @file stands for the arguments in that file.  Blanks and line ends separate them there;
text between quotation marks is one argument.  Command files do not nest."""

_LOGGING = """\
Log lines go to the standard error stream, each with its severity letter: F fatal, E error,
W warning, I information, D debug, T trace.  By default W and graver appear; -v adds I, -d adds D,
-q leaves F."""

#: For tools with ``--fault``; the option's own text names the parts of a rule.
_FAULTS = """\
A rule of --fault is an event (association, echo or store), conditions, and actions, separated by
blanks or commas; text between quotation marks is one word.

Conditions narrow it: calling=TITLE to a calling AE title; class=UID (or its name, such as
CTImageStorage) to a SOP class, of an association to one that it proposes; of the events that are
left, every=N takes every n-th and rate=P each with this chance. The chances depend on --fault-seed
and on how many events the rule has seen, so that the same run fails at the same places again.

Actions: delay=SECONDS waits; slow-read=N reads N bytes a second; status=XXXX answers this status
(of a C-STORE a failure keeps nothing, a warning keeps the object); reject=RESULT/SOURCE/REASON, or
reject alone, rejects an association; abort sends A-ABORT; close ends the connection; truncate
sends half of the answer and then ends it. Of the last five a rule has one at most.

at=response, which is meant where nothing is said, acts in the place of the answer or before it;
at=next behind it; at=data, of a store, at the first fragment of the data set; at=fragment delays at
its begin, at each fragment and at its end. Of an event every rule that fires acts, in the order of
the command line: delays add up, and the first of the last five actions counts."""

#: For tools with ``--exec-on-reception``.
_COMMANDS = """\
The command of -xcr and of -xcs is text for /bin/sh. In it #p stands for the directory of the file,
or of the study; #f for the file's name (not in -xcs); #a and #c for the calling and the called AE
title; #r for the peer's host name or, with -dhl, its address. They may stand anywhere, in words,
quotes and here-documents, too. The shell gets the values as variables, and never takes one for a
command, whatever a peer calls itself: DCMFAST_PATH, DCMFAST_FILE, DCMFAST_CALLING_TITLE,
DCMFAST_CALLED_TITLE, DCMFAST_PEER. Control characters in titles become _.

A second interpreter is not the shell's business: with sh -c 'echo #a', eval, ssh or awk the title
becomes part of a program that is parsed once more, and a peer chooses its title. Such a command
takes the variable itself: sh -c 'echo "$DCMFAST_CALLING_TITLE"'. In arithmetic, $((#a + 1)), there
is 0 in the place of a value, because some shells look for commands in it."""

#: For findscu.
_JSON = """\
With --json standard output holds one JSON array and nothing else: an object for each pending
response, in their order, in the DICOM JSON model (PS3.18 Annex F), which DICOMweb software and
pydicom.Dataset.from_json read. Names are tags of eight hexadecimal digits; each has "vr" and,
where there is one, "Value", an array; a person name is an object of "Alphabetic", "Ideographic"
and "Phonetic"; a sequence's values are objects of the same kind; bytes are "InlineBinary" in
base64. Text is UTF-8 whatever character set the peer sent it in, so that (0008,0005), where there
is one, says ISO_IR 192.

The array is whole whatever the peer does: a query that fails, or is cut, leaves what came until
then, and the exit code says so. Nothing found is an empty array and exit code 0."""

#: For the tools that send files.
_REPORT = """\
With --json standard output holds one JSON object and nothing else, whatever came of the run:
"format" is dcmfast-send, "format_version" 1, then "dcmfast" (the version), "tool", "peer" with
"host" and "port", "calling_ae_title", "called_ae_title", "exit_code", "totals" and "files".

"totals" has numbers: "files"; "associations" and "contexts" that were proposed; "answered" files,
which are "stored", "stored_with_warning" or "refused"; "no_context" and "unsent" files; "bytes" of
the data sets that were answered. What is no file of an object is told in the log only (--no-halt).

"files" has an object for each, in the order in which they were found: "file", "sop_class_uid",
"sop_instance_uid", "transfer_syntax" and "result": stored, stored-with-warning, refused (the peer's
status says so), unanswered (the association ended first), no-context, bad-file, or unsent. Where it
was sent: "sent_as" (the transfer syntax on the wire), "bytes", "association" (counted from 1) and
"context_id"; where it was answered: "status" (four hexadecimal digits) and "status_text"; where it
was not: "reason"."""

#: For echoscu.
_ECHO = """\
With --json standard output holds one JSON object and nothing else, whatever came of it: "format"
is dcmfast-echo, "format_version" 1, then "dcmfast" (the version), "tool", "peer" with "host" and
"port", "calling_ae_title", "called_ae_title", "exit_code", "association", "echoes" and "error".

"association" is null where none came about; else it has "milliseconds" (from connecting to the
answer), "contexts", of which each has "id", "result" (PS3.8 Table 9-18) and, where it was accepted,
"transfer_syntax", and "tls", null or version and suite. "echoes" has an object for each answer:
"message_id", "status" (four hexadecimal digits), "status_text" and "milliseconds". "error" is null,
or why it failed."""

_ENVIRONMENT = (
    (
        "TCP_NODELAY",
        "0 keeps Nagle's algorithm, which costs 44 ms for each object; it is off else.",
    ),
    ("TCP_BUFFER_LENGTH", "send and receive buffer of every socket in bytes; 0 means 65536."),
    (
        "DCMDICTPATH",
        "data dictionaries in DCMTK's format, separated by colons, instead of the built-in one.",
    ),
    (
        "DCMFAST_HOSTS_ALLOW, DCMFAST_HOSTS_DENY",
        "files that +ac reads instead of /etc/hosts.allow and /etc/hosts.deny.",
    ),
    (
        "DCMFAST_LOCAL_BYTE_ORDER",
        "big or little: what local byte order means, instead of the host's own.",
    ),
)


def page(front_end: FrontEnd) -> str:
    """Return the manual page of one tool."""
    tool = front_end.tool
    lines = [
        f'.TH {tool.upper()} 1 "{dcmfast.__date__}" "dcmfast {dcmfast.__version__}" "dcmfast"',
        ".SH NAME",
        _escaped(f"{tool} - {front_end.description}"),
        ".SH SYNOPSIS",
        f".B dcmfast {_escaped(synopsis(front_end))}",
        ".SH PARAMETERS",
    ]
    for parameter in front_end.parameters:
        lines += [".TP", f".I {_escaped(parameter.name)}", _escaped(parameter.summary)]
    lines.append(".SH OPTIONS")
    for group in front_end.groups:
        lines.append(f'.SS "{_escaped(group.title)}"')
        for section in group.sections:
            if section.title:
                lines += [".PP", f".I {_escaped(section.title)}"]
            for option in section.options:
                lines += _option(option)
    lines += [".SH COMMAND LINE", *_paragraphs(_COMMAND_LINE)]
    lines += [".SH LOGGING", *_paragraphs(_LOGGING)]
    if any(option.field == "exec_on_reception" for option in front_end.options()):
        lines += [".SH COMMANDS", *_paragraphs(_COMMANDS)]
    if any(option.long == "--fault" for option in front_end.options()):
        lines += [".SH FAULTS", *_paragraphs(_FAULTS)]
    if tool == "findscu":
        lines += [".SH JSON", *_paragraphs(_JSON)]
    if any(option.field == "report_json" for option in front_end.options()):
        lines += [".SH JSON", *_paragraphs(_ECHO if tool == "echoscu" else _REPORT)]
    lines.append(".SH ENVIRONMENT")
    for name, text in _ENVIRONMENT:
        lines += [".TP", f".B {_escaped(name)}", _escaped(text)]
    return "\n".join(lines) + "\n"


#: What the tools without an option table do: synopsis and text by name.
_SET_UP = {
    "link": (
        "dcmfast link [--force] DIR",
        """\
makes DCMTK's names (storescp, movescu, ...) in DIR, each for the tool of dcmfast. What has one of
the names already is left alone unless --force is given.""",
    ),
    "man": (
        "dcmfast man TOOL",
        "prints a manual page, for man -l -; dcmfast man --write DIR writes all to DIR/man1.",
    ),
    "completion": (
        "dcmfast completion SHELL [--linked]",
        "prints the completion script of bash, zsh or fish; with --linked for DCMTK's names, too.",
    ),
}


def overview(groups: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """Return the manual page of dcmfast itself; `groups` are titles, and tools with summaries."""
    lines = [
        f'.TH DCMFAST 1 "{dcmfast.__date__}" "dcmfast {dcmfast.__version__}" "dcmfast"',
        ".SH NAME",
        _escaped("dcmfast - receive, keep and find DICOM objects"),
        ".SH SYNOPSIS",
        ".B dcmfast",
        ".I tool",
        _escaped("[options] ..."),
        ".SH TOOLS",
    ]
    for title, tools in groups.items():
        if tools:
            lines.append(f'.SS "{_escaped(title)}"')
        for name, summary in tools:
            lines += [".TP", f".B {_escaped(name)}", _escaped(summary)]
    lines.append(".SH SETTING UP")
    for synopsis_line, text in _SET_UP.values():
        lines += [".TP", f".B {_escaped(synopsis_line)}", _escaped(text)]
    lines += [".SH SEE ALSO", _escaped("dcmfast <tool> --help, dcmfast man <tool>")]
    return "\n".join(lines) + "\n"


def set_up_pages(summaries: Mapping[str, str]) -> dict[str, str]:
    """Return the manual pages of the tools without an option table; `summaries` has all tools'."""
    pages = {}
    for tool, (synopsis_line, text) in _SET_UP.items():
        title = f"dcmfast-{tool}"
        version = f'"{dcmfast.__date__}" "dcmfast {dcmfast.__version__}" "dcmfast"'
        lines = [
            f".TH {_escaped(title.upper())} 1 {version}",
            ".SH NAME",
            _escaped(f"{title} - {summaries[tool]}"),
            ".SH SYNOPSIS",
            f".B {_escaped(synopsis_line)}",
            ".SH DESCRIPTION",
            *(_escaped(line) for line in f"{synopsis_line} {text}".split("\n")),
            ".SH SEE ALSO",
            _escaped("dcmfast(1)"),
        ]
        pages[tool] = "\n".join(lines) + "\n"
    return pages


def _option(option: Option) -> list[str]:
    spellings = [name for name in (option.short, option.long) if name]
    lines = [".TP", ".B " + ", ".join(_escaped(name) for name in spellings)]
    first, *rest = summary_lines(option)
    if option.values:
        # The first line describes the value; it stands by itself.
        lines += [_escaped(first), ".br"]
        lines += [_escaped(line) for line in rest]
    else:
        lines += [_escaped(line) for line in (first, *rest)]
    if option.aliases:
        lines += [".br", f"Spelled {_escaped(', '.join(option.aliases))} in 1998."]
    if not option.source.startswith("DCMTK"):
        lines += [".br", _escaped(f"Source: {option.source}.")]
    return lines


def _paragraphs(text: str) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        lines += [".PP", *(_escaped(line) for line in paragraph.split("\n"))]
    return lines


def _escaped(text: str) -> str:
    """Return `text` so that man shows it as it is: backslashes, hyphens, leading control marks."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return "\\&" + text if text[:1] in (".", "'") else text
