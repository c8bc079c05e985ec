"""Which presentation contexts the sending tools propose for which kind of file.

Pure functions: SOP class and transfer syntax of the files in, contexts out.  What is chosen of
those that the peer accepts is decided in ``rust/core/src/sending``.  What DCMTK's storescu and
dcmsend propose is DCMTK 3.6.7's, as run.
"""

from __future__ import annotations

from dcmfast.config.byte_order import EXPLICIT_BIG, EXPLICIT_LITTLE
from dcmfast.policy.negotiation import (
    DEFLATED_LITTLE,
    IMPLICIT_LITTLE,
    RLE_LOSSLESS,
    proposed_transfer_syntaxes,
)
from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    #: Abstract syntax and transfer syntaxes.
    Context = tuple[str, tuple[str, ...]]
    #: SOP class and transfer syntax of files.
    Kind = tuple[str, str]

_UNCOMPRESSED = (EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE)
_FOUR = "1.2.840.10008.1.2.4."

#: Below 1.2.840.10008.5.1.4.1.1: what DCMTK's storescu proposes beside what the files need, so that
#: two contexts each fill an association.
_OFTEN_SENT = (
    *("9.1.3", "88.11", "9.4.1", "11.4", "9.3.1", "88.65", "88.69", "11.2", "88.33", "1", "2"),
    *("1.3", "1.3.1", "1.2", "1.2.1", "1.1", "1.1.1", "104.1", "2.1", "4.1", "88.22", "12.1.1"),
    *("12.2.1", "9.1.2", "11.1", "9.2.1", "88.59", "88.50", "4", "4.2", "7.2", "7.3", "7.1"),
    *("7.4", "20", "77.1.5.2", "77.1.5.1", "77.1.5.4", "128", "88.40", "11.3", "66", "67"),
    *("481.4", "481.6", "481.2", "481.1", "481.5", "481.3", "481.7", "7", "66.2", "66.1"),
    *("77.1.5.3", "9.1.1", "6.1", "3.1", "77.1.1", "77.1.2", "77.1.4", "77.1.3", "12.1"),
    *("88.67", "12.2"),
)

#: Compressed transfer syntaxes that lose nothing, as DCMTK counts them (PS3.5 §A.4).
_LOSSLESS = frozenset(
    (RLE_LOSSLESS, *(_FOUR + tail for tail in ("57", "58", "65", "66", "70", "80", "90", "92")))
)


def often_sent_contexts(proposal: str, *, combine: bool) -> tuple[Context, ...]:
    """Return what storescu proposes where ``--required`` does not forbid it."""
    stem = "1.2.840.10008.5.1.4.1.1."
    proposed = proposed_transfer_syntaxes(proposal, combine=combine)
    return tuple((stem + tail, syntaxes) for tail in _OFTEN_SENT for syntaxes in proposed)


def storescu_contexts(
    kinds: Sequence[Kind], proposal: str | None, *, combine: bool
) -> list[tuple[Context, ...]]:
    """Return the contexts that each kind needs.

    With a `proposal` they are DCMTK's.  Without one every transfer syntax of a file is proposed
    alone, so that the peer takes the file as it is if it can; and for files without compressed
    pixels the uncompressed ones, into which they can be converted.
    """
    if proposal is not None:
        proposed = proposed_transfer_syntaxes(proposal, combine=combine)
        return [tuple((sop_class, syntaxes) for syntaxes in proposed) for sop_class, _ in kinds]
    own: dict[str, list[str]] = {}
    for sop_class, syntax in kinds:
        own.setdefault(sop_class, []).append(syntax)
    answer: list[tuple[Context, ...]] = []
    for sop_class, syntax in kinds:
        if syntax not in (*_UNCOMPRESSED, DEFLATED_LITTLE):
            answer.append(((sop_class, (syntax,)),))
            continue
        if combine:
            first = (DEFLATED_LITTLE,) if DEFLATED_LITTLE in own[sop_class] else ()
            answer.append(((sop_class, (*first, *_UNCOMPRESSED)),))
            continue
        rest = tuple(one for one in _UNCOMPRESSED if one not in own[sop_class])
        contexts: tuple[Context, ...] = ((sop_class, (syntax,)),)
        answer.append((*contexts, (sop_class, rest)) if rest else contexts)
    return answer


class Proposal(Record):
    """What dcmsend proposes for a kind of file."""

    #: None where nothing can be.
    contexts: tuple[Context, ...] | None
    #: A log line about it: severity letter and text; nothing for none.
    line: tuple[str, str] | None


#: DCMTK's sentences.
_NOT_ALLOWED = "transfer syntax uses a lossless compression but we are not allowed to decompress it"
_NO_DECODER = "transfer syntax uses a lossless compression but we cannot decompress it"
_NO_DECODER_FOR_LOSSY = "transfer syntax uses a lossy compression but we cannot decompress it"
_LOSSY = "transfer syntax uses a lossy compression but we are not allowed to decompress it"
_NOT_PROPOSING = ", so we are not proposing any uncompressed transfer syntax"
_VIOLATION = (
    f"{_NOT_PROPOSING}\n  (including the Default Transfer Syntax, which might result in a "
    "violation of the DICOM standard if it is not proposed in another presentation context)"
)
_CANNOT_ADD = ", so we cannot add a presentation context for this SOP instance"


def dcmsend_proposal(
    kind: Kind, *, decompression: str, is_illegal_allowed: bool, is_known: bool
) -> Proposal:
    """Return what dcmsend proposes for one kind of file.

    Pixels are never decompressed, because there is no decoder: what is compressed travels as it is
    or not at all.

    Parameters
    ----------
    kind
        SOP class and transfer syntax.
    decompression
        ``never``, ``lossless`` or ``lossy``.
    is_illegal_allowed
        A context without the default transfer syntax may be proposed (PS3.5 §10.1).
    is_known
        DCMTK has a name for the transfer syntax.
    """
    sop_class, syntax = kind
    if syntax in _UNCOMPRESSED:
        return Proposal(contexts=((sop_class, _UNCOMPRESSED),), line=None)
    alone: tuple[Context, ...] = ((sop_class, (syntax,)),)
    if not is_known:
        text = f"transfer syntax is unknown, trying to propose only this one: {syntax}"
        return Proposal(contexts=alone, line=("W", text))
    if syntax == DEFLATED_LITTLE and decompression != "never":
        return Proposal(contexts=((sop_class, (syntax, *_UNCOMPRESSED)),), line=None)
    if syntax not in (*_LOSSLESS, DEFLATED_LITTLE):
        if decompression == "lossy":
            return Proposal(contexts=alone, line=("W", _NO_DECODER_FOR_LOSSY + _NOT_PROPOSING))
        return Proposal(contexts=alone, line=("D", _LOSSY + _NOT_PROPOSING))
    why = _NOT_ALLOWED if decompression == "never" else _NO_DECODER
    if is_illegal_allowed:
        return Proposal(contexts=alone, line=("W", why + _VIOLATION))
    return Proposal(contexts=None, line=("E", why + _CANNOT_ADD))
