"""Data dictionaries: the files that ``DCMDICTPATH`` names, in the place of the built-in one.

Reads DCMTK's format: a line for each element, with its tag, VR, name and what else is known of it,
separated by tabs.  Tags may be ranges; elements of a private group name their creator (PS3.5 §7.8).
The rules and the words about mistakes are those of DCMTK 3.6.7's reader, as run: a line that is
wrong is told and left out, the others count.

What the engine does with the entries stands in ``rust/core/src/dictionary/custom.rs``.
"""

from __future__ import annotations

from dcmfast.types import Record

#: The variable, and what separates the files that it names.
VARIABLE = "DCMDICTPATH"
SEPARATOR = ":"
#: Longest file that is read, in bytes; DCMTK's own has 350 KB.
FILE_BYTES_MAX = 16 * 1024 * 1024
#: Files that are read.
FILES_MAX = 64

#: One entry: first and last group, every which (0 each, 1 odd, 2 even), the same of the element;
#: private creator or nothing; VR as the file has it; name.
Entry = tuple[int, int, int, int, int, int, str, str, str]

#: VRs of PS3.5 §6.2, and DCMTK's words for those that other elements decide.
_VR_WORDS = (
    "AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR "
    "US UT UV ox xs lt na up px"
)
_VRS = frozenset(_VR_WORDS.split())
_RESTRICTIONS = {"u": 0, "o": 1, "e": 2}
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")


class Dictionary(Record):
    """What a list of dictionary files says."""

    #: Later ones override earlier ones.
    entries: tuple[Entry, ...]
    #: Log lines, each a severity letter and a text.
    lines: tuple[tuple[str, str], ...]
    #: False if every file that was named had a mistake.
    is_loaded: bool = True


class _TagError(Exception):
    """A tag that cannot be read; the text is a log line of its own, or empty."""


def read(paths: str) -> Dictionary:
    """Read the files that the variable names.

    Parameters
    ----------
    paths
        The variable's value, which is not empty.

    Returns
    -------
    Dictionary
        Without any entry if no file could be read; nothing is raised, as with DCMTK.
    """
    entries: list[Entry] = []
    lines: list[tuple[str, str]] = []
    files = [path for path in paths.split(SEPARATOR) if path]
    # DCMTK goes by the last file that it could open (as run).
    is_loaded = not files
    for path in files[:FILES_MAX]:
        try:
            with open(path, "rb") as file:
                text = file.read(FILE_BYTES_MAX + 1)
        except (OSError, ValueError):
            lines.append(("E", f"DcmDataDictionary: Cannot open file: {path}"))
            continue
        if len(text) > FILE_BYTES_MAX:
            lines.append(("E", f"DcmDataDictionary: Cannot open file: {path} (too large)"))
            continue
        lines.append(("D", f"DcmDataDictionary: Loading file: {path}"))
        complaints = parse(text.decode("utf-8", "replace"), path, entries)
        lines += [("E", complaint) for complaint in complaints]
        is_loaded = not complaints
    if len(files) > FILES_MAX:
        lines.append(("E", f"DcmDataDictionary: more than {FILES_MAX} files in {VARIABLE}"))
    if not is_loaded:
        lines.append(("W", f"no data dictionary loaded, check environment variable: {VARIABLE}"))
    return Dictionary(entries=tuple(entries), lines=tuple(lines), is_loaded=is_loaded)


def parse(text: str, path: str, entries: list[Entry]) -> list[str]:
    """Add the entries of one file's text to `entries`; return what is wrong with it."""
    complaints: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        fields = [field.strip() for field in stripped.split("\t")]
        if len(fields) < 3:
            complaints.append(f"DcmDataDictionary: {path}: too few fields (line {number})")
            continue
        if len(fields) > 5:
            complaints.append(f"DcmDataDictionary: {path}: too many fields (line {number}): ")
            continue
        is_good = True
        if len(fields) > 3 and not _is_multiplicity(fields[3]):
            complaints.append(
                f"DcmDataDictionary: {path}: bad VM field (line {number}): {fields[3]}"
            )
            is_good = False
        vr = fields[1]
        # Words that are no VR by their letters mean an unknown one; the others are mistakes.
        if vr not in _VRS and len(vr) > 1 and vr[:2].isascii() and vr[:2].isupper():
            if vr[:2] not in _VRS:
                complaints.append(f"DcmDataDictionary: {path}: bad VR field (line {number}): {vr}")
                is_good = False
            vr = vr[:2]
        try:
            tag = _tag(fields[0])
        except _TagError as error:
            if str(error):
                complaints.append(f"DcmDataDictionary: {error}")
            complaints.append(
                f"DcmDataDictionary: {path}: bad Tag field (line {number}): {fields[0]}"
            )
            continue
        if is_good:
            entries.append((*tag, vr if vr in _VRS else "UN", fields[2]))
    return complaints


def _is_multiplicity(text: str) -> bool:
    """Return True for a value multiplicity: ``1``, ``2-3``, ``1-n``, ``2-2n``."""
    first, dash, last = text.partition("-")
    if not dash:
        return first.strip() in ("n", "N") or _is_number(first)
    last = last.strip().lower()
    return _is_number(first) and (last == "n" or _is_number(last.removesuffix("n")))


def _is_number(text: str) -> bool:
    return text.strip().isdecimal()


def _tag(text: str) -> tuple[int, int, int, int, int, int, str]:
    """Read ``(gggg,eeee)``, with ranges and a creator in quotation marks."""
    if not (text.startswith("(") and text.endswith(")")):
        raise _TagError
    group, comma, rest = text[1:-1].partition(",")
    if not comma:
        raise _TagError
    creator = ""
    rest = rest.lstrip()
    if rest.startswith('"'):
        creator, quote, rest = rest[1:].partition('"')
        _, comma, rest = rest.partition(",")
        if not (quote and comma):
            raise _TagError
    return (*_range(group), *_range(rest), creator)


def _range(text: str) -> tuple[int, int, int]:
    """Read ``0010``, ``6000-60FF`` (the even ones), ``0009-o-FFFF`` or ``0000-u-FFFF``."""
    first, dash, rest = text.partition("-")
    low = _number(first)
    if not dash:
        return low, low, 0
    restriction = 2
    word, dash, last = rest.partition("-")
    if dash:
        word = word.strip()
        if word not in _RESTRICTIONS:
            raise _TagError(f"Unknown range restrictor: {word}")
        restriction, rest = _RESTRICTIONS[word], last
    return low, _number(rest), restriction


def _number(text: str) -> int:
    """Read hexadecimal digits as C's sscanf does: what stands behind them does not count."""
    text = text.strip()
    length = 0
    while length < len(text) and text[length] in _HEXADECIMAL:
        length += 1
    if not length:
        raise _TagError
    return int(text[:length][:16], 16) & 0xFFFF
