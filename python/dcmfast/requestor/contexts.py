"""Presentation contexts as Python programs name them, and as the peer answered them.

Source: PS3.8 §9.3.2.2 and §9.3.3.2, PS3.7 §D.3.3.4 (roles).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from dcmfast.errors import ContextNotAccepted
from dcmfast.limits import PRESENTATION_CONTEXTS_MAX
from dcmfast.policy.negotiation import (
    QUERY_RETRIEVE_SOP_CLASSES,
    VERIFICATION_SOP_CLASS,
    get_sop_classes,
)
from dcmfast.types import Record
from dcmfast.uids import NAMES, STORAGE_SOP_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dcmfast import _rust

#: Modality Worklist has a FIND and nothing else (PS3.4 Annex K).
WORKLIST = "1.2.840.10008.5.1.4.31"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
#: What a context proposes unless it says more.
TRANSFER_SYNTAXES = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
#: Information models → operations → SOP classes.
MODELS = {**QUERY_RETRIEVE_SOP_CLASSES, "worklist": {"find": WORKLIST}}

#: Of an association that is asked for without contexts.
_QUERIES = (
    *(MODELS[model][name] for model in ("study-root", "patient-root") for name in MODELS[model]),
    WORKLIST,
)
_BY_NAME = {name: uid for uid, name in NAMES.items()}


@runtime_checkable
class ContextLike(Protocol):
    """What pynetdicom's presentation contexts have."""

    @property
    def abstract_syntax(self) -> str | None:
        """The SOP class."""

    @property
    def transfer_syntax(self) -> Sequence[str] | None:
        """The transfer syntaxes, most wanted first."""


@runtime_checkable
class RoleLike(Protocol):
    """What pynetdicom's `build_role` gives."""

    @property
    def sop_class_uid(self) -> str | None:
        """The SOP class."""

    @property
    def scu_role(self) -> bool | None:
        """We want to send requests."""

    @property
    def scp_role(self) -> bool | None:
        """The peer is to send them."""


#: A SOP class by UID or keyword; that and its transfer syntaxes; or pynetdicom's own.
Context: TypeAlias = "str | tuple[str, Iterable[str]] | ContextLike"
#: SOP classes by UID or keyword, with a word of `ROLES` each; or what `build_role` gives.
Roles: TypeAlias = "Mapping[str, str] | Iterable[RoleLike]"
#: Of our side → SCU and SCP, as they are proposed (PS3.7 §D.3.3.4).
ROLES = {"scu": (True, False), "scp": (False, True), "both": (True, True)}


class AnsweredContext(Record):
    """A presentation context as the peer answered it."""

    #: Presentation context ID.
    context_id: int
    abstract_syntax: str
    #: The one that the peer chose; empty where it refused.
    transfer_syntax: tuple[str, ...]
    #: PS3.8 Table 9-18: 0 accepted, 1 refused by the user, 2 for no reason, 3 abstract syntax not
    #: supported, 4 transfer syntaxes not supported.
    result: int
    #: We may send requests over it.
    as_scu: bool
    #: The peer may: objects of a C-GET come.
    as_scp: bool


def sop_class(name: str) -> str:
    """Return the UID of a SOP class that is named by it, by DCMTK's name or by pydicom's keyword.

    Raises
    ------
    ValueError
        Nobody has that name.
    """
    if name[:1].isdigit():
        return str(name)
    if name in _BY_NAME:
        return _BY_NAME[name]
    from pydicom._uid_dict import UID_dictionary

    for uid, words in UID_dictionary.items():
        if words[4] == name:
            return uid
    raise ValueError(f"no SOP class named {name!r}")


def query_sop_class(model: str, operation: str) -> str:
    """Return the SOP class of an information model (or the class itself) for an operation.

    Raises
    ------
    ValueError
        No such model, or it has no such operation.
    """
    if model[:1].isdigit():
        return str(model)
    found = MODELS.get(model)
    if found is None:
        raise ValueError(f"no information model named {model!r}; there are {', '.join(MODELS)}")
    if operation not in found:
        raise ValueError(f"the model {model} has no C-{operation.upper()}")
    return found[operation]


def default() -> list[tuple[str, tuple[str, ...]]]:
    """Return what is proposed unless a program says more: all services, and 120 SOP classes."""
    # What is retired stands last, where an association's contexts end.
    storage = sorted(get_sop_classes(), key=lambda uid: NAMES[uid].startswith("RETIRED_"))
    classes = [VERIFICATION_SOP_CLASS, *_QUERIES, *storage]
    return [(uid, TRANSFER_SYNTAXES) for uid in classes[:PRESENTATION_CONTEXTS_MAX]]


def proposed(contexts: Iterable[Context]) -> list[tuple[str, tuple[str, ...]]]:
    """Return contexts as abstract syntax and transfer syntaxes.

    Raises
    ------
    ValueError
        A name that nobody has, a context without transfer syntaxes, or too many contexts.
    """
    found: list[tuple[str, tuple[str, ...]]] = []
    for context in contexts:
        syntaxes: tuple[str, ...]
        if isinstance(context, str):
            name, syntaxes = context, TRANSFER_SYNTAXES
        elif isinstance(context, ContextLike):
            name = context.abstract_syntax or ""
            syntaxes = tuple(str(one) for one in context.transfer_syntax or ())
        else:
            name, syntaxes = context[0], tuple(str(one) for one in context[1])
        if not syntaxes:
            raise ValueError(f"no transfer syntax for {name}")
        found.append((sop_class(name), syntaxes))
    if not 1 <= len(found) <= PRESENTATION_CONTEXTS_MAX:
        raise ValueError(
            f"an association has 1 to {PRESENTATION_CONTEXTS_MAX} presentation contexts, "
            f"not {len(found)}"
        )
    return found


def proposed_roles(
    roles: Roles | None, contexts: Iterable[tuple[str, tuple[str, ...]]]
) -> dict[str, tuple[bool, bool]]:
    """Return the roles that are proposed for SOP classes of `contexts`: SCU and SCP.

    Without `roles` there are none, unless a C-GET could bring nothing without them: both for the
    storage SOP classes then, of which objects may be sent as well.

    Raises
    ------
    ValueError
        A name that nobody has, a class that is not among the contexts, or no role for it.
    """
    classes = {uid for uid, _ in contexts}
    if roles is None:
        gets = {operations["get"] for operations in QUERY_RETRIEVE_SOP_CLASSES.values()}
        wanted = sorted(classes & set(STORAGE_SOP_CLASSES)) if classes & gets else []
        return dict.fromkeys(wanted, ROLES["both"])
    found: dict[str, tuple[bool, bool]] = {}
    pairs: Iterable[tuple[str, tuple[bool, bool]]]
    if isinstance(roles, Mapping):
        pairs = ((uid, ROLES.get(str(word).lower(), (False, False))) for uid, word in roles.items())
    else:
        pairs = (
            (one.sop_class_uid or "", (bool(one.scu_role), bool(one.scp_role))) for one in roles
        )
    for name, role in pairs:
        uid = sop_class(name)
        if uid not in classes:
            raise ValueError(f"a role for {name}, which is not among the presentation contexts")
        if not any(role):
            raise ValueError(f"no role for {name}: there are {', '.join(ROLES)}")
        found[uid] = role
    return found


def answered(
    link: _rust.Association, proposed: Mapping[str, tuple[bool, bool]]
) -> list[AnsweredContext]:
    """Return the contexts of an association, in the order of the proposal."""
    found = []
    for (number, uid, result, syntax), role in zip(link.contexts(), link.roles(), strict=True):
        # Without an answer the default roles are in force: the requestor is SCU; and none counts
        # that was not proposed (PS3.7 §D.3.3.4).
        scu, scp = True, False
        if role is not None and uid in proposed:
            scu, scp = (ours and theirs for ours, theirs in zip(proposed[uid], role, strict=True))
        found.append(
            AnsweredContext(
                context_id=number,
                abstract_syntax=uid,
                transfer_syntax=(syntax,) if syntax else (),
                result=result,
                as_scu=bool(syntax) and scu,
                as_scp=bool(syntax) and scp,
            )
        )
    return found


def accepted(contexts: Iterable[AnsweredContext], uid: str) -> AnsweredContext:
    """Return the first context for requests of a SOP class.

    Raises
    ------
    ContextNotAccepted
        The peer accepted none, or none was proposed.
    """
    others = []
    for context in contexts:
        if context.abstract_syntax == uid:
            if context.as_scu:
                return context
            others.append(context)
    why = "the peer refused it" if others else "none was proposed"
    raise ContextNotAccepted(f"no presentation context for {NAMES.get(uid, uid)}: {why}")
