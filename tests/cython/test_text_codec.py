"""Text and person names decoded in Cython, beside pydicom's own decoder (PS3.5 §6.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, encode_string, python_encoding
from pydicom.multival import MultiValue
from pydicom.values import convert_PN, convert_single_string, convert_text

from dcmfast._cython import text_codec
from testkit.same_as_pydicom import outcome_of

ENCODINGS = sorted(set(python_encoding.values()))
CHARACTER_SET_VALUES = [
    b"", b"ISO_IR 100", b"ISO_IR 192 ", b"ISO 2022 IR 6\\ISO 2022 IR 87", b"\\ISO 2022 IR 149",
    b"GB18030", b"ISO_IR 13", b"ISO 2022 IR 100\\ISO 2022 IR 126",
]  # fmt: skip


@pytest.mark.parametrize("value", CHARACTER_SET_VALUES)
def test_character_sets_have_pydicoms_names(value: bytes) -> None:
    names = value.decode().strip().split("\\")
    wanted = convert_encodings(names if len(names) > 1 else names[0])
    assert text_codec.character_set_encodings(value) == wanted


@pytest.mark.parametrize(
    "value", [b"ISO-IR 100", b"nonsense", b"ISO_IR 192\\ISO 2022 IR 6", b"latin1"]
)
def test_character_sets_that_pydicom_corrects_are_left_to_it(value: bytes) -> None:
    assert text_codec.character_set_encodings(value) is None


def test_each_caller_gets_a_list_of_its_own() -> None:
    first = text_codec.character_set_encodings(b"ISO_IR 100")
    assert first is not None
    first.append("spoilt")
    assert text_codec.character_set_encodings(b"ISO_IR 100") == ["latin_1"]


TEXTS = st.one_of(
    st.binary(min_size=1, max_size=70),
    st.text(min_size=1, max_size=70).map(lambda text: text.encode("utf-8", "replace")),
    st.text("Aé日^=\\ \0\r\n", min_size=1, max_size=30).map(str.encode),
)


@given(
    TEXTS, st.sampled_from(["LO", "SH", "UC", "LT", "ST", "UT", "PN"]), st.sampled_from(ENCODINGS)
)
def test_text_is_what_pydicom_makes_of_it(value: bytes, vr: str, encoding: str) -> None:
    ours = text_codec.decode(value, vr, [encoding])
    if ours is None:
        return
    if vr == "PN":
        theirs = outcome_of(lambda: convert_PN(value, [encoding]))
    elif vr in ("LT", "ST", "UT"):
        theirs = outcome_of(lambda: convert_single_string(value, [encoding], vr))
    else:
        theirs = outcome_of(lambda: convert_text(value, [encoding], vr))
    assert (theirs.error, theirs.warnings) == (None, [])
    assert type(ours) is type(theirs.value)
    pairs = [(ours, theirs.value)]
    if isinstance(ours, MultiValue):
        pairs = list(zip(ours, theirs.value, strict=True))
    for our_part, their_part in pairs:
        assert type(our_part) is type(their_part)
        assert repr(our_part) == repr(their_part)
        assert getattr(our_part, "__dict__", None) == getattr(their_part, "__dict__", None)


@given(st.text(max_size=30), st.sampled_from(ENCODINGS))
def test_encoding_is_pydicoms(text: str, encoding: str) -> None:
    ours = text_codec.encode(text, [encoding])
    if ours is not None:
        theirs = outcome_of(lambda: encode_string(text, [encoding]))
        assert (ours, []) == (theirs.value, theirs.warnings)


@pytest.mark.parametrize(
    ("value", "encoding"),
    [(b"plain", "iso_ir_144"), (b"M\xfcller", "latin_1"), ("Яков".encode(), "UTF8")],
)
def test_common_text_is_not_left_to_pydicom(value: bytes, encoding: str) -> None:
    assert text_codec.decode(value, "LO", [encoding]) == value.decode(encoding)


def test_adding_to_several_names_makes_them_names() -> None:
    names = text_codec.decode(b"A^B\\C^D", "PN", ["latin_1"])
    assert isinstance(names, MultiValue)
    names.append("M\xfcller")
    assert names[-1].original_string == b"M\xfcller"
    assert names[-1].encodings == ("latin_1",)
