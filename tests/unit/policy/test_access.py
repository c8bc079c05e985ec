"""Who may use which storage area: DCMTK's reading of the AETable."""

from __future__ import annotations

import pytest

from dcmfast.config.qrscp_cfg import ConfiguredPeer, parse
from dcmfast.policy import access
from dcmfast.policy.archive import Application, Peer


def applications(*lines: str) -> tuple[Application, ...]:
    config = parse("\n".join(["AETable BEGIN", *lines, "AETable END"]))
    return access.applications(config.applications)


@pytest.mark.parametrize(
    ("word", "may_store"),
    [("RW", True), ("WR", True), ("W", True), ("R", False), ("X", False), ("rw", False)],
)
def test_which_accesses_allow_storing(word: str, may_store: bool) -> None:
    (one,) = applications(f"QR /area {word} (1, 1b) ANY")
    assert one.may_store is may_store


def test_any_is_open_and_a_list_is_not() -> None:
    one, two = applications("QR /a RW (1, 1b) ANY", "QR2 /b R (2, 2b) (A, h, 1), (B, h, 2)")
    assert (one.is_open, one.peers) == (True, ())
    assert not two.is_open
    assert two.peers == (
        Peer(ae_title="A", host="h", port=1),
        Peer(ae_title="B", host="h", port=2),
    )
    assert (two.directory, two.studies_max, two.study_bytes_max) == ("/b", 2, 2)


def test_of_one_title_the_first_line_counts_and_the_peers_of_all() -> None:
    (one,) = applications(
        "QR /a RW (1, 1b) (A, h, 1)", "QR /b R (2, 2b) (B, h, 2)", "QR /c R (3, 3b) (A, h, 1)"
    )
    assert (one.directory, one.may_store, one.studies_max) == ("/a", True, 1)
    assert [peer.ae_title for peer in one.peers] == ["A", "B"]


@pytest.mark.parametrize("lines", [("(A, h, 1)", "ANY"), ("ANY", "(A, h, 1)")])
def test_any_peer_and_some_is_any_peer(lines: tuple[str, str]) -> None:
    (one,) = applications(*(f"QR /a RW (1, 1b) {peers}" for peers in lines))
    assert (one.is_open, one.peers) == (True, ())


@pytest.mark.parametrize("title", ["SEVENTEEN_LETTERS", "A\\B", '" "'])
def test_a_title_that_nobody_can_call_is_left_out(title: str) -> None:
    assert applications(f"{title} /a RW (1, 1b) ANY") == ()


def test_titles_keep_their_case_and_lose_their_blanks() -> None:
    one, two = applications('" QR " /a RW (1, 1b) ANY', "qr /b RW (1, 1b) ANY")
    assert (one.ae_title, two.ae_title) == ("QR", "qr")


def test_limits_that_are_not_there() -> None:
    (one,) = applications("QR /a RW (unlimited, unlimited) ANY")
    assert (one.studies_max, one.study_bytes_max) == (None, None)


def test_what_can_be_a_title() -> None:
    assert access.is_title("ACME 1")
    for text in ("", " ", "A" * 17, "A\n"):
        assert not access.is_title(text)
    assert ConfiguredPeer(ae_title="A" * 17, host="h", port=1)
