"""Association negotiation profiles: the files behind ``-xf``.

Reads the text format of DCMTK (its asconfig.txt), with its rules for blanks, case and numbering and
with the texts of its errors, so that files and scripts carry over.  The outcome is a
`NegotiationProfile`; what an acceptor makes of it stands in ``policy/negotiation.py``.  Each front
end adds its own wording around the errors, in ``options/settings.py``.

One thing is ours: a file may include others (``[[Includes]]``), which DCMTK's programs skip as they
skip every supersection that they do not know.
"""

from __future__ import annotations

import os

from dcmfast import uids
from dcmfast.config.byte_order import local_explicit, opposite_explicit
from dcmfast.errors import AssociationConfigurationError
from dcmfast.types import UID_CHARACTERS_MAX, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TypeVar

    T = TypeVar("T")

#: Contexts of one list: the odd IDs 1 to 255 (PS3.8 §9.3.2.2).
CONTEXTS_MAX = 128
#: Transfer syntaxes of one list; DCMTK's own bound.
TRANSFER_SYNTAXES_MAX = 128
#: Service class application information of one SOP class, in bytes; DCMTK's own bound.
EXTENDED_NEGOTIATION_BYTES_MAX = 1024
#: Longest file that is read, in bytes: DCMTK's own examples have 20 KB.
FILE_BYTES_MAX = 4 * 1024 * 1024
#: Files that one file includes, with those that they include.
FILES_MAX = 64
#: What is shown of a line that is wrong, in characters.
_SHOWN_MAX = 80

_NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_BLANKS = " \t"
_WHITE = " \t\n\v\f"


class _Place:
    """Where something stands: file, line, and the line's text."""

    __slots__ = ("line", "path", "text")

    def __init__(self, path: str, line: int, text: str) -> None:
        self.path = path
        self.line = line
        self.text = text

    def __str__(self) -> str:
        where = f"{self.path}, line {self.line}" if self.path else f"line {self.line}"
        shown = "".join(one if one.isprintable() else "?" for one in self.text.strip())
        if len(shown) > _SHOWN_MAX:
            shown = f"{shown[:_SHOWN_MAX]}..."
        return f"{where}: {shown}" if shown else where


class _Entry:
    """The value of a key, and where it stands."""

    __slots__ = ("place", "value")

    def __init__(self, value: str, place: _Place) -> None:
        self.value = value
        self.place = place


class _Section:
    """One section: its name, its entries by key (capitals, no blanks), and where it begins."""

    __slots__ = ("entries", "name", "place")

    def __init__(self, name: str, place: _Place) -> None:
        self.name = name
        self.place = place
        self.entries: dict[str, _Entry] = {}


#: One file: supersections by name, each with its sections in order.  A name may come twice.
_Sections = dict[str, list[_Section]]


class ProfileContext(Record):
    """One presentation context of a profile; the transfer syntaxes are in order of preference."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


class NegotiationProfile(Record):
    """What one profile proposes or accepts."""

    #: In capitals, without blanks.
    name: str
    contexts: tuple[ProfileContext, ...]
    #: SOP class and ``SCU``, ``SCP`` or ``BOTH``: the requestor's role, PS3.7 Annex D.3.3.4.
    roles: tuple[tuple[str, str], ...] = ()
    #: SOP class and service class application information, PS3.7 Annex D.3.3.5.
    extended_negotiation: tuple[tuple[str, bytes], ...] = ()
    #: Where an abstract syntax stands for the second time; empty if none does.
    repetition: str = ""

    def is_for_acceptor(self) -> bool:
        """Return True if every abstract syntax stands there once, as an acceptor needs it."""
        names = [context.abstract_syntax for context in self.contexts]
        return len(names) == len(set(names))


def normalized(name: str) -> str:
    """Return a key or a section's name as it is compared: letters, digits, ``-``, ``_``, capitals.

    Anything else is dropped without a word.
    """
    return "".join(one for one in name if one in _NAME_CHARACTERS).upper()


def reference(name: str) -> str:
    """Return a value that names a section as it is compared: without blanks, in capitals."""
    return "".join(name.split()).upper()


def read(path: str) -> dict[str, NegotiationProfile]:
    """Read every profile of a file, and of those that it includes.

    Returns
    -------
    dict
        Profiles by name, in capitals.

    Raises
    ------
    AssociationConfigurationError
        The file cannot be opened or its contents break the rules; nothing of it is used.
    """
    sections, end = _with_includes(path)
    return _Reader(sections, end).profiles()


def _text_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError):
        _fail(f"unable to open configuration file: {path}")
    if len(text) > FILE_BYTES_MAX:
        _fail(f"configuration file too large: {path}")
    # Names and UIDs are ASCII; other bytes can only stand in comments, or end in an error.
    return text.decode("latin-1")


def _with_includes(path: str) -> tuple[_Sections, _Place]:
    """Read a file; return its sections and its end.

    The sections of the files that it includes stand before its own, in their order.

    A file that was read already counts once, so that two may include a third, and a file may not
    include itself, by others either.
    """
    sections: _Sections = {}
    # Files on the way from the first to the current one, then all that were read.
    open_files: list[tuple[str, _Sections, list[_Entry]]] = []
    known: dict[str, bool] = {}
    ends: list[_Place] = []

    def enter(name: str) -> None:
        text = _text_of(name)
        ends.append(_end(text, name))
        found = parse_sections(text, name)
        known[os.path.realpath(name)] = True
        includes = [
            entry
            for section in found.pop("INCLUDES", [])
            for _, entry in _numbered(section.entries, "FILE")
        ]
        open_files.append((name, found, includes))

    enter(path)
    while open_files:
        name, found, includes = open_files[-1]
        if includes:
            entry = includes.pop(0)
            wanted = os.path.join(os.path.dirname(name), entry.value.strip())
            is_open = known.get(os.path.realpath(wanted))
            if is_open:
                _fail(f"configuration file includes itself: {wanted}", entry.place)
            if is_open is None:
                if len(known) == FILES_MAX:
                    _fail(f"more than {FILES_MAX} configuration files included", entry.place)
                try:
                    enter(wanted)
                except AssociationConfigurationError as error:
                    _fail(str(error), entry.place)
            continue
        open_files.pop()
        known[os.path.realpath(name)] = False
        for key, its_sections in found.items():
            sections.setdefault(key, []).extend(its_sections)
    return sections, ends[0]


def parse(text: str) -> dict[str, NegotiationProfile]:
    """Read every profile of a file's text, which includes no other; see `read`."""
    return _Reader(parse_sections(text), _end(text, "")).profiles()


def _end(text: str, path: str) -> _Place:
    return _Place(path, len(text.splitlines()), "end of file")


class _Lines:
    """Which line of the file a place in its text is; comments have been taken out of that."""

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        self.lines = text.split("\n")
        self.text = ""
        #: First character in `text` and number of each line that is no comment.
        self.starts: list[tuple[int, int]] = []
        kept = []
        at = 0
        for number, line in enumerate(self.lines, 1):
            if not line.startswith("#"):
                self.starts.append((at, number))
                kept.append(line)
                at += len(line) + 1
        self.text = "\n".join(kept)
        self.current = 0

    def place(self, at: int) -> _Place:
        """Return the place of a character; places are asked for in their order."""
        while self.current + 1 < len(self.starts) and self.starts[self.current + 1][0] <= at:
            self.current += 1
        number = self.starts[self.current][1]
        return _Place(self.path, number, self.lines[number - 1])


def parse_sections(text: str, path: str = "") -> _Sections:
    """Split a file's text into supersections, sections and entries.

    The rules are those of DCMTK's reader, which goes by characters and not by lines: a key runs up
    to the next ``=`` and a section's name up to its bracket, over line ends if need be.  ``#``
    begins a comment in column 1 only; such lines are as if they were not there.  Of two
    supersections with one name, and of two entries with one key, the first counts.
    """
    lines = _Lines(text.replace("\0", " ").replace("\r\n", "\n").replace("\r", "\n"), path)
    text = lines.text
    sections: _Sections = {}
    current: list[_Section] | None = None
    at = 0
    while at < len(text):
        character = text[at]
        if character in _WHITE:
            at += 1
        elif character == "[":
            place = lines.place(at)
            level, name, at = _bracketed(text, at)
            if level > 1:
                current = []
                sections.setdefault(name, current)
            elif current is not None:
                current.append(_Section(name, place))
        else:
            equals = text.find("=", at)
            if equals < 0:
                break
            value, next_at = _value(text, equals + 1)
            if current:
                # The key may begin on an earlier line, which is then junk; the value decides.
                entry = _Entry(value, lines.place(equals))
                current[-1].entries.setdefault(normalized(text[at:equals]), entry)
            at = next_at
    return sections


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _bracketed(text: str, at: int) -> tuple[int, str, int]:
    """Read ``[name]`` or ``[[name]]``: number of brackets, name, and where it goes on."""
    start = at
    while text[start : start + 1] == "[":
        start += 1
    level = start - at
    end = text.find("]", start)
    if end < 0:
        return level, normalized(text[start:]), len(text)
    name = normalized(text[start:end])
    # As many closing brackets as opening ones are skipped, wherever they stand.
    at = end
    for _ in range(level):
        found = text.find("]", at)
        if found < 0:
            return level, name, len(text)
        at = found + 1
    return level, name, at


def _value(text: str, at: int) -> tuple[str, int]:
    """Read a value with the lines that continue it, those that begin with a blank."""
    end = _end_of_line(text, at)
    lines = [text[at:end].lstrip(_BLANKS)]
    while text[end + 1 : end + 2] and text[end + 1] in _BLANKS:
        start, end = end + 1, _end_of_line(text, end + 1)
        lines.append(text[start:end].lstrip(_BLANKS))
    return "\n".join(lines).strip("\n"), end


def _fail(text: str, place: _Place | None = None) -> NoReturn:
    raise AssociationConfigurationError(text, "" if place is None else str(place))


#: DCMTK's condition where a context has no class, or extended negotiation no data.
_NOTHING = "Illegal call, perhaps wrong parameters"


def _uid(text: str, kind: str, place: _Place) -> str:
    """Return the UID that `text` is or names."""
    named = uids.uid_of(text)
    if named is not None:
        return named
    digits = text.replace(".", "")
    if digits.isascii() and digits.isdigit() and len(text) <= UID_CHARACTERS_MAX:
        return text
    _fail(f"not a valid {kind} syntax UID: {text}", place)


def _numbered(entries: dict[str, _Entry], stem: str) -> list[tuple[str, _Entry]]:
    """Return the entries numbered from 1; the first gap ends them."""
    found = []
    number = 1
    while f"{stem}{number}" in entries:
        found.append((f"{stem}{number}", entries[f"{stem}{number}"]))
        number += 1
    return found


class _Reader:
    """One walk over a file's sections, in the order in which DCMTK finds faults."""

    def __init__(self, sections: _Sections, end: _Place) -> None:
        self.sections = sections
        self.end = end
        self.transfer_syntaxes: dict[str, tuple[str, ...]] = {}
        self.contexts: dict[str, tuple[ProfileContext, ...]] = {}
        self.repetitions: dict[str, str] = {}
        self.roles: dict[str, tuple[tuple[str, str], ...]] = {}
        self.extended: dict[str, tuple[tuple[str, bytes], ...]] = {}

    def profiles(self) -> dict[str, NegotiationProfile]:
        self._read_transfer_syntaxes()
        self._read_contexts()
        self._read_roles()
        self._read_extended()
        return self._read_profiles()

    def _supersection(self, name: str, *, required: bool) -> list[_Section]:
        if name not in self.sections:
            if required:
                _fail(f"cannot find section [[{name}]] in config file", self.end)
            return []
        return self.sections[name]

    def _read_transfer_syntaxes(self) -> None:
        symbolic = {
            "LocalEndianExplicit": local_explicit(),
            "OppositeEndianExplicit": opposite_explicit(),
        }
        for section in self._supersection("TRANSFERSYNTAXES", required=True):
            syntaxes = list(self.transfer_syntaxes.get(section.name, ()))
            for _, entry in _numbered(section.entries, "TRANSFERSYNTAX"):
                value = entry.value
                syntaxes.append(symbolic.get(value) or _uid(value, "transfer", entry.place))
                if len(syntaxes) > TRANSFER_SYNTAXES_MAX:
                    _fail(
                        "transfer syntax list too long, cannot handle more than "
                        f"{TRANSFER_SYNTAXES_MAX} entries: {section.name}",
                        entry.place,
                    )
            if syntaxes:
                self.transfer_syntaxes[section.name] = tuple(syntaxes)

    def _read_contexts(self) -> None:
        for section in self._supersection("PRESENTATIONCONTEXTS", required=True):
            contexts = list(self.contexts.get(section.name, ()))
            known = {one.abstract_syntax for one in contexts}
            for key, entry in _numbered(section.entries, "PRESENTATIONCONTEXT"):
                abstract, rest = self._split(key, entry)
                list_name = reference(rest)
                if list_name not in self.transfer_syntaxes:
                    _fail(f"transfer syntax key undefined: {list_name}", entry.place)
                if not abstract:
                    _fail(_NOTHING, entry.place)
                abstract_syntax = _uid(abstract, "abstract", entry.place)
                if len(contexts) == CONTEXTS_MAX:
                    _fail(
                        f"presentation context list too long (> 128 entries): {section.name}",
                        entry.place,
                    )
                if abstract_syntax in known:
                    self.repetitions.setdefault(section.name, str(entry.place))
                known.add(abstract_syntax)
                contexts.append(
                    ProfileContext(
                        abstract_syntax=abstract_syntax,
                        transfer_syntaxes=self.transfer_syntaxes[list_name],
                    )
                )
            if contexts:
                self.contexts[section.name] = tuple(contexts)

    def _read_roles(self) -> None:
        for section in self._supersection("SCPSCUROLESELECTION", required=False):
            roles = dict(self.roles.get(section.name, ()))
            for key, entry in _numbered(section.entries, "ROLE"):
                abstract, rest = self._split(key, entry)
                abstract_syntax = _uid(abstract, "abstract", entry.place)
                role = rest.upper()
                if role not in ("SCU", "SCP", "BOTH"):
                    _fail(
                        f"syntax error: unknown role key in entry {key} in config file", entry.place
                    )
                if abstract_syntax in roles:
                    _fail(
                        f"role selection defined twice for abstract syntax UID: {abstract}",
                        entry.place,
                    )
                roles[abstract_syntax] = role
            if roles:
                self.roles[section.name] = tuple(roles.items())

    def _read_extended(self) -> None:
        for section in self._supersection("EXTENDEDNEGOTIATION", required=False):
            items = dict(self.extended.get(section.name, ()))
            for key, entry in _numbered(section.entries, "EXTENDEDNEGOTIATION"):
                abstract, rest = self._split(key, entry)
                abstract_syntax = _uid(abstract, "abstract", entry.place)
                data = self._hexadecimal(key, rest, entry.place)
                if abstract_syntax in items:
                    _fail(
                        f"extended negotiation defined twice for abstract syntax UID: {abstract}",
                        entry.place,
                    )
                items[abstract_syntax] = data
            if items:
                self.extended[section.name] = tuple(items.items())

    @staticmethod
    def _hexadecimal(key: str, text: str, place: _Place) -> bytes:
        digits = frozenset("0123456789abcdefABCDEF")
        if not text:
            _fail(_NOTHING, place)
        if len(text) % 2 or not digits.issuperset(text):
            _fail(f"parse error in extended negotiation data in entry {key} in config file", place)
        if len(text) > 2 * EXTENDED_NEGOTIATION_BYTES_MAX:
            _fail(
                "extended negotiation data too long, cannot handle > "
                f"{EXTENDED_NEGOTIATION_BYTES_MAX} bytes in entry {key} in config file",
                place,
            )
        return bytes.fromhex(text)

    @staticmethod
    def _split(key: str, entry: _Entry) -> tuple[str, str]:
        first, separator, rest = entry.value.partition("\\")
        if not separator:
            _fail(f"syntax error: missing '\\' in entry {key} in config file", entry.place)
        return first, rest

    def _read_profiles(self) -> dict[str, NegotiationProfile]:
        profiles: dict[str, NegotiationProfile] = {}
        for section in self._supersection("PROFILES", required=True):
            name, entries = section.name, section.entries
            if "PRESENTATIONCONTEXTS" not in entries:
                _fail(
                    f"no PRESENTATIONCONTEXTS  entry in section {name} in config file",
                    section.place,
                )
            chosen = entries["PRESENTATIONCONTEXTS"]
            list_name = reference(chosen.value)
            contexts = self.contexts.get(list_name)
            if contexts is None:
                _fail(f"presentation context key undefined: {list_name}", chosen.place)
            known = {context.abstract_syntax for context in contexts}
            roles = self._named(entries, "SCPSCUROLESELECTION", self.roles, "role selection")
            self._check_known(entries, "SCPSCUROLESELECTION", roles, known, list_name)
            extended = self._named(
                entries, "EXTENDEDNEGOTIATION", self.extended, "extended negotiation"
            )
            self._check_known(entries, "EXTENDEDNEGOTIATION", extended, known, list_name)
            if name in profiles:
                _fail(f"two profiles defined for key: {list_name}", section.place)
            profiles[name] = NegotiationProfile(
                name=name,
                contexts=contexts,
                roles=roles,
                extended_negotiation=extended,
                repetition=self.repetitions.get(list_name, ""),
            )
        return profiles

    @staticmethod
    def _named(
        entries: dict[str, _Entry], key: str, lists: dict[str, tuple[T, ...]], what: str
    ) -> tuple[T, ...]:
        if key not in entries:
            return ()
        name = reference(entries[key].value)
        if name not in lists:
            _fail(f"{what} key undefined: {name}", entries[key].place)
        return lists[name]

    @staticmethod
    def _check_known(
        entries: dict[str, _Entry],
        key: str,
        items: tuple[tuple[str, str], ...] | tuple[tuple[str, bytes], ...],
        known: set[str],
        list_name: str,
    ) -> None:
        """Every SOP class of `items` must be proposed; the wording is DCMTK's for both kinds."""
        for abstract_syntax, _ in items:
            if abstract_syntax not in known:
                entry = entries[key]
                _fail(
                    "abstract syntax defined in role selection list "
                    f"'{reference(entry.value)}' but not in presentation context list "
                    f"'{list_name}': {abstract_syntax}",
                    entry.place,
                )
