"""What a quota would delete from an area as it is now.

The rules are those of the engine (``rust/core/src/archive/quota.rs``), which are DCMTK's: a new
study beyond the number takes the place of the one that was received to longest ago; a study that
grows beyond its bytes loses its oldest objects.  Studies are told apart by their UID, whatever
patient they are listed under.
"""

from __future__ import annotations

from dcmfast.archive.index import Study
from dcmfast.types import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class QuotaPlan(Record):
    """What would go."""

    #: Whole studies, before the next new study is stored.
    studies: tuple[Study, ...]
    #: Studies that are too large, with the bytes that are too many, when they are stored to next.
    shrunk: tuple[tuple[Study, int], ...]


def plan(
    studies: Sequence[Study], studies_max: int | None, study_bytes_max: int | None
) -> QuotaPlan:
    """Return what would go of `studies`; None is no limit."""
    by_uid: dict[str, Study] = {}
    for one in studies:
        known = by_uid.get(one.study_instance_uid)
        if known is not None:
            one = one.replace(
                instances=one.instances + known.instances,
                file_bytes=one.file_bytes + known.file_bytes,
                last_reception_s=max(one.last_reception_s, known.last_reception_s),
            )
        by_uid[one.study_instance_uid] = one
    oldest = sorted(by_uid.values(), key=lambda one: (one.last_reception_s, one.study_instance_uid))
    excess = 0 if studies_max is None else max(len(oldest) - studies_max + 1, 0)
    gone, kept = oldest[:excess], oldest[excess:]
    limit = study_bytes_max
    shrunk = [] if limit is None else [one for one in kept if one.file_bytes > limit]
    return QuotaPlan(
        studies=tuple(gone),
        shrunk=tuple((one, one.file_bytes - (limit or 0)) for one in shrunk),
    )
