"""Usage and version texts, made from the front end's description.

The form is DCMTK's: scripts cut columns out of it, and people compare the two.  Groups stand at
column 0, subgroups are indented by 2, and long spellings begin in column 10 either way.
"""

from __future__ import annotations

import dcmfast
from dcmfast.options.option import FrontEnd, Option, Section


def banner(front_end: FrontEnd) -> str:
    """Return the line that opens usage, version and error texts."""
    return f"$dcmfast: {front_end.tool} v{dcmfast.__version__} {dcmfast.__date__} $"


def header(front_end: FrontEnd) -> str:
    """Return banner, an empty line and what the tool is."""
    return f"{banner(front_end)}\n\n{front_end.tool}: {front_end.description}\n"


def synopsis(front_end: FrontEnd) -> str:
    """Return the tool with its parameters, as in ``storescp [options] [port]``."""
    words = [front_end.tool, "[options]"]
    for parameter in front_end.parameters:
        word = parameter.name + ("..." if parameter.many else "")
        words.append(word if parameter.required else f"[{word}]")
    return " ".join(words)


def usage(front_end: FrontEnd) -> str:
    """Return the text of ``--help``."""
    lines = [f"{header(front_end)}usage: {synopsis(front_end)}", "", "parameters:"]
    width = front_end.long_begins + front_end.long_column
    for one in front_end.parameters:
        first, *rest = one.summary.split("\n")
        lines.append(f"  {one.name}".ljust(width + 2) + first)
        lines += [" " * (width + 2) + line for line in rest]
    lines.append("")
    for group in front_end.groups:
        lines.append(f"{group.title}:")
        for section in group.sections:
            if section.title:
                lines.append(f"  {section.title}:")
            long_column = section.long_column or front_end.long_column
            lines += _section(section, long_column, front_end.long_begins)
    begins = front_end.long_begins
    renamed = [option for option in front_end.options() if option.aliases]
    if renamed:
        lines.append("spellings of 1998:")
        lines += [f"  {' '.join(one.aliases)}".ljust(begins) + one.long for one in renamed]
    return "\n".join(lines) + "\n\n"


def _section(section: Section, long_column: int, begins: int) -> list[str]:
    indent = 4 if section.title else 2
    lines = []
    for option in section.options:
        first, *rest = summary_lines(option)
        # An option with one spelling that is a short one (1998) stands in the short column.
        short, long = option.short, option.long
        if not long.startswith("--"):
            short, long = long, ""
        left = (" " * indent + short).ljust(begins) + long.ljust(long_column)
        lines.append(f"{left}  {first}".rstrip())
        lines += [" " * (begins + long_column + 2) + line for line in rest]
    return lines


def summary_lines(option: Option) -> list[str]:
    """Return the description of `option`; what is still to come says so."""
    lines = option.summary.split("\n")
    return lines if option.available else [*lines, "(not available yet)"]


def version(front_end: FrontEnd, libraries: tuple[str, ...] = ()) -> str:
    """Return the text of ``--version``; `libraries` are those that the tool works with."""
    rows = "".join(f"\n- {name}" for name in libraries)
    return f"{_host(front_end)}\nExternal libraries used:{rows or ' none'}\n"


def cipher_suites(front_end: FrontEnd, names: list[str]) -> str:
    """Return the text of ``--list-ciphers``."""
    rows = "".join(f"  {name}\n" for name in names)
    return f"{_host(front_end)}\nSupported TLS ciphersuites are:\n{rows}"


def decoders(front_end: FrontEnd) -> str:
    """Return the text of ``--list-decoders``: pixels are never decoded."""
    native = ("Little Endian Implicit", "Little Endian Explicit", "Big Endian Explicit")
    rows = "".join(f"- {name}\n" for name in native)
    return (
        f"{header(front_end)}\nTransfer syntaxes supported natively:\n{rows}"
        "\nTransfer syntaxes supported by decoders:\n- Deflated Explicit VR Little Endian\n"
    )


def _host(front_end: FrontEnd) -> str:
    # Imported here: only this text needs them.
    import locale
    import platform

    encoding = locale.getpreferredencoding(False)
    return (
        f"{header(front_end)}\n"
        f"Host type: {platform.machine()}-{platform.system()}\n"
        f"Character encoding: {encoding}\n"
        f"Build options: {platform.python_implementation()} {platform.python_version()}\n"
    )
