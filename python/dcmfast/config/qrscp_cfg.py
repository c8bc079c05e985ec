"""dcmqrscp.cfg: the storage areas of an archive, who may use them, and where it can send to.

Reads the text format of DCMTK, with its rules for gaps, quotes, tables and sizes, so that existing
files carry over.  The outcome is a `QRConfig`; what the engine makes of it stands in
``policy/access.py`` and ``policy/move.py``.

Errors are collected and reported together.  Their words are DCMTK's where it has any; each names
the line, also where DCMTK's does not.  Deviations, all in the reader's favour: lines may be longer
than 511 bytes, the last one needs no line end, quotas have no hidden cap, ``unlimited`` says so,
and what DCMTK reads from stale memory is an error.  What DCMTK looks at only after the file (the
range of ``MaxPDUSize``, whether user and group exist) is told with the rest; where it is all that
is wrong, DCMTK's closing words for it come last.
"""

from __future__ import annotations

import os

from dcmfast import limits
from dcmfast.errors import ArchiveConfigurationError
from dcmfast.types import AETitle, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Longest file that is read, in bytes: 20,000 peers take 1 MB.
FILE_BYTES_MAX = 4 * 1024 * 1024
#: Most complaints about one file; a file of another kind would fill the screen.
COMPLAINTS_MAX = 100

#: Range of ``MaxPDUSize``; the command line's ``-pdu`` has the same.
MAX_PDU_BYTES = range(limits.MAX_PDU_BYTES_MIN, limits.MAX_PDU_BYTES_MAX + 1)
NETWORK_PORT_DEFAULT = 104
MAX_PDU_BYTES_DEFAULT = limits.MAX_PDU_BYTES_DEFAULT
MAX_ASSOCIATIONS_DEFAULT = 16

#: What C's isspace takes for white space.
_WHITE = " \t\n\v\f\r"
_GAPS = _WHITE + "=,"
_GAPS_ALIKE = str.maketrans(dict.fromkeys(_GAPS, " "))
#: Each opens a token, and any of them closes it.
_QUOTES = "\"'()"
#: What a C int can hold; larger numbers saturate.
_INT_MAX = 2**31 - 1
#: Accesses that mean something; all else allows reading alone, as with DCMTK.
_ACCESSES = ("R", "W", "RW", "WR")
#: Sizes end with ``b``; what may stand before that.
_FACTORS = {"k": 1024, "m": 1024**2, "g": 1024**3}
#: Largest size, in bytes: what the engine counts with.
_SIZE_MAX = 2**63 - 1

#: What C-FIND responses can be written in: those of PS3.3 §C.12.1.1.2 without code extensions.
ANSWER_CHARACTER_SETS = frozenset(
    f"ISO_IR {number}"
    for number in (6, 13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 192, 203)
) | {"GB18030", "GBK"}
#: Most studies of a quota.
_STUDIES_MAX = _INT_MAX
#: What may be wrong although the file's grammar is good, in the order in which DCMTK looks at it.
_LATE = ("max_pdu_bytes", "group_name", "user_name")

#: Accepted for the sake of old files, and ignored.
_LEGACY = (
    "ApplicationTitle",
    "ApplicationContext",
    "ImplementationClass",
    "ImplementationVersion",
    "NetworkType",
    "Display",
    "DisplayPort",
)
_PEER_FORM = "(AETitle, HostName, PortNumber)"
_APPLICATION_FORM = "AETitle StorageArea Access (maxStudies, maxBytesPerStudy) Peers"


class ConfiguredPeer(Record):
    """An application entity elsewhere."""

    ae_title: str
    host: str
    #: 0 if there is none; only destinations of C-MOVE need one.
    port: int


class NamedPeers(Record):
    """A symbolic name of the HostTable, or a vendor of the VendorTable."""

    name: str
    peers: tuple[ConfiguredPeer, ...]


class ConfiguredApplication(Record):
    """One line of the AETable."""

    ae_title: str
    storage_area: str
    #: As written: ``R``, ``RW``, ``W`` …
    access: str
    #: None for no limit.
    studies_max: int | None
    study_bytes_max: int | None
    #: None for ``ANY``.
    peers: tuple[ConfiguredPeer, ...] | None


class CharacterSetEntry(Record):
    """``SpecificCharacterSet``: what C-FIND responses are written in."""

    #: False: the request's character set comes first.
    is_override: bool = False
    #: What the first choice cannot hold is tried in the other one.
    falls_back: bool = True
    #: Defined term; empty for ASCII.
    character_set: str = ""
    is_discarding: bool = False
    is_transliterating: bool = False


class QRConfig(Record):
    """A whole file."""

    network_port: int = NETWORK_PORT_DEFAULT
    max_pdu_bytes: int = MAX_PDU_BYTES_DEFAULT
    max_associations: int = MAX_ASSOCIATIONS_DEFAULT
    #: Empty: stay who we are.
    user_name: str = ""
    group_name: str = ""
    character_set: CharacterSetEntry = CharacterSetEntry()
    hosts: tuple[NamedPeers, ...] = ()
    vendors: tuple[NamedPeers, ...] = ()
    #: In file order; a title may stand twice.
    applications: tuple[ConfiguredApplication, ...] = ()
    #: What was read, but hardly as it was meant; each names its line.
    warnings: tuple[str, ...] = ()


def read(path: str) -> QRConfig:
    """Read a configuration file.

    Raises
    ------
    OSError
        The file cannot be opened.
    ArchiveConfigurationError
        Its contents break the rules; all complaints are in there.
    """
    with open(path, "rb") as file:
        contents = file.read(FILE_BYTES_MAX + 1)
    if len(contents) > FILE_BYTES_MAX:
        raise ArchiveConfigurationError(path, (f'Configuration file "{path}" too large',))
    # Paths are bytes to the system; whatever they are, they come back out of `os.fsencode`.
    return parse(os.fsdecode(contents), path, is_account=_is_account)


def parse(
    text: str,
    path: str = "dcmqrscp.cfg",
    *,
    is_account: Callable[[str, str], bool] = lambda _field, _name: True,
) -> QRConfig:
    """Read a configuration file's text.

    Parameters
    ----------
    text
        The contents.
    path
        What complaints call the file.
    is_account
        Whether ``user_name`` or ``group_name`` of that name exists here.
    """
    reader = _Reader(text, is_account)
    config = reader.read()
    complaints = [text for _, text in sorted(reader.complaints, key=lambda one: one[0])]
    if len(complaints) > COMPLAINTS_MAX:
        complaints[COMPLAINTS_MAX:] = [f"More errors than {COMPLAINTS_MAX}; no configuration file?"]
    if not complaints:
        return config
    # DCMTK says no more than this where it is all that is wrong.
    is_all = len(reader.late) == len(complaints)
    last = next((reader.late[field] for field in _LATE if field in reader.late), None)
    raise ArchiveConfigurationError(
        path, tuple(complaints), config.warnings, last=last if is_all else None
    )


def _is_account(field: str, name: str) -> bool:
    """Whether the system knows this user or group."""
    try:
        if field == "user_name":
            import pwd

            pwd.getpwnam(name)
        else:
            import grp

            grp.getgrnam(name)
    except (KeyError, ValueError):
        return False
    return True


# ---- Tokens


class _UnclosedError(Exception):
    """A quote or parenthesis that opens, and no other behind it."""


def _token(text: str, at: int) -> tuple[str | None, int]:
    """Read the token at or behind `at`: its text, None at the end of the line, and where it ends.

    A quoted token has no escapes, and any quote closes it; a quote inside an unquoted one is an
    ordinary character.
    """
    while at < len(text) and text[at] in _GAPS:
        at += 1
    if at == len(text):
        return None, at
    if text[at] in _QUOTES:
        end = at + 1
        while end < len(text) and text[end] not in _QUOTES:
            end += 1
        if end == len(text):
            raise _UnclosedError
        return text[at + 1 : end], end + 1
    end = at
    while end < len(text) and text[end] not in _GAPS:
        end += 1
    return text[at:end], end


def _tokens(text: str) -> tuple[list[str], bool]:
    """Return all tokens of `text`, and False if the last one lacks its closing quote."""
    if not any(quote in text for quote in _QUOTES):
        # Nearly every peer: a table may have tens of thousands.
        return [token for token in text.translate(_GAPS_ALIKE).split(" ") if token], True
    found: list[str] = []
    at = 0
    try:
        while True:
            token, at = _token(text, at)
            if token is None:
                return found, True
            found.append(token)
    except _UnclosedError:
        return found, False


def _integer(text: str) -> int | None:
    """Read the number at the start of `text` as C's ``%d`` does; None if there is none."""
    rest = text.lstrip(_WHITE)
    is_negative = rest[:1] == "-"
    if rest[:1] in ("-", "+"):
        rest = rest[1:]
    length = 0
    while length < len(rest) and rest[length] in "0123456789":
        length += 1
    if not length:
        return None
    # 24 digits are beyond every limit here, and Python's own limit is not met.
    number = int(rest[:length].lstrip("0")[:24] or "0")
    return -number if is_negative else number


def _saturated(number: int) -> int:
    return max(-_INT_MAX, min(number, _INT_MAX))


# ---- The file


class _Reader:
    """One walk over the lines."""

    def __init__(self, text: str, is_account: Callable[[str, str], bool]) -> None:
        self.is_account = is_account
        self.lines = text.split("\n")
        # Behind the last line end there is no further line.
        if not self.lines[-1]:
            self.lines.pop()
        #: Number of the line in hand, from 1.
        self.number = 0
        #: Number of the last line with a quote that is not closed.
        self.unclosed_line = 0
        #: With their lines; what is wrong at its end comes when the file has been read.
        self.complaints: list[tuple[int, str]] = []
        self.warnings: list[str] = []
        #: Closing words for what DCMTK looks at after the file, by field.
        self.late: dict[str, str] = {}
        #: Where each global entry stands.
        self.places: dict[str, int] = {}
        self.values: dict[str, int | str] = {}
        self.character_set = CharacterSetEntry()
        self.hosts: dict[str, tuple[ConfiguredPeer, ...]] = {}
        self.vendors: dict[str, tuple[ConfiguredPeer, ...]] = {}
        self.applications: list[ConfiguredApplication] = []

    def read(self) -> QRConfig:
        tables: dict[str, Callable[[str], None]] = {
            "HostTable": self._host,
            "VendorTable": self._vendor,
            "AETable": self._application,
        }
        while (line := self._next_line()) is not None:
            mnemonic, rest = _mnemonic(line)
            if mnemonic in tables:
                self._open_table(mnemonic, rest, tables[mnemonic])
            elif mnemonic in _GLOBAL:
                if mnemonic in self.places:
                    self._warn(f"{mnemonic} takes the place of line {self.places[mnemonic]}")
                self.places[mnemonic] = self.number
                _GLOBAL[mnemonic](self, rest)
            elif mnemonic and mnemonic not in _LEGACY:
                self._complain(f'Unknown mnemonic "{mnemonic}"')
        self._look_back()
        return QRConfig(
            **self.values,  # type: ignore[arg-type]  # each under its own name and type
            character_set=self.character_set,
            hosts=_named(self.hosts),
            vendors=_named(self.vendors),
            applications=tuple(self.applications),
            warnings=tuple(self.warnings),
        )

    def _next_line(self) -> str | None:
        """Return the next line that is neither empty nor a comment; None behind the last."""
        while self.number < len(self.lines):
            line = self.lines[self.number]
            self.number += 1
            # A NUL ends a line for DCMTK.
            line = line.partition("\0")[0]
            if line and line[0] not in "#\r":
                return line
        return None

    def _look_back(self) -> None:
        """Check what the last entry of its name decides."""
        size = self.values.get("max_pdu_bytes", MAX_PDU_BYTES_DEFAULT)
        if size not in MAX_PDU_BYTES:
            bounds = f"{MAX_PDU_BYTES.start} to {MAX_PDU_BYTES.stop - 1}"
            self._complain_late(
                "MaxPDUSize",
                "max_pdu_bytes",
                f"MaxPDUSize {size} is not within {bounds}",
                "invalid MaxPDUSize in config file",
            )
        for mnemonic, field, kind in (
            ("GroupName", "group_name", "group"),
            ("UserName", "user_name", "user"),
        ):
            name = str(self.values.get(field, ""))
            if name and not self.is_account(field, name):
                text = f'{mnemonic} "{name}" is no {kind} of this system'
                self._complain_late(mnemonic, field, text, f"bad {kind} name {name}")

    def _complain_late(self, mnemonic: str, field: str, text: str, last: str) -> None:
        self.number = self.places[mnemonic]
        self._complain(text)
        self.late[field] = last

    def _complain(self, text: str) -> None:
        if len(self.complaints) <= COMPLAINTS_MAX:
            self.complaints.append(
                (self.number, f"{text} in configuration file, line {self.number}")
            )

    def _warn(self, text: str) -> None:
        if len(self.warnings) < COMPLAINTS_MAX:
            self.warnings.append(f"configuration file, line {self.number}: {text}")

    # -- Global entries

    def _number(self, name: str, field: str, rest: str, default: int) -> int | None:
        """Read a number; what is none leaves the default, as with DCMTK."""
        number = _integer(rest)
        if number is None:
            self._warn(f"{name} is not a number, {default} is used")
            return None
        self._expect_digits(_first_word(rest), f"{name} {number}")
        self.values[field] = _saturated(number)
        return number

    def _expect_digits(self, text: str, meaning: str) -> None:
        """Warn of a number that is followed by something else, which DCMTK passes over."""
        if not text.removeprefix("-").removeprefix("+").isdecimal():
            self._warn(f'"{text}" is no whole number: {meaning} is used')

    def _network_port(self, rest: str) -> None:
        port = self._number("NetworkTCPPort", "network_port", rest, NETWORK_PORT_DEFAULT)
        if port == 0:
            self.values["network_port"] = NETWORK_PORT_DEFAULT
        elif port is not None and not 1 <= port <= 65535:
            self._complain(f"NetworkTCPPort {port} is not within 1 to 65535")

    def _max_pdu(self, rest: str) -> None:
        number = self._number("MaxPDUSize", "max_pdu_bytes", rest, MAX_PDU_BYTES_DEFAULT)
        if number == 0:
            self.values["max_pdu_bytes"] = MAX_PDU_BYTES_DEFAULT

    def _max_associations(self, rest: str) -> None:
        number = self._number("MaxAssociations", "max_associations", rest, MAX_ASSOCIATIONS_DEFAULT)
        if number is not None and number <= 0:
            self.values["max_associations"] = 0
            self._warn(f"MaxAssociations {number}: every association will be refused")

    def _name(self, name: str, field: str, rest: str) -> None:
        """Read one word.  Without any, DCMTK crashes."""
        tokens = self._all_tokens(rest)
        if tokens:
            self.values[field] = tokens[0]
        else:
            self._complain_of_missing(f"No name behind {name}")

    def _user_name(self, rest: str) -> None:
        self._name("UserName", "user_name", rest)

    def _group_name(self, rest: str) -> None:
        self._name("GroupName", "group_name", rest)

    def _character_set(self, rest: str) -> None:
        changes: dict[str, dict[str, bool]] = {
            "override": {"is_override": True},
            "fallback": {"falls_back": True},
            "abort": {"is_discarding": False, "is_transliterating": False},
            "discard": {"is_discarding": True},
            "transliterate": {"is_transliterating": True},
        }
        # Each such line begins anew, and has no fall-back unless it says so (DCMTK 3.6.7).
        self.character_set = CharacterSetEntry(falls_back=False)
        for word in self._all_tokens(rest):
            if word in changes:
                self.character_set = self.character_set.replace(**changes[word])
                continue
            before = self.character_set.character_set
            if before:
                self._warn(f'character set "{word}" takes the place of "{before}"')
            if word not in ANSWER_CHARACTER_SETS:
                self._warn(f'nothing can be written in "{word}": no character set of that name')
            self.character_set = self.character_set.replace(character_set=word)

    def _all_tokens(self, text: str) -> list[str]:
        """Return the tokens of a line, or of a token's inside."""
        tokens, is_closed = _tokens(text)
        if not is_closed:
            self._warn("a quote or parenthesis is not closed, the rest of the line is ignored")
            self.unclosed_line = self.number
        return tokens

    def _complain_of_missing(self, text: str) -> None:
        """Complain of an entry that lacks something; often a quote is the reason."""
        is_unclosed = self.unclosed_line == self.number
        self._complain(text + (" (a quote or parenthesis is not closed)" if is_unclosed else ""))

    # -- Tables

    def _open_table(self, name: str, rest: str, read_entry: Callable[[str], None]) -> None:
        status = _first_word(rest)
        if status == "END":
            self._complain(f'No "{name} BEGIN" before END')
            return
        if status != "BEGIN":
            self._complain(f'Unknown {name} status "{status}"')
            return
        if name == "AETable" and self.applications:
            self._warn("a second AETable takes the place of the first")
            self.applications.clear()
        self._read_table(name, read_entry)

    def _read_table(self, name: str, read_entry: Callable[[str], None]) -> None:
        while (line := self._next_line()) is not None:
            words = line.split()
            if words[:1] == [name]:
                status = words[1] if len(words) > 1 else ""
                if status == "END":
                    return
                self._complain(f'Illegal {name} status "{status}"')
                break
            if words:
                read_entry(line)
            else:
                self._complain(f"Line of blanks inside {name}")
        self._complain(f'No "{name} END"')

    def _host(self, line: str) -> None:
        self._named_peers(line, self.hosts)

    def _vendor(self, line: str) -> None:
        self._named_peers(line, self.vendors)

    def _named_peers(self, line: str, table: dict[str, tuple[ConfiguredPeer, ...]]) -> None:
        tokens = self._all_tokens(line)
        if not tokens:
            self._complain_of_missing("Entry without a name")
            return
        name = tokens[0]
        if name == "ANY":
            self._warn('"ANY" stands for every peer in an AETable, and never for this entry')
        if name in table:
            self._warn(f'"{name}" is there already, and its first entry counts')
        # The name is known from here on, so that an entry which names itself is told as DCMTK does.
        is_first = table.setdefault(name, ()) == ()
        if len(tokens) == 1:
            self._complain_of_missing(f'No members of "{name}"')
            return
        peers = self._members(tokens[1:], is_destination=table is self.hosts)
        if is_first:
            table[name] = peers

    def _members(
        self, tokens: list[str], *, is_destination: bool = False
    ) -> tuple[ConfiguredPeer, ...]:
        """Return the peers that the members of an entry are or name, each once.

        The first complaint ends the entry, as it does with DCMTK.
        """
        # Each once: groups of groups would otherwise double with every line.
        peers: dict[ConfiguredPeer, None] = {}
        for token in tokens:
            if "," in token:
                peer = self._peer(token, is_destination=is_destination)
                if peer is None:
                    return ()
                peers[peer] = None
            elif not self.hosts:
                self._complain("No symbolic names defined")
                return ()
            elif token not in self.hosts:
                self._complain(f'Symbolic name "{token}" not defined')
                return ()
            elif not self.hosts[token]:
                self._complain(f'No peers for symbolic name "{token}" defined')
                return ()
            else:
                peers.update(dict.fromkeys(self.hosts[token]))
        return tuple(peers)

    def _peer(self, text: str, *, is_destination: bool) -> ConfiguredPeer | None:
        parts = self._all_tokens(text)
        if len(parts) < 2:
            self._complain(f'Peer "({text})" is not of the form {_PEER_FORM}')
            return None
        title, host = parts[:2]
        port = _integer(parts[2]) if len(parts) > 2 else 0
        if port is None or not 0 <= port <= 65535:
            self._warn(f'port "{parts[2]}" is no port: nothing can be sent to {title}')
            port = 0
        elif len(parts) > 2:
            self._expect_digits(parts[2], f"port {port} of {title}")
        elif is_destination:
            # In an AETable a port is of no use but for C-MOVE; a HostTable is a list of places.
            self._warn(f"{title} has no port: nothing can be sent to it")
        if len(parts) > 3:
            self._warn(f'"{parts[3]}" behind the port of {title} is ignored')
        self._check_title(title)
        return ConfiguredPeer(ae_title=title.strip(" "), host=host, port=port)

    def _check_title(self, title: str) -> None:
        """Warn of a title that no peer can have; DCMTK takes it, and it never matches."""
        try:
            is_title = bool(AETitle(title))
        except ValueError:
            is_title = False
        if not is_title:
            self._warn(f'"{title}" cannot be an AE title, and so never matches one')

    def _application(self, line: str) -> None:
        tokens = self._all_tokens(line)
        if len(tokens) < 5:
            name = f'Entry "{tokens[0]}"' if tokens else "Entry"
            self._complain_of_missing(f"{name} is not of the form {_APPLICATION_FORM}")
            return
        title, area, access, quota, *members = tokens
        self._check_title(title)
        if any(one.ae_title == title.strip(" ") for one in self.applications):
            self._warn(
                f'"{title}" is there already: storage area, access and quota of its first entry '
                "count, and the peers of all"
            )
        if access not in _ACCESSES:
            self._warn(f'access "{access}" of "{title}" is none of R, W and RW: reading alone')
        studies_max, study_bytes_max = self._quota(title, quota)
        peers: tuple[ConfiguredPeer, ...] | None = None
        if members[0] != "ANY":
            peers = self._members(members)
        elif len(members) > 1:
            self._warn("whoever stands behind ANY is ignored: every peer is allowed")
        self.applications.append(
            ConfiguredApplication(
                ae_title=title.strip(" "),
                storage_area=area,
                access=access,
                studies_max=studies_max,
                study_bytes_max=study_bytes_max,
                peers=peers,
            )
        )

    def _quota(self, title: str, text: str) -> tuple[int | None, int | None]:
        """Read ``studies, size``: None stands for no limit."""
        parts = self._all_tokens(text)
        studies = _integer(parts[0]) if parts else None
        is_unlimited = bool(parts) and parts[0].lower() == "unlimited"
        if len(parts) < 2 or (studies is None and not is_unlimited):
            self._complain(
                f'Quota "{text}" of "{title}" is not of the form (maxStudies, maxBytesPerStudy)'
            )
            return None, None
        size = self._size(parts[1])
        if studies == 0 or size == 0:
            self._complain(f'Quota "{text}" of "{title}" leaves no room for anything')
            return None, None
        if len(parts) > 2:
            self._warn(f'"{parts[2]}" behind the quota of "{title}" is ignored')
        if is_unlimited or studies is None:
            return None, size
        self._expect_digits(parts[0], f"{min(studies, _STUDIES_MAX)} studies")
        # DCMTK takes a negative number for its maximum; here there is none.
        if studies < 0:
            self._warn(f"{studies} studies for {title}: no limit")
            return None, size
        if studies > _STUDIES_MAX:
            self._warn(f"{parts[0]} studies for {title}: {_STUDIES_MAX} are the most")
        return min(studies, _STUDIES_MAX), size

    def _size(self, text: str) -> int | None:
        """Read ``1024mb``; what has no unit is no limit, as DCMTK takes its maximum for it."""
        unit = text[-1:].lower()
        if unit != "b":
            if text.lower() != "unlimited":
                self._warn(f'size "{text}" does not end with b, kb, mb or gb: no limit')
            return None
        number = _integer(text) or 0
        if number < 0:
            self._warn(f'size "{text}" is negative: no limit')
            return None
        factor = text[-2:-1].lower()
        digits = text[: -2 if factor in _FACTORS else -1]
        if factor not in _FACTORS and not factor.isdigit():
            self._warn(f'size "{text}" does not end with b, kb, mb or gb: bytes are meant')
        else:
            self._expect_digits(digits, f"{number} {text[len(digits) :]}")
        size = number * _FACTORS.get(factor, 1)
        if size > _SIZE_MAX:
            self._warn(f'size "{text}": {_SIZE_MAX} bytes are the most')
        return min(size, _SIZE_MAX)


def _named(table: dict[str, tuple[ConfiguredPeer, ...]]) -> tuple[NamedPeers, ...]:
    return tuple(NamedPeers(name=name, peers=peers) for name, peers in table.items())


def _mnemonic(line: str) -> tuple[str, str]:
    """Split a line behind its first word; gaps before the value are dropped later."""
    word = _first_word(line)
    return word, line.lstrip(_WHITE)[len(word) :].lstrip(_GAPS)


def _first_word(text: str) -> str:
    """Return what C's ``%s`` reads, or nothing."""
    words = text.split(None, 1)
    return words[0] if words else ""


_GLOBAL: dict[str, Callable[[_Reader, str], None]] = {
    "NetworkTCPPort": _Reader._network_port,
    "MaxPDUSize": _Reader._max_pdu,
    "MaxAssociations": _Reader._max_associations,
    "UserName": _Reader._user_name,
    "GroupName": _Reader._group_name,
    "SpecificCharacterSet": _Reader._character_set,
}
