# cython: language_level=3, autotestdict=False
"""Text values: Specific Character Set, text VRs and person names.

Source: PS3.5 §6.1 (character sets), §6.2 (LO, LT, PN, SH, ST, UC, UT), PS3.3 §C.12.1.1.2.

Fast for the default repertoire, Latin alphabet No. 1 and UTF-8, and for plain ASCII under every
other single-byte or extended-ASCII set. What has escape sequences, does not decode, or is longer
than its VR allows is left to pydicom, which warns about it: the functions here then return None.
The results are pydicom's own classes with pydicom's attributes.
"""

from cpython.unicode cimport (
    PyUnicode_AsASCIIString,
    PyUnicode_AsLatin1String,
    PyUnicode_AsUTF8String,
    PyUnicode_DecodeLatin1,
    PyUnicode_DecodeUTF8,
)

from dcmfast._cython.byte_cursor cimport (
    ByteCursor,
    cursor_of,
    find_byte,
    is_ascii,
    trimmed_right,
)

from pydicom.charset import STAND_ALONE_ENCODINGS, convert_encodings, python_encoding
from pydicom.multival import MultiValue
from pydicom.valuerep import PersonName

__all__ = ["character_set_encodings", "decode", "encode"]

# Longest component group of a PN and how many there may be (PS3.5 §6.2); beyond, pydicom warns.
cdef Py_ssize_t PN_GROUP_CHARS = 64
cdef Py_ssize_t PN_GROUPS = 3

cdef enum Codec:
    FOREIGN = 0     # pydicom's own decoder
    LATIN = 1       # one byte, one character
    UTF8 = 2
    ASCII = 3       # ASCII as it is; the rest is pydicom's

# By the first of pydicom's Python encodings. Shift JIS and ISO-2022-JP are missing on purpose:
# their ASCII half is JIS X 0201, and writing them appends escape sequences.
cdef dict CODECS = {
    "iso8859": LATIN, "latin_1": LATIN, "UTF8": UTF8,
    "iso8859_2": ASCII, "iso8859_3": ASCII, "iso8859_4": ASCII, "iso_ir_126": ASCII,
    "iso_ir_127": ASCII, "iso_ir_138": ASCII, "iso_ir_144": ASCII, "iso_ir_148": ASCII,
    "iso_ir_166": ASCII, "euc_kr": ASCII, "GB18030": ASCII, "GBK": ASCII, "GB2312": ASCII,
}

cdef dict CHARACTER_SETS = {}   # value bytes of (0008,0005) → tuple of Python encodings


cdef Codec codec_of(object encodings):
    if type(encodings) is list:
        if not <list>encodings:
            return FOREIGN
        encodings = (<list>encodings)[0]
    return <Codec>(<int>CODECS.get(encodings, FOREIGN))


def character_set_encodings(bytes value):
    """Return the Python encodings for a value of (0008,0005) as a new list, as pydicom names them.

    None means that pydicom would warn about it or correct it (PS3.3 §C.12.1.1.2).
    """
    cached = CHARACTER_SETS.get(value)
    if cached is None:
        names = value.decode("iso8859").rstrip(" \0").split("\\")
        if len(names) > 1 and not names[0]:
            names[0] = "ISO_IR 6"
        if any(name not in python_encoding for name in names):
            return None
        if len(names) > 1 and any(name in STAND_ALONE_ENCODINGS for name in names):
            return None
        cached = tuple(convert_encodings(names))
        if len(CHARACTER_SETS) >= 256:  # what files name is theirs; keep it from growing
            CHARACTER_SETS.clear()
        CHARACTER_SETS[value] = cached
    return list(cached)


cdef object multi_value(object constructor, list values):
    """Return a MultiValue over `values`, which its constructor would accept as they are."""
    result = MultiValue.__new__(MultiValue)
    result._constructor = constructor
    result._list = values
    return result


cdef object decode_default(ByteCursor text):
    """Return text in the default repertoire, which pydicom reads as ISO 8859-1."""
    return PyUnicode_DecodeLatin1(<const char*>text.at, text.left, NULL)


cdef object decode_all(ByteCursor text, object encodings):
    """Return the text decoded, or None where pydicom must."""
    cdef Codec codec = codec_of(encodings)
    if codec == FOREIGN:
        return None
    if is_ascii(text):
        return PyUnicode_DecodeLatin1(<const char*>text.at, text.left, NULL)
    if codec == ASCII or find_byte(&text, 27) >= 0:
        return None
    if codec == LATIN:
        return PyUnicode_DecodeLatin1(<const char*>text.at, text.left, NULL)
    try:
        return PyUnicode_DecodeUTF8(<const char*>text.at, text.left, NULL)
    except UnicodeDecodeError:
        return None


cdef object decode_text(ByteCursor text, object encodings, Py_ssize_t max_chars, bint is_single):
    """Return a value of LO, SH, UC (one or more), or LT, ST, UT (`is_single`), or None."""
    cdef bint is_multiple = not is_single and find_byte(&text, 92) >= 0
    cdef str decoded
    cdef list values
    if not is_multiple and (max_chars == 0 or text.left <= max_chars):
        return decode_all(trimmed_right(text), encodings)
    whole = decode_all(text, encodings)
    if whole is None:
        return None
    decoded = whole
    values = decoded.split("\\") if is_multiple else [decoded]
    if max_chars:
        for value in values:
            if len(<str>value) > max_chars:
                return None
    values = [(<str>value).rstrip("\0 ") for value in values]
    if not is_multiple:
        return values[0]
    return multi_value(str, values)


cdef object person_name(str name, object encodings):
    """Return a PersonName as pydicom makes it of decoded text, or None."""
    cdef list groups = name.split("=")
    cdef str group
    if len(groups) > PN_GROUPS:
        return None
    for group in groups:
        if len(group) > PN_GROUP_CHARS:
            return None
    while groups and not groups[-1]:
        groups.pop()
    encoded = encode_text("=".join(groups), encodings)
    if encoded is None:
        return None
    result = PersonName.__new__(PersonName)
    result._components = tuple(groups)
    result.validation_mode = 1  # config.WARN, the default under which this code runs
    result.original_string = encoded
    result.encodings = (encodings,) if type(encodings) is str else tuple(encodings)
    return result


cdef object decode_person_name(ByteCursor text, object encodings):
    """Return a value of PN, or None."""
    text = trimmed_right(text)
    whole = decode_all(text, encodings)
    if whole is None:
        return None
    if find_byte(&text, 92) < 0:
        return person_name(whole, encodings)
    names = []
    for piece in (<str>whole).split("\\"):
        name = person_name(piece, encodings)
        if name is None:
            return None
        names.append(name)
    # pydicom's constructor here is a closure over the encodings; appending goes through it.
    return multi_value(_PersonNameConstructor(encodings), names)


class _PersonNameConstructor:
    """Makes what is added to a multi-valued PN a PersonName in the encodings of its data set."""

    __slots__ = ("encodings",)

    def __init__(self, encodings):
        self.encodings = [encodings] if isinstance(encodings, str) else encodings

    def __call__(self, name):
        result = PersonName(name, self.encodings)
        result.encode()
        return result.decode()


cdef bytes encode_text(str text, object encodings):
    """Return `text` in the first of `encodings`, or None where pydicom must encode it."""
    cdef Codec codec = codec_of(encodings)
    if codec == FOREIGN:
        return None
    try:
        if codec == LATIN:
            return PyUnicode_AsLatin1String(text)
        if codec == UTF8:
            return PyUnicode_AsUTF8String(text)
        return PyUnicode_AsASCIIString(text)
    except UnicodeEncodeError:
        return None


def decode(bytes value, str vr, list encodings):
    """Decode the value of a text VR as pydicom does under default settings.

    Returns None where pydicom's own decoder has to be asked. Character sets of `encodings` are
    pydicom's Python names. For tests and tools; element views call the functions behind it.
    """
    cdef ByteCursor text = cursor_of(value)
    if vr == "PN":
        return decode_person_name(text, encodings)
    if vr in ("LT", "ST", "UT"):
        return decode_text(text, encodings, {"LT": 10240, "ST": 1024, "UT": 0}[vr], True)
    if vr in ("LO", "SH", "UC"):
        return decode_text(text, encodings, {"LO": 64, "SH": 16, "UC": 0}[vr], False)
    raise ValueError(f"{vr} is no text VR")


def encode(str text, list encodings):
    """Encode text in the first of `encodings`; None where pydicom's own encoder has to be asked."""
    return encode_text(text, encodings)
