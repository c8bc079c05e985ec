"""Output encodings: what the options mean, one by one."""

from __future__ import annotations

import pytest

from dcmfast.errors import CommandLineError
from dcmfast.options import conversion_settings, encodings, settings
from dcmfast.options.specs.dcmconv import DCMCONV
from dcmfast.options.specs.storescp import STORESCP
from dcmfast.types import OutputEncoding


def storescp(typed: str) -> OutputEncoding:
    made = settings.storescp(STORESCP, ["11112", *typed.split()])
    assert isinstance(made, settings.ReceiverSettings)
    return made.output_encoding


def dcmconv(typed: str) -> conversion_settings.ConversionSettings:
    made = conversion_settings.dcmconv(DCMCONV, ["in", "out", *typed.split()])
    assert isinstance(made, conversion_settings.ConversionSettings)
    return made


def test_defaults_of_each_tool() -> None:
    """DCMTK 3.6.7, as run."""
    assert storescp("") == OutputEncoding()
    assert OutputEncoding().as_dict() == {
        "transfer_syntax": "",
        "lengths": "explicit",
        "group_lengths": "recalculate",
        "padding": "remove",
        "values": "trim",
        "new_vrs": True,
        "unknown": "keep",
        "deflate_level": None,
    }
    assert dcmconv("").output_encoding == OutputEncoding(padding="keep", deflate_level=6)
    assert (
        OutputEncoding(lengths="undefined", padding="keep", values="keep") == encodings.OF_DCMRECV
    )


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ("+te", "transfer_syntax", "1.2.840.10008.1.2.1"),
        ("+tb", "transfer_syntax", "1.2.840.10008.1.2.2"),
        ("+ti", "transfer_syntax", "1.2.840.10008.1.2"),
        ("+td", "transfer_syntax", "1.2.840.10008.1.2.1.99"),
        ("+te +t=", "transfer_syntax", ""),
        ("-e", "lengths", "undefined"),
        ("-e +e", "lengths", "explicit"),
        ("+g", "group_lengths", "create"),
        ("-g", "group_lengths", "remove"),
        ("-g +g=", "group_lengths", "recalculate"),
        ("+p 256 16", "padding", (256, 16)),
        ("+p 256 16 -p", "padding", "remove"),
        ("-u", "new_vrs", False),
        ("-u +u", "new_vrs", True),
        ("+uc", "unknown", "convert"),
        ("+uc -uc", "unknown", "keep"),
        ("+cl 0", "deflate_level", 0),
        ("+td +cl 9", "deflate_level", 9),
    ],
)
def test_each_option(typed: str, field: str, value: object) -> None:
    assert getattr(storescp(typed), field) == value


def test_options_of_dcmconv_alone() -> None:
    assert dcmconv("-dc").output_encoding.values == "keep"
    assert dcmconv("-p").output_encoding.padding == "remove"
    assert dcmconv("-F").output_encoding.padding == "keep"
    assert [dcmconv(one).file_meta for one in ("", "+Fm", "+F", "-F")] == [
        *("new", "new", "keep", "none")
    ]
    assert [dcmconv(one).source_format for one in ("", "+fo", "-f")] == ["any", "file", "dataset"]
    assert dcmconv("-td").source_transfer_syntax == "detect"
    assert dcmconv("-f -tb").source_transfer_syntax == "1.2.840.10008.1.2.2"


@pytest.mark.parametrize(
    ("typed", "padding"), [("3 0", (6, 0)), ("1 5", (2, 10)), ("0 0", (0, 0)), ("4 2", (4, 2))]
)
def test_paddings(typed: str, padding: tuple[int, int]) -> None:
    assert storescp(f"+p {typed}").padding == padding


@pytest.mark.parametrize("typed", ["4294967296 0", "0 4294967295", "99999999999999999999 2"])
def test_paddings_that_no_element_can_have(typed: str) -> None:
    with pytest.raises(CommandLineError, match=r"--padding-create \(overflow: "):
        storescp(f"+p {typed}")


@pytest.mark.parametrize(
    "wrong",
    [
        {"transfer_syntax": "1.2.840.10008.1.2.4.50"},
        {"lengths": "long"},
        {"padding": "off"},
        {"padding": (3, 0)},
        {"padding": (-2, 0)},
        {"deflate_level": 10},
    ],
    ids=str,
)
def test_values_that_mean_nothing(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OutputEncoding(**wrong)  # type: ignore[arg-type]
