"""Where C-MOVE can send to: order and first match as DCMTK has them."""

from __future__ import annotations

from dcmfast.config.qrscp_cfg import QRConfig, parse
from dcmfast.policy import move
from dcmfast.policy.archive import Peer

CONFIG = """\
HostTable BEGIN
one = (ONE, host1, 1)
two = (TWO, host2, 2), (ONE, elsewhere, 9)
all = one, two
HostTable END
VendorTable BEGIN
"First Vendor" = all
Second = (THREE, host3, 3)
VendorTable END
AETable BEGIN
QR  /a RW (1, 1b) ANY
QR2 /b RW (1, 1b) (FOUR, host4, 4), two
AETable END
"""


def config(text: str = CONFIG) -> QRConfig:
    return parse(text)


def test_the_ae_table_comes_first_and_the_first_of_a_title_counts() -> None:
    assert move.destinations(config()) == (
        Peer(ae_title="FOUR", host="host4", port=4),
        Peer(ae_title="TWO", host="host2", port=2),
        Peer(ae_title="ONE", host="elsewhere", port=9),
    )


def test_any_is_no_destination_and_a_vendor_none_either() -> None:
    """A peer that stands in the VendorTable alone cannot be sent to."""
    text = CONFIG[: CONFIG.index("AETable")] + "AETable BEGIN\nQR /a RW (1, 1b) ANY\nAETable END\n"
    titles = [peer.ae_title for peer in move.destinations(config(text))]
    assert titles == ["ONE", "TWO"]


def test_a_title_that_no_peer_can_have_is_no_destination() -> None:
    text = "HostTable BEGIN\na = (SEVENTEEN_LETTERS, h, 1), (A, h, 1)\nHostTable END\n"
    assert [peer.ae_title for peer in move.destinations(config(text))] == ["A"]


def test_vendors_are_titles_that_stand_together() -> None:
    assert move.vendors(config()) == (("ONE", "TWO"), ("THREE",))


def test_an_empty_configuration_sends_nowhere() -> None:
    assert move.destinations(QRConfig()) == ()
    assert move.vendors(QRConfig()) == ()
