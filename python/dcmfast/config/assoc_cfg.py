"""Association negotiation profiles: the files behind ``-xf``.

Reads the text format of DCMTK (its asconfig.txt), with its rules for blanks, case and numbering and
with the texts of its errors, so that files and scripts carry over.  The outcome is a
`NegotiationProfile`; what an acceptor makes of it stands in ``policy/negotiation.py``.  Each front
end adds its own wording around the errors, in ``options/settings.py``.
"""

from __future__ import annotations

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

_NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_BLANKS = " \t"
_WHITE = " \t\n\v\f"

#: One section: its name and its entries, keys in capitals without blanks.
_Section = tuple[str, dict[str, str]]
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
    """Read every profile of a file.

    Returns
    -------
    dict
        Profiles by name, in capitals.

    Raises
    ------
    AssociationConfigurationError
        The file cannot be opened or its contents break the rules; nothing of it is used.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError):
        raise AssociationConfigurationError(f"unable to open configuration file: {path}") from None
    if len(text) > FILE_BYTES_MAX:
        raise AssociationConfigurationError(f"configuration file too large: {path}")
    # Names and UIDs are ASCII; other bytes can only stand in comments, or end in an error.
    return parse(text.decode("latin-1"))


def parse(text: str) -> dict[str, NegotiationProfile]:
    """Read every profile of a file's text; see `read`."""
    sections = parse_sections(text)
    return _Reader(sections).profiles()


def parse_sections(text: str) -> _Sections:
    """Split a file's text into supersections, sections and entries.

    The rules are those of DCMTK's reader, which goes by characters and not by lines: a key runs up
    to the next ``=`` and a section's name up to its bracket, over line ends if need be.  ``#``
    begins a comment in column 1 only; such lines are as if they were not there.  Of two
    supersections with one name, and of two entries with one key, the first counts.
    """
    text = text.replace("\0", " ").replace("\r\n", "\n").replace("\r", "\n")
    text = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    sections: _Sections = {}
    current: list[_Section] | None = None
    at = 0
    while at < len(text):
        character = text[at]
        if character in _WHITE:
            at += 1
        elif character == "[":
            level, name, at = _bracketed(text, at)
            if level > 1:
                current = []
                sections.setdefault(name, current)
            elif current is not None:
                current.append((name, {}))
        else:
            equals = text.find("=", at)
            if equals < 0:
                break
            value, next_at = _value(text, equals + 1)
            if current:
                current[-1][1].setdefault(normalized(text[at:equals]), value)
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


def _fail(text: str) -> NoReturn:
    raise AssociationConfigurationError(text)


def _uid(text: str, kind: str) -> str:
    """Return the UID that `text` is or names."""
    named = uids.uid_of(text)
    if named is not None:
        return named
    digits = text.replace(".", "")
    if digits.isascii() and digits.isdigit() and len(text) <= UID_CHARACTERS_MAX:
        return text
    _fail(f"not a valid {kind} syntax UID: {text}")


class _Reader:
    """One walk over a file's sections, in the order in which DCMTK finds faults."""

    def __init__(self, sections: _Sections) -> None:
        self.sections = sections
        self.transfer_syntaxes: dict[str, tuple[str, ...]] = {}
        self.contexts: dict[str, tuple[ProfileContext, ...]] = {}
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
                _fail(f"cannot find section [[{name}]] in config file")
            return []
        return self.sections[name]

    @staticmethod
    def _numbered(entries: dict[str, str], stem: str) -> list[tuple[str, str]]:
        """Return the entries numbered from 1; the first gap ends them."""
        found = []
        number = 1
        while f"{stem}{number}" in entries:
            found.append((f"{stem}{number}", entries[f"{stem}{number}"]))
            number += 1
        return found

    def _read_transfer_syntaxes(self) -> None:
        symbolic = {
            "LocalEndianExplicit": local_explicit(),
            "OppositeEndianExplicit": opposite_explicit(),
        }
        for name, entries in self._supersection("TRANSFERSYNTAXES", required=True):
            values = [value for _, value in self._numbered(entries, "TRANSFERSYNTAX")]
            syntaxes = self.transfer_syntaxes.get(name, ())
            syntaxes += tuple(symbolic.get(one) or _uid(one, "transfer") for one in values)
            if len(syntaxes) > TRANSFER_SYNTAXES_MAX:
                _fail(
                    "transfer syntax list too long, cannot handle more than "
                    f"{TRANSFER_SYNTAXES_MAX} entries: {name}"
                )
            if syntaxes:
                self.transfer_syntaxes[name] = syntaxes

    def _read_contexts(self) -> None:
        for name, entries in self._supersection("PRESENTATIONCONTEXTS", required=True):
            contexts = list(self.contexts.get(name, ()))
            for key, value in self._numbered(entries, "PRESENTATIONCONTEXT"):
                abstract, rest = self._split(key, value)
                list_name = reference(rest)
                if list_name not in self.transfer_syntaxes:
                    _fail(f"transfer syntax key undefined: {list_name}")
                abstract_syntax = _uid(abstract, "abstract")
                if len(contexts) == CONTEXTS_MAX:
                    _fail(f"presentation context list too long (> 128 entries): {name}")
                contexts.append(
                    ProfileContext(
                        abstract_syntax=abstract_syntax,
                        transfer_syntaxes=self.transfer_syntaxes[list_name],
                    )
                )
            if contexts:
                self.contexts[name] = tuple(contexts)

    def _read_roles(self) -> None:
        for name, entries in self._supersection("SCPSCUROLESELECTION", required=False):
            roles = dict(self.roles.get(name, ()))
            for key, value in self._numbered(entries, "ROLE"):
                abstract, rest = self._split(key, value)
                abstract_syntax = _uid(abstract, "abstract")
                role = rest.upper()
                if role not in ("SCU", "SCP", "BOTH"):
                    _fail(f"syntax error: unknown role key in entry {key} in config file")
                if abstract_syntax in roles:
                    _fail(f"role selection defined twice for abstract syntax UID: {abstract}")
                roles[abstract_syntax] = role
            if roles:
                self.roles[name] = tuple(roles.items())

    def _read_extended(self) -> None:
        for name, entries in self._supersection("EXTENDEDNEGOTIATION", required=False):
            items = dict(self.extended.get(name, ()))
            for key, value in self._numbered(entries, "EXTENDEDNEGOTIATION"):
                abstract, rest = self._split(key, value)
                abstract_syntax = _uid(abstract, "abstract")
                data = self._hexadecimal(key, rest)
                if abstract_syntax in items:
                    _fail(f"extended negotiation defined twice for abstract syntax UID: {abstract}")
                items[abstract_syntax] = data
            if items:
                self.extended[name] = tuple(items.items())

    @staticmethod
    def _hexadecimal(key: str, text: str) -> bytes:
        digits = frozenset("0123456789abcdefABCDEF")
        if not text or len(text) % 2 or not digits.issuperset(text):
            _fail(f"parse error in extended negotiation data in entry {key} in config file")
        if len(text) > 2 * EXTENDED_NEGOTIATION_BYTES_MAX:
            _fail(
                "extended negotiation data too long, cannot handle > "
                f"{EXTENDED_NEGOTIATION_BYTES_MAX} bytes in entry {key} in config file"
            )
        return bytes.fromhex(text)

    @staticmethod
    def _split(key: str, value: str) -> tuple[str, str]:
        first, separator, rest = value.partition("\\")
        if not separator:
            _fail(f"syntax error: missing '\\' in entry {key} in config file")
        return first, rest

    def _read_profiles(self) -> dict[str, NegotiationProfile]:
        profiles: dict[str, NegotiationProfile] = {}
        for name, entries in self._supersection("PROFILES", required=True):
            if "PRESENTATIONCONTEXTS" not in entries:
                _fail(f"no PRESENTATIONCONTEXTS  entry in section {name} in config file")
            list_name = reference(entries["PRESENTATIONCONTEXTS"])
            contexts = self.contexts.get(list_name)
            if contexts is None:
                _fail(f"presentation context key undefined: {list_name}")
            known = {context.abstract_syntax for context in contexts}
            roles = self._named(entries, "SCPSCUROLESELECTION", self.roles, "role selection")
            self._check_known(entries, "SCPSCUROLESELECTION", roles, known, list_name)
            extended = self._named(
                entries, "EXTENDEDNEGOTIATION", self.extended, "extended negotiation"
            )
            self._check_known(entries, "EXTENDEDNEGOTIATION", extended, known, list_name)
            if name in profiles:
                _fail(f"two profiles defined for key: {list_name}")
            profiles[name] = NegotiationProfile(
                name=name, contexts=contexts, roles=roles, extended_negotiation=extended
            )
        return profiles

    @staticmethod
    def _named(
        entries: dict[str, str], key: str, lists: dict[str, tuple[T, ...]], what: str
    ) -> tuple[T, ...]:
        if key not in entries:
            return ()
        name = reference(entries[key])
        if name not in lists:
            _fail(f"{what} key undefined: {name}")
        return lists[name]

    @staticmethod
    def _check_known(
        entries: dict[str, str],
        key: str,
        items: tuple[tuple[str, str], ...] | tuple[tuple[str, bytes], ...],
        known: set[str],
        list_name: str,
    ) -> None:
        """Every SOP class of `items` must be proposed; the wording is DCMTK's for both kinds."""
        for abstract_syntax, _ in items:
            if abstract_syntax not in known:
                _fail(
                    "abstract syntax defined in role selection list "
                    f"'{reference(entries[key])}' but not in presentation context list "
                    f"'{list_name}': {abstract_syntax}"
                )
