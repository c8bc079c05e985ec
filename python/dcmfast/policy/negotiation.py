"""Which contexts are accepted and proposed, in which order of transfer syntaxes.

Turns an option's choice, or a profile, into a plain table.  Rust evaluates it without Python, in
``rust/core/src/acse/negotiation.rs``: the list is walked from most to least wanted, and the first
transfer syntax that the peer proposed wins.  Pure functions; the host's byte order is asked for in
``config/byte_order.py`` only.

The orders are those of DCMTK 3.6.8's manual page of storescp, and of 1998's page for the two
choices that only that one has.
"""

from __future__ import annotations

from dcmfast.config.byte_order import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    local_explicit,
    opposite_explicit,
)
from dcmfast.types import Record
from dcmfast.uids import NAMES, STORAGE_SOP_CLASSES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmfast.config.assoc_cfg import NegotiationProfile

VERIFICATION_SOP_CLASS = "1.2.840.10008.1.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
_FOUR = "1.2.840.10008.1.2.4."

#: The compressed transfer syntax that a preference or proposal puts before the uncompressed ones.
FIRST_CHOICES: dict[str, str] = {
    "lossless": _FOUR + "70",
    "jpeg8": _FOUR + "50",
    "jpeg12": _FOUR + "51",
    "j2k-lossless": _FOUR + "90",
    "j2k-lossy": _FOUR + "91",
    "jls-lossless": _FOUR + "80",
    "jls-lossy": _FOUR + "81",
    "mpeg2": _FOUR + "100",
    "mpeg2-high": _FOUR + "101",
    "mpeg4": _FOUR + "102",
    "mpeg4-bd": _FOUR + "103",
    "mpeg4-2-2d": _FOUR + "104",
    "mpeg4-2-3d": _FOUR + "105",
    "mpeg4-2-st": _FOUR + "106",
    "hevc": _FOUR + "107",
    "hevc10": _FOUR + "108",
    "rle": RLE_LOSSLESS,
    "deflated": DEFLATED_LITTLE,
}

#: Order of ``--accept-all`` before the uncompressed ones; each fragmentable MPEG syntax (.1)
#: follows its parent.
_ALL_COMPRESSED = (
    *(_FOUR + tail for tail in ("91", "90", "51", "50", "70", "81", "80")),
    RLE_LOSSLESS,
    *(
        _FOUR + tail
        for parent in ("100", "101", "102", "103", "104", "105", "106")
        for tail in (parent, parent + ".1")
    ),
    _FOUR + "107",
    _FOUR + "108",
    DEFLATED_LITTLE,
)

#: The same with what loses nothing before what may (PS3.5 Annex A.4), for ``keep``.
_LOSSLESS_FIRST = tuple(
    sorted(
        _ALL_COMPRESSED,
        key=lambda uid: (
            uid not in (DEFLATED_LITTLE, RLE_LOSSLESS, _FOUR + "70", _FOUR + "80", _FOUR + "90")
        ),
    )
)

#: Proposals that stand alone: video is not worth sending uncompressed.
_WITHOUT_FALLBACK = ("mpeg", "hevc")

#: Query/Retrieve SOP classes by information model and operation, PS3.4 Annex C.6.
QUERY_RETRIEVE_SOP_CLASSES: dict[str, dict[str, str]] = {
    model: {
        operation: f"1.2.840.10008.5.1.4.1.2.{number}.{last}"
        for last, operation in ((1, "find"), (2, "move"), (3, "get"))
    }
    for number, model in ((1, "patient-root"), (2, "study-root"), (3, "patient-study"))
}
#: Service class application information of a C-FIND that matches by the standard: relational
#: queries and combined date-time yes, fuzzy matching and time zones no (PS3.4 §C.5.1.1.1).
_FIND_INFORMATION = b"\x01\x01\x00\x00"
#: The same of C-MOVE and C-GET: relational retrieval yes (PS3.4 §C.5.2.1.1 and §C.5.3.1.1).
_RETRIEVE_INFORMATION = b"\x01"

#: What can hold an identifier: compressed transfer syntaxes are for pixels.
_UNCOMPRESSED = (EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE)
#: What identifiers can be written in: the compressed ones are for pixels.
_FOR_IDENTIFIERS = (*_UNCOMPRESSED, DEFLATED_LITTLE)

#: What echoscu's ``--propose-ts`` takes the first n of.
ECHO_TRANSFER_SYNTAXES: tuple[str, ...] = (
    IMPLICIT_LITTLE,
    EXPLICIT_LITTLE,
    EXPLICIT_BIG,
    *(f"{_FOUR}{number}" for number in range(50, 67)),
    _FOUR + "70",
    RLE_LOSSLESS,
    DEFLATED_LITTLE,
    *(f"{_FOUR}{number}" for number in (80, 81, 90, 91, 92, 93, *range(100, 109))),
)


#: One accepted abstract syntax: its UID, the index of its transfer syntaxes, the role that a
#: profile allows the requestor (``SCU``, ``SCP``, ``BOTH``; empty ignores role selection), and
#: the service class application information that is sent to a peer which asks.
TableEntry = tuple[str, int, str, bytes | None]


class NegotiationTable(Record):
    """What an acceptor accepts, in plain values for Rust."""

    entries: tuple[TableEntry, ...]
    #: Each most wanted first; entries refer to them by index, as many share one.
    transfer_syntax_lists: tuple[tuple[str, ...], ...]
    #: List for every abstract syntax that has no name in DCMTK's UID table; None refuses them.
    promiscuous_list: int | None = None
    #: Ends the log line of a refused abstract syntax: which option would accept it.
    abstract_syntax_hint: str = ""
    #: Ends the log line of refused transfer syntaxes.
    transfer_syntax_hint: str = ""
    #: SOP classes with service class application information that a peer is sent whenever a context
    #: is accepted, whether it asked or not: a profile's, as DCMTK sends it.
    unasked_information: tuple[tuple[str, bytes], ...] = ()
    #: Result (PS3.8 Table 9-18) where a profile asks for the SCP role and the peer proposes none.
    role_refusal: int = 2

    def validate(self) -> None:
        """Check that the indices point into the lists and no abstract syntax stands twice."""
        count = len(self.transfer_syntax_lists)
        used = [entry[1] for entry in self.entries]
        if self.promiscuous_list is not None:
            used.append(self.promiscuous_list)
        if any(not 0 <= index < count for index in used):
            raise ValueError("a transfer syntax list is missing")
        if len({entry[0] for entry in self.entries}) != len(self.entries):
            raise ValueError("an abstract syntax stands twice")


def accepted_transfer_syntaxes(preference: str) -> tuple[str, ...]:
    """Return what an acceptor accepts with a preference, most wanted first.

    `preference` is the choice of a ``--prefer-*`` option, ``implicit``, ``accept-all``, one of
    1998's own, ``little-1998`` and ``big-1998``, or ``keep``: everything is accepted, and a peer
    that leaves the choice to us is never made to compress.
    """
    if preference == "uncompr":
        return (local_explicit(), opposite_explicit(), IMPLICIT_LITTLE)
    if preference == "little":
        return (EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE)
    if preference == "big":
        return (EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE)
    if preference == "implicit":
        return (IMPLICIT_LITTLE,)
    if preference == "little-1998":
        return (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
    if preference == "big-1998":
        return (EXPLICIT_BIG, IMPLICIT_LITTLE)
    if preference == "accept-all":
        return (*_ALL_COMPRESSED, local_explicit(), opposite_explicit(), IMPLICIT_LITTLE)
    if preference == "keep":
        return (local_explicit(), opposite_explicit(), IMPLICIT_LITTLE, *_LOSSLESS_FIRST)
    # The uncompressed ones follow in fixed order, on big-endian hosts too.
    return (FIRST_CHOICES[preference], EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE)


def proposed_transfer_syntaxes(proposal: str, *, combine: bool) -> tuple[tuple[str, ...], ...]:
    """Return what storescu proposes for each SOP class: one or two contexts' transfer syntaxes.

    The first context has the preferred syntax alone, so that the acceptor cannot choose another;
    the second the uncompressed rest.  With `combine` both become one.
    """
    if proposal == "implicit":
        return ((IMPLICIT_LITTLE,),)
    if proposal == "uncompr":
        preferred = local_explicit()
    elif proposal == "little":
        preferred = EXPLICIT_LITTLE
    elif proposal == "big":
        preferred = EXPLICIT_BIG
    else:
        preferred = FIRST_CHOICES[proposal]
    if proposal.startswith(_WITHOUT_FALLBACK):
        return ((preferred,),)
    fallback = tuple(
        one for one in (EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE) if one != preferred
    )
    return ((preferred, *fallback),) if combine else ((preferred,), fallback)


#: Storage SOP classes that a C-GET does not propose, because an association has 128 contexts: below
#: 1.2.840.10008.5.1.4.1.1, families by their beginning.  DCMTK's getscu leaves out the same and
#: some more.
_SELDOM_RETRIEVED = (
    *("104.4", "104.5", "11.6", "11.7", "11.8", "11.9", "11.10", "11.11", "11.12", "13.1.4"),
    *("13.1.5", "200.2", "200.8", "501.", "601.", "6.3", "66.6", "77.1.5.5", "77.1.5.6"),
    *("77.1.5.7", "77.1.5.8", "77.1.7", "82.1", "88.71", "88.72", "88.74", "88.75", "9.1.4"),
    *("9.6.2", "9.7.", "9.8.", "91.1", *(f"481.{number}" for number in range(10, 26))),
)


def get_sop_classes() -> tuple[str, ...]:
    """Return the storage SOP classes that a C-GET can receive, which are as many as fit."""
    stem = "1.2.840.10008.5.1.4.1.1."
    wanted = []
    for uid in STORAGE_SOP_CLASSES:
        tail = uid.removeprefix(stem)
        if tail == uid or NAMES[uid].startswith("DRAFT_"):
            continue
        is_family = any(tail.startswith(one) for one in _SELDOM_RETRIEVED if one.endswith("."))
        if not is_family and tail not in _SELDOM_RETRIEVED:
            wanted.append(uid)
    return tuple(wanted)


def move_transfer_syntaxes(proposal: str) -> tuple[str, ...]:
    """Return what an archive proposes for each SOP class that it has to send, in one context."""
    return proposed_transfer_syntaxes(proposal, combine=True)[0]


def storage_table(preference: str, *, is_promiscuous: bool = False) -> NegotiationTable:
    """Return storescp's table: Verification and every storage SOP class, one list for all."""
    return NegotiationTable(
        entries=tuple((uid, 0, "", None) for uid in (VERIFICATION_SOP_CLASS, *STORAGE_SOP_CLASSES)),
        transfer_syntax_lists=(accepted_transfer_syntaxes(preference),),
        promiscuous_list=0 if is_promiscuous else None,
        abstract_syntax_hint="--promiscuous (-pm) or a profile (-xf) would accept it",
        transfer_syntax_hint="--accept-all (+xa) would accept more",
    )


def archive_table(
    preference: str,
    *,
    models: tuple[str, ...],
    is_get_enabled: bool,
    is_standard: bool,
    profile: NegotiationProfile | None = None,
) -> NegotiationTable:
    """Return an archive's table: Verification, Query/Retrieve and storage SOP classes.

    Parameters
    ----------
    preference
        As for `accepted_transfer_syntaxes`.
    models
        Information models that are served, of `QUERY_RETRIEVE_SOP_CLASSES`.
    is_get_enabled
        C-GET is served, and so storage contexts are accepted in the roles that the peer proposes;
        without it roles are ignored.
    is_standard
        Matching follows PS3.4: extended negotiation is answered.
    profile
        Takes the place of the storage SOP classes.
    """
    wanted = accepted_transfer_syntaxes(preference)
    lists: dict[tuple[str, ...], int] = {}
    unasked: tuple[tuple[str, bytes], ...] = ()

    def at(transfer_syntaxes: tuple[str, ...]) -> int:
        return lists.setdefault(transfer_syntaxes, len(lists))

    for_identifiers = at(tuple(one for one in wanted if one in _FOR_IDENTIFIERS))
    entries: dict[str, TableEntry] = {
        VERIFICATION_SOP_CLASS: (VERIFICATION_SOP_CLASS, for_identifiers, "", None)
    }
    for model in models:
        for operation, uid in QUERY_RETRIEVE_SOP_CLASSES[model].items():
            information = _FIND_INFORMATION if operation == "find" else _RETRIEVE_INFORMATION
            if operation != "get" or is_get_enabled:
                entries[uid] = (uid, for_identifiers, "", information if is_standard else None)
    if profile is None:
        role = "BOTH" if is_get_enabled else ""
        for uid in STORAGE_SOP_CLASSES:
            entries[uid] = (uid, at(wanted), role, None)
    else:
        roles = dict(profile.roles)
        unasked = tuple(one for one in profile.extended_negotiation if one[0] not in entries)
        for context in profile.contexts:
            uid = context.abstract_syntax
            # The archive's own services stay what they are, whatever the profile says.
            entries.setdefault(uid, (uid, at(context.transfer_syntaxes), roles.get(uid, ""), None))
    return NegotiationTable(
        entries=tuple(entries.values()),
        transfer_syntax_lists=tuple(lists),
        abstract_syntax_hint=(
            "only Verification, Query/Retrieve and storage classes are served here"
            if profile is None
            else f"it would have to stand in profile {profile.name} (-xf)"
        ),
        transfer_syntax_hint="a --prefer option (+x...) would accept one more",
        unasked_information=unasked,
        # As DCMTK's archive, where its receivers answer 2.
        role_refusal=3,
    )


def verification_table() -> NegotiationTable:
    """Return dcmrecv's table without a profile: Verification, implicit VR only."""
    hint = "a profile (-xf) would accept it"
    return NegotiationTable(
        entries=((VERIFICATION_SOP_CLASS, 0, "", None),),
        transfer_syntax_lists=((IMPLICIT_LITTLE,),),
        abstract_syntax_hint=hint,
        transfer_syntax_hint=hint,
    )


def profile_table(profile: NegotiationProfile) -> NegotiationTable:
    """Return the table of a profile that is valid for an acceptor."""
    roles = dict(profile.roles)
    lists: dict[tuple[str, ...], int] = {}
    entries = tuple(
        (
            context.abstract_syntax,
            lists.setdefault(context.transfer_syntaxes, len(lists)),
            roles.get(context.abstract_syntax, ""),
            None,
        )
        for context in profile.contexts
    )
    hint = f"it would have to stand in profile {profile.name} (-xf)"
    return NegotiationTable(
        entries=entries,
        transfer_syntax_lists=tuple(lists),
        abstract_syntax_hint=hint,
        transfer_syntax_hint=hint,
        unasked_information=profile.extended_negotiation,
    )


def receiver_table(
    *,
    preference: str | None,
    is_promiscuous: bool,
    profile: NegotiationProfile | None,
) -> NegotiationTable:
    """Return a receiver's table: its profile's, or its preference's, or Verification only.

    Parameters
    ----------
    preference
        As for `accepted_transfer_syntaxes`; None for a tool that stores nothing without a profile.
    is_promiscuous
        Accept abstract syntaxes that DCMTK has no name for; only with a preference.
    profile
        Takes the place of both others.
    """
    if profile is not None:
        return profile_table(profile)
    if preference is not None:
        return storage_table(preference, is_promiscuous=is_promiscuous)
    return verification_table()
