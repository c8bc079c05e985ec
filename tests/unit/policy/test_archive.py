"""Tables of an archive: what cannot be served is refused when the table is made."""

from __future__ import annotations

from typing import Any

import pytest

from dcmfast.policy.archive import Application, ArchiveTables, Peer, ProposedContexts

UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2")


def application(title: str = "QR", **changes: Any) -> Application:
    values: dict[str, Any] = {
        "ae_title": title,
        "directory": "/area",
        "may_store": True,
        "is_open": True,
        "peers": (),
        "studies_max": None,
        "study_bytes_max": None,
    }
    return Application(**(values | changes))


def tables(**changes: Any) -> ArchiveTables:
    values: dict[str, Any] = {
        "applications": (application(),),
        "proposed_contexts": ProposedContexts(transfer_syntaxes=UNCOMPRESSED),
    }
    return ArchiveTables(**(values | changes))


def test_the_least_that_an_archive_needs() -> None:
    table = tables()
    assert table.default_application is None
    assert table.matching == "dcmtk"
    assert table.response_character_set.follows_request


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"applications": (application(), application())}, "stands twice"),
        ({"applications": (application("SEVENTEEN_LETTERS"),)}, "longer than 16"),
        ({"applications": (application("A\\B"),)}, "not allowed"),
        ({"destinations": (Peer(ae_title="A", host="h", port=1),) * 2}, "stands twice"),
        ({"destinations": (Peer(ae_title="A\n", host="h", port=1),)}, "not allowed"),
        ({"default_application": 1}, "no application 1"),
        ({"default_application": -1}, "no application -1"),
        ({"matching": "fuzzy"}, "no rules of matching"),
    ],
)
def test_what_cannot_be_served_is_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        tables(**changes)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"studies_max": 0}, "quota of QR: 0"),
        ({"study_bytes_max": -1}, "quota of QR: -1"),
        ({"is_open": True, "peers": (Peer(ae_title="A", host="h", port=1),)}, "any peer, and some"),
    ],
)
def test_an_application_without_room_or_with_two_answers_is_refused(
    changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        application(**changes)
