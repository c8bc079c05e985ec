"""Values: frozen, compared by what they hold, valid as soon as they exist."""

from __future__ import annotations

import pytest

from dcmfast.types import UID, AETitle, PeerAddress, PresentationContext, Record


class Point(Record):
    x: int
    y: int = 0


class Point3(Point):
    z: int


def test_fields_defaults_and_equality() -> None:
    assert Point(x=1).as_dict() == {"x": 1, "y": 0}
    assert Point(x=1) == Point(x=1, y=0)
    assert hash(Point(x=1)) == hash(Point(x=1, y=0))
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Point3(x=1, z=0)
    assert Point3(x=1, z=3).replace(y=2).as_dict() == {"x": 1, "y": 2, "z": 3}
    assert repr(Point(x=1)) == "Point(x=1, y=0)"


@pytest.mark.parametrize("wrong", [{}, {"y": 1}, {"x": 1, "q": 2}])
def test_fields_must_be_there_and_known(wrong: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="missing or unknown"):
        Point(**wrong)


def test_values_are_frozen() -> None:
    point = Point(x=1)
    with pytest.raises(AttributeError, match="frozen"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del point.x


@pytest.mark.parametrize("text", ["A" * 17, "A\\B", "A\tB", "A\x00", "A\x7f"])
def test_what_is_no_ae_title(text: str) -> None:
    with pytest.raises(ValueError, match="AE title"):
        AETitle(text)


def test_ae_titles() -> None:
    """Blanks at the ends carry no meaning, PS3.5 Table 6.2-1."""
    assert AETitle("  A B ") == "A B"
    assert AETitle("") == ""
    assert AETitle.cut("ABCDEFGHIJKLMNOPQ") == "ABCDEFGHIJKLMNOP"


@pytest.mark.parametrize("text", ["", ".", "1.2.x", "1" * 65, "1.2 ", "١.٢"])
def test_what_is_no_uid(text: str) -> None:
    with pytest.raises(ValueError, match="not a UID"):
        UID(text)


def test_uids() -> None:
    assert UID("1" * 64) == "1" * 64
    assert UID("1.02.3") == "1.02.3"


def test_presentation_contexts_and_addresses() -> None:
    PresentationContext(context_id=255, abstract_syntax="1.2", transfer_syntaxes=("1.2",))
    for context_id in (0, 2, 256, 257):
        with pytest.raises(ValueError, match="not odd"):
            PresentationContext(
                context_id=context_id, abstract_syntax="1.2", transfer_syntaxes=("1.2",)
            )
    with pytest.raises(ValueError, match="at least one"):
        PresentationContext(context_id=1, abstract_syntax="1.2", transfer_syntaxes=())
    for port in (0, 65536):
        with pytest.raises(ValueError, match="not within"):
            PeerAddress(host="h", port=port)
    assert str(PeerAddress(host="h", port=104)) == "h:104"
    assert str(PeerAddress(host="::1", port=104)) == "[::1]:104"
