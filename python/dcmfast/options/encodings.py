"""How data sets are written: the settings of output encodings, alike for every tool that has them.

Beside ``settings``, whose rules hold here too.  Which options exclude each other stands with the
options; here they become one value.  ``-B`` does not mean that bytes stay: each of DCMTK's programs
writes a data set anew, in an encoding of its own.
"""

from __future__ import annotations

from dcmfast.errors import CommandLineError
from dcmfast.types import CONVERTIBLE_TRANSFER_SYNTAXES, PADDING_BYTES_MAX, OutputEncoding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmfast.options.parsed import ParsedOptions

#: What dcmrecv writes, which has no options for it: undefined lengths, values untouched (DCMTK
#: 3.6.7, as run).
OF_DCMRECV = OutputEncoding(lengths="undefined", padding="keep", values="keep")

#: What getscu writes, which has no options for it either; its values are trimmed.
OF_GETSCU = OutputEncoding(lengths="undefined", padding="keep")

_IMPLICIT, _LITTLE, _BIG, _DEFLATED = CONVERTIBLE_TRANSFER_SYNTAXES
_TRANSFER_SYNTAXES = {
    "same": "",
    "little": _LITTLE,
    "big": _BIG,
    "implicit": _IMPLICIT,
    "deflated": _DEFLATED,
}
_PADDINGS = {"retain": "keep", "off": "remove"}


def output_encoding(parsed: ParsedOptions, *, deflates_anew: bool = False) -> OutputEncoding:
    """Return how the options say that data sets are written.

    Parameters
    ----------
    deflates_anew
        What is deflated and stays so is made anew where no level is asked for, too, as by DCMTK;
        else the stream is kept where nothing in it changes.

    Raises
    ------
    CommandLineError
        A padding that no element can have.
    """
    fields = {option.field for option in parsed.front_end.options()}
    padding = parsed.choice("padding")
    # dcmqrscp has no option for UN, and the receivers none for values.
    is_converting = "convert_un" in fields and parsed.choice("convert_un") == "convert"
    is_trimming = "correction" not in fields or parsed.choice("correction") == "enable"
    return OutputEncoding(
        transfer_syntax=_TRANSFER_SYNTAXES[parsed.choice("output_transfer_syntax")],
        lengths=parsed.choice("length_encoding"),
        group_lengths=parsed.choice("group_length"),
        padding=_padding(parsed) if padding == "create" else _PADDINGS[padding],
        values="trim" if is_trimming else "keep",
        new_vrs=parsed.choice("new_vr") == "enable",
        unknown="convert" if is_converting else "keep",
        deflate_level=parsed.number("compression_level")
        if deflates_anew or parsed.flag("compression_level")
        else None,
    )


def _padding(parsed: ParsedOptions) -> tuple[int, int]:
    """Return what lengths are to be multiples of.

    All lengths are even (PS3.5 §7.1.1), so that the multiples of an odd number are those of its
    double.  DCMTK takes such a number and then neither pads nor recalculates anything.
    """
    numbers = []
    for value in parsed.values("padding"):
        number = int(value)
        number = 2 * number if number % 2 else number
        if number > PADDING_BYTES_MAX:
            raise CommandLineError(f"Invalid value for option --padding-create (overflow: {value})")
        numbers.append(number)
    file_bytes, item_bytes = numbers
    return file_bytes, item_bytes
