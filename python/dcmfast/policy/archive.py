"""What the engine must know to serve an archive: who may connect, do what, and be sent to.

`ArchiveTables` is what Python hands over once beside a receiver's plan; associations then run
without the interpreter.  ``access`` and ``move`` beside this module make its parts of a
configuration.  Pure values: no directory is looked at and no name resolved here.
"""

from __future__ import annotations

from dcmfast.types import AETitle, Record

#: Names of the two rule sets of matching: DCMTK's, key for key, and that of PS3.4.
MATCHINGS = ("dcmtk", "standard")


class Peer(Record):
    """An application entity elsewhere: who may call, or where C-MOVE can send to."""

    ae_title: str
    #: As the configuration names it; compared without regard to case.
    host: str
    #: 0 if the configuration has none: the peer may call, but cannot be sent to.
    port: int
    #: What `host` resolves to, as text without port.  Filled in by ``net`` at start, because
    #: tables with names must also work where peers are known by address.
    addresses: tuple[str, ...] = ()


class Application(Record):
    """One called AE title: a storage area and who may do what there."""

    ae_title: str
    #: The storage area.  Two applications may share one, with different rights and quotas.
    directory: str
    #: Storage contexts are accepted; otherwise refused with result 1, user rejection.
    may_store: bool
    #: Any peer from any host may call; `peers` is empty then.
    is_open: bool
    #: Calling title and host must both match one of these.
    peers: tuple[Peer, ...]
    #: Studies kept at most; None for no limit.
    studies_max: int | None
    #: Bytes kept of one study at most; None for no limit.
    study_bytes_max: int | None

    def validate(self) -> None:
        """Check that the limits leave room for something."""
        for limit in (self.studies_max, self.study_bytes_max):
            if limit is not None and limit <= 0:
                raise ValueError(f"quota of {self.ae_title}: {limit}")
        if self.is_open and self.peers:
            raise ValueError(f"{self.ae_title}: any peer, and some")


class ResponseCharacterSet(Record):
    """Which character set C-FIND responses are written in, PS3.3 §C.12.1.1.2."""

    #: Answer in the request's character set, where that can hold the text.
    follows_request: bool = True
    #: What the first choice cannot hold is tried in the other one.
    falls_back: bool = True
    #: The defined term used otherwise; empty is ASCII, PS3.5 §6.1.2.1.
    character_set: str = ""
    #: A character that does not exist there becomes a similar one, where there is one.
    transliterates: bool = False
    #: What cannot be written otherwise is left out.
    discards: bool = False


class ProposedContexts(Record):
    """What associations for C-MOVE propose."""

    #: For every class that has to be sent, in one context: most wanted first.
    transfer_syntaxes: tuple[str, ...]
    #: From a profile (``-xf``), in place of the former: abstract syntax, transfer syntaxes.
    profile: tuple[tuple[str, tuple[str, ...]], ...] | None = None


class ArchiveTables(Record):
    """What the engine serves an archive by; Rust reads it in ``rust/py/src/server.rs``."""

    #: By called AE title, each title once.
    applications: tuple[Application, ...]
    #: Index of the application that answers called titles which are not among them; None rejects.
    default_application: int | None = None
    #: Where C-MOVE can send to, each title once; looked up by title, with regard to case.
    destinations: tuple[Peer, ...] = ()
    #: Titles that belong to one vendor, a tuple each.
    vendors: tuple[tuple[str, ...], ...] = ()
    #: A destination must have the calling AE title.
    is_move_by_title: bool = False
    #: A destination must be on the calling host: the texts are compared.
    is_move_by_host: bool = False
    #: Destination and calling AE title must stand together in one of `vendors`.
    is_move_by_vendor: bool = False
    #: ``dcmtk`` or ``standard``.
    matching: str = "dcmtk"
    #: C-FIND identifiers that break PS3.4's rules are refused (A900H).
    is_find_checked: bool = False
    #: The same for C-MOVE and C-GET.
    is_move_checked: bool = False
    #: MOVE contexts need the FIND context of the same model, or get result 1.
    is_find_required: bool = False
    #: Storage contexts get result 1 while another association may store under the same title.
    is_store_exclusive: bool = False
    #: The private shutdown SOP class ends the server; the association is rejected (1, 1, 1).
    is_shutdown_allowed: bool = False
    response_character_set: ResponseCharacterSet = ResponseCharacterSet()
    proposed_contexts: ProposedContexts
    #: For connecting to a destination; None waits as long as the system does.
    connection_timeout_s: int | None = None

    def validate(self) -> None:
        """Check what Rust relies on: titles that can be titles, each once, and indices."""
        titles = [one.ae_title for one in self.applications]
        if len(set(titles)) != len(titles):
            raise ValueError("a called AE title stands twice")
        for title in (*titles, *(one.ae_title for one in self.destinations)):
            AETitle(title)
        if len({one.ae_title for one in self.destinations}) != len(self.destinations):
            raise ValueError("a destination stands twice")
        default = self.default_application
        if default is not None and not 0 <= default < len(self.applications):
            raise ValueError(f"no application {default}")
        if self.matching not in MATCHINGS:
            raise ValueError(f"no rules of matching named {self.matching!r}")
