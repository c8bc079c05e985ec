# cython: language_level=3, autotestdict=False
"""Values of elements: DA, TM, DT, DS, IS, AT, UI, text, numbers, both ways.

Source: PS3.5 §6.2 (the VRs), §7.3 (byte order).

The results are what pydicom gives under its default settings, of pydicom's own classes. A value
that pydicom would warn about, correct or refuse is not decoded here: the functions return None and
the caller lets pydicom do it. `None` therefore never means an empty value; callers answer those.
Sequences are element_view's.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from cpython.unicode cimport PyUnicode_AsLatin1String
from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from dcmfast._cython.byte_cursor cimport (
    ByteCursor,
    RoomCursor,
    byte_at,
    cursor_of,
    fill,
    find_byte,
    load,
    next_piece,
    room_of,
    store,
    take,
    trimmed_right,
    trimmed_spaces,
)
from dcmfast._cython.text_codec cimport (
    decode_default,
    decode_person_name,
    decode_text,
    encode_text,
    multi_value,
)

from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID
from pydicom.valuerep import IS, DSfloat, PersonName

__all__ = ["decode", "encode"]

cdef extern from "Python.h":
    double PyOS_string_to_double(const char* text, char** end, PyObject* overflow) except? -1.0
    int PyUnicode_GET_LENGTH(object text)
    Py_UCS4 PyUnicode_READ_CHAR(object text, Py_ssize_t index)
    # The built-in types' own constructors, past the Python ones of pydicom's subclasses.
    object new_str "PyUnicode_Type.tp_new" (PyTypeObject* cls, object args, PyObject* kwargs)
    object new_int "PyLong_Type.tp_new" (PyTypeObject* cls, object args, PyObject* kwargs)
    object new_float "PyFloat_Type.tp_new" (PyTypeObject* cls, object args, PyObject* kwargs)

# VRs as the number of their two letters, so that a dispatch is one switch.
cdef enum:
    AE = 0x4145
    AS = 0x4153
    AT = 0x4154
    CS = 0x4353
    DA = 0x4441
    DS = 0x4453
    DT = 0x4454
    FD = 0x4644
    FL = 0x464C
    IS_ = 0x4953
    LO = 0x4C4F
    LT = 0x4C54
    OB = 0x4F42
    OD = 0x4F44
    OF = 0x4F46
    OL = 0x4F4C
    OV = 0x4F56
    OW = 0x4F57
    PN = 0x504E
    SH = 0x5348
    SL = 0x534C
    SS = 0x5353
    ST = 0x5354
    SV = 0x5356
    TM = 0x544D
    UC = 0x5543
    UI = 0x5549
    UL = 0x554C
    UN = 0x554E
    UR = 0x5552
    US = 0x5553
    UT = 0x5554
    UV = 0x5556

cdef Py_ssize_t UID_CHARS = 64      # PS3.5 §9.1
cdef Py_ssize_t IS_CHARS = 12       # PS3.5 §6.2
cdef Py_ssize_t DS_CHARS_READ = 62  # pydicom reads longer DS than the 16 of PS3.5 §6.2 silently

# One BaseTag per tag: dictionaries then find it by identity, where two equal ones would call
# BaseTag.__eq__, which is Python. Bounded, as private tags are the files'.
cdef dict TAGS = {}
cdef Py_ssize_t TAGS_MAX = 65536


cdef object interned_tag(uint32_t number):
    """Return the BaseTag of `number`."""
    cdef object key = number
    cdef object tag = TAGS.get(key)
    if tag is None:
        if len(TAGS) >= TAGS_MAX:
            TAGS.clear()
        tag = BaseTag(key)
        TAGS[key] = tag
    return tag


cdef int vr_code(object vr) noexcept:
    """Return the two letters of `vr` as a number; 0 for anything else."""
    cdef uint32_t first, second
    if not isinstance(vr, str) or PyUnicode_GET_LENGTH(vr) != 2:
        return 0
    first = <uint32_t>PyUnicode_READ_CHAR(vr, 0)
    second = <uint32_t>PyUnicode_READ_CHAR(vr, 1)
    if first > 0x7F or second > 0x7F:
        return 0
    return <int>((first << 8) | second)


cdef object decode_value(int vr, ByteCursor value, bint is_big_endian, object encodings):
    """Return the value of an element that has one, or None where pydicom must decode it."""
    if value.left == 0:
        return None
    if vr == CS or vr == DA or vr == TM or vr == AS or vr == DT:
        return decode_string(value)
    if vr == UI:
        return decode_uids(value)
    if vr == DS:
        return decode_number_strings(value, new_decimal, DSfloat)
    if vr == IS_:
        return decode_number_strings(value, new_integer, IS)
    if vr == US or vr == SS:
        return decode_numbers(value, 2, vr, is_big_endian)
    if vr == UL or vr == SL or vr == FL:
        return decode_numbers(value, 4, vr, is_big_endian)
    if vr == FD or vr == SV or vr == UV:
        return decode_numbers(value, 8, vr, is_big_endian)
    if vr == LO:
        return decode_text(value, encodings, 64, False)
    if vr == SH:
        return decode_text(value, encodings, 16, False)
    if vr == PN:
        return decode_person_name(value, encodings)
    if vr == AE:
        return decode_titles(value)
    if vr == AT:
        return decode_tags(value, is_big_endian)
    if vr == ST:
        return decode_text(value, encodings, 1024, True)
    if vr == LT:
        return decode_text(value, encodings, 10240, True)
    if vr == UT:
        return decode_text(value, encodings, 0, True)
    if vr == UC:
        return decode_text(value, encodings, 0, False)
    if vr == UR:
        return (<str>decode_default(value)).rstrip()
    return None


cdef object decode_string(ByteCursor text):
    """Return AS, CS, DA, DT or TM: in the default repertoire, without trailing padding."""
    text = trimmed_right(text)
    decoded = decode_default(text)
    if find_byte(&text, 92) < 0:
        return decoded
    return multi_value(str, (<str>decoded).split("\\"))


cdef object decode_titles(ByteCursor text):
    """Return AE, where leading spaces do not count either."""
    cdef list titles
    decoded = decode_default(text)
    if find_byte(&text, 92) < 0:
        return (<str>decoded).strip()
    titles = [(<str>title).strip() for title in (<str>decoded).split("\\")]
    return multi_value(str, titles)


cdef bint is_uid(ByteCursor text) noexcept nogil:
    """True for components of digits without leading zeros, and for nothing at all (PS3.5 §9.1)."""
    cdef Py_ssize_t index = 0, start = 0
    cdef int byte
    if text.left == 0:
        return True
    if text.left > UID_CHARS:
        return False
    while True:
        byte = byte_at(&text, index)
        if byte == 46 or byte == -1:
            if index == start or (index > start + 1 and byte_at(&text, start) == 48):
                return False
            if byte == -1:
                return True
            start = index + 1
        elif byte < 48 or byte > 57:
            return False
        index += 1


cdef object new_uid(ByteCursor text):
    return new_str(<PyTypeObject*>UID, (decode_default(text),), NULL)


cdef object decode_uids(ByteCursor text):
    """Return UI, or None if a UID is not valid, about which pydicom warns."""
    cdef ByteCursor rest = trimmed_right(text)
    cdef ByteCursor piece
    cdef list uids
    if find_byte(&rest, 92) < 0:
        return new_uid(rest) if is_uid(rest) else None
    uids = []
    more = True
    while more:
        more = next_piece(&rest, &piece)
        if not is_uid(piece):
            return None
        uids.append(new_uid(piece))
    return multi_value(UID, uids)


cdef bint is_decimal(ByteCursor text) noexcept nogil:
    """True for an optional sign, digits with or without a point, and an optional exponent."""
    cdef Py_ssize_t index = 0, digits = 0
    cdef int byte = byte_at(&text, 0)
    if byte == 43 or byte == 45:
        index = 1
    while 48 <= byte_at(&text, index) <= 57:
        index += 1
        digits += 1
    if byte_at(&text, index) == 46:
        index += 1
        while 48 <= byte_at(&text, index) <= 57:
            index += 1
            digits += 1
    if digits == 0:
        return False
    byte = byte_at(&text, index)
    if byte == 69 or byte == 101:
        index += 1
        byte = byte_at(&text, index)
        if byte == 43 or byte == 45:
            index += 1
        digits = 0
        while 48 <= byte_at(&text, index) <= 57:
            index += 1
            digits += 1
        if digits == 0:
            return False
    return index == text.left


cdef object new_decimal(ByteCursor text):
    """Return a DSfloat, or None if the text is not the plain number that any reader takes."""
    cdef char buffer[64]
    cdef double number
    text = trimmed_spaces(text)
    if text.left == 0 or text.left > DS_CHARS_READ or not is_decimal(text):
        return None
    memcpy(buffer, text.at, <size_t>text.left)
    buffer[text.left] = 0
    number = PyOS_string_to_double(buffer, NULL, NULL)
    result = new_float(<PyTypeObject*>DSfloat, (number,), NULL)
    result.original_string = decode_default(text)
    result.auto_format = False
    return result


cdef object new_integer(ByteCursor text):
    """Return an IS, or None if the text is not a plain integer of the length allowed."""
    cdef Py_ssize_t index = 0
    cdef int64_t number = 0
    cdef int byte
    if text.left > IS_CHARS:
        return None
    text = trimmed_spaces(text)
    byte = byte_at(&text, 0)
    cdef bint is_negative = byte == 45
    if byte == 43 or byte == 45:
        index = 1
    if index == text.left:
        return None
    while index < text.left:
        byte = byte_at(&text, index)
        if byte < 48 or byte > 57:
            return None
        number = number * 10 + (byte - 48)
        index += 1
    if is_negative:
        number = -number
    result = new_int(<PyTypeObject*>IS, (number,), NULL)
    result.original_string = decode_default(text)
    return result


ctypedef object (*Number)(ByteCursor text)


cdef object decode_number_strings(ByteCursor text, Number new_number, object cls):
    """Return a DS or IS value, one number or several; None if one of them is for pydicom."""
    cdef ByteCursor rest = trimmed_right(text)
    cdef ByteCursor piece
    cdef list numbers
    if find_byte(&rest, 92) < 0:
        return new_number(rest)
    numbers = []
    more = True
    while more:
        more = next_piece(&rest, &piece)
        number = new_number(piece)
        if number is None:
            return None
        numbers.append(number)
    return multi_value(cls, numbers)


cdef object number_of(const unsigned char* start, int vr, bint is_big_endian):
    cdef uint64_t bits
    cdef uint32_t half
    cdef float single
    cdef double whole
    if vr == US:
        return <uint16_t>load(start, 2, is_big_endian)
    if vr == SS:
        return <int16_t>load(start, 2, is_big_endian)
    if vr == UL:
        return <uint32_t>load(start, 4, is_big_endian)
    if vr == SL:
        return <int32_t>load(start, 4, is_big_endian)
    if vr == FL:
        half = <uint32_t>load(start, 4, is_big_endian)
        memcpy(&single, &half, 4)
        return <double>single
    bits = load(start, 8, is_big_endian)
    if vr == FD:
        memcpy(&whole, &bits, 8)
        return whole
    if vr == SV:
        return <int64_t>bits
    return bits


cdef object decode_numbers(ByteCursor value, int size, int vr, bint is_big_endian):
    """Return one number or a list of them; None if bytes are left over."""
    cdef list numbers
    if value.left % size:
        return None
    if value.left == size:
        return number_of(take(&value, size), vr, is_big_endian)
    numbers = []
    while value.left:
        numbers.append(number_of(take(&value, size), vr, is_big_endian))
    return numbers


cdef object tag_value(ByteCursor* value, bint is_big_endian):
    cdef uint32_t group = <uint32_t>load(take(value, 2), 2, is_big_endian)
    cdef uint32_t element = <uint32_t>load(take(value, 2), 2, is_big_endian)
    return interned_tag((group << 16) | element)


cdef object decode_tags(ByteCursor value, bint is_big_endian):
    """Return AT: two numbers of two bytes each (PS3.5 §6.2)."""
    cdef list tags
    if value.left % 4:
        return None
    if value.left == 4:
        return tag_value(&value, is_big_endian)
    tags = []
    while value.left:
        tags.append(tag_value(&value, is_big_endian))
    return multi_value(Tag, tags)


# ---- Encoding ---------------------------------------------------------------------------------


cdef bytes padded(bytes text, bytes padding):
    return text + padding if PyBytes_GET_SIZE(text) % 2 else text


cdef bytes encode_value(int vr, object value, bint is_big_endian, object encodings):
    """Return the bytes of a value that is not empty, or None where pydicom must encode it."""
    if vr == UI:
        return encode_strings(value, b"\0")
    if vr == CS or vr == AE or vr == AS or vr == UR:
        return encode_strings(value, b" ")
    if vr == DA or vr == TM or vr == DT:
        return encode_strings(value, b" ") if isinstance(value, str) else None
    if vr == DS:
        return encode_number_strings(value, DSfloat)
    if vr == IS_:
        return encode_number_strings(value, IS)
    if vr == LO or vr == SH or vr == UC or vr == LT or vr == ST or vr == UT:
        return encode_texts(value, encodings)
    if vr == PN:
        return encode_person_names(value, encodings)
    if vr == US or vr == SS:
        return encode_numbers(value, 2, vr == SS, is_big_endian)
    if vr == UL or vr == SL:
        return encode_numbers(value, 4, vr == SL, is_big_endian)
    if vr == UV or vr == SV:
        return encode_numbers(value, 8, vr == SV, is_big_endian)
    if vr == FD or vr == FL:
        return encode_floats(value, 8 if vr == FD else 4, is_big_endian)
    if vr == AT:
        return encode_tags(value, is_big_endian)
    if vr == UN:
        return value if type(value) is bytes else None
    if vr == OB or vr == OW or vr == OD or vr == OF or vr == OL or vr == OV:
        return padded(value, b"\0") if type(value) is bytes else None
    return None


cdef list values_of(object value):
    """Return the list in a MultiValue of pydicom's or a plain list, else None."""
    if type(value) is MultiValue:
        return <list?>value._list
    if type(value) is list:
        return value
    return None


cdef bytes encode_strings(object value, bytes padding):
    cdef list values
    if isinstance(value, str):
        text = value
    else:
        values = values_of(value)
        if values is None:
            return None
        for item in values:
            if not isinstance(item, str):
                return None
        text = "\\".join(values)
    try:
        return padded(PyUnicode_AsLatin1String(text), padding)
    except UnicodeEncodeError:
        return None


cdef bytes encode_number_strings(object value, object wanted):
    """Encode DS or IS from the text that was read or given, as pydicom does."""
    cdef list values = values_of(value)
    if values is None:
        if type(value) is not wanted:
            return None
        values = [value]
    texts = []
    for item in values:
        if type(item) is not wanted:
            return None
        text = getattr(item, "original_string", None)
        if type(text) is not str:
            return None
        texts.append(text)
    try:
        return padded(PyUnicode_AsLatin1String("\\".join(texts)), b" ")
    except UnicodeEncodeError:
        return None


cdef bytes encode_texts(object value, object encodings):
    cdef list values
    if type(value) is str:
        encoded = encode_text(value, encodings)
        return None if encoded is None else padded(encoded, b" ")
    values = values_of(value)
    if not values:
        return None
    for item in values:
        if type(item) is not str:
            return None
    # Under the codecs that encode_text answers, a join before encoding is one after it.
    encoded = encode_text("\\".join(values), encodings)
    return None if encoded is None else padded(encoded, b" ")


cdef bytes encode_person_names(object value, object encodings):
    cdef list values = values_of(value)
    if values is None:
        values = [value]
    wanted = (encodings,) if type(encodings) is str else tuple(encodings)
    parts = []
    for item in values:
        if type(item) is not PersonName:
            return None
        own = item.encodings
        text = item.original_string
        # Its own bytes, if they were made in the encodings now asked for; else pydicom re-encodes.
        if text is None or (own is not None and own != wanted):
            return None
        parts.append(text)
    return padded(b"\\".join(parts), b" ")


cdef bytes encode_numbers(object value, int size, bint is_signed, bint is_big_endian):
    cdef list values = values_of(value)
    if values is None:
        values = [value]
    cdef bytes result = PyBytes_FromStringAndSize(NULL, len(values) * size)
    cdef RoomCursor room = room_of(result)
    cdef int64_t number
    cdef int bits = 8 * size
    for item in values:
        if type(item) is not int or size == 8:
            return None
        try:
            number = item
        except OverflowError:
            return None
        if is_signed:
            if number < -(<int64_t>1 << (bits - 1)) or number >= <int64_t>1 << (bits - 1):
                return None
        elif number < 0 or number >= <int64_t>1 << bits:
            return None
        store(fill(&room, size), <uint64_t>number, size, is_big_endian)
    return result


cdef bytes encode_floats(object value, int size, bint is_big_endian):
    cdef list values = values_of(value)
    if values is None:
        values = [value]
    cdef bytes result = PyBytes_FromStringAndSize(NULL, len(values) * size)
    cdef RoomCursor room = room_of(result)
    cdef double whole
    cdef float single
    cdef uint64_t bits
    cdef uint32_t half
    for item in values:
        if type(item) is not float:
            return None
        whole = item
        if size == 8:
            memcpy(&bits, &whole, 8)
            store(fill(&room, 8), bits, 8, is_big_endian)
        else:
            single = <float>whole
            if <double>single != whole:
                return None  # rounding, overflow and NaN are struct's
            memcpy(&half, &single, 4)
            store(fill(&room, 4), half, 4, is_big_endian)
    return result


cdef bytes encode_tags(object value, bint is_big_endian):
    cdef list values = values_of(value)
    if values is None:
        values = [value]
    cdef bytes result = PyBytes_FromStringAndSize(NULL, len(values) * 4)
    cdef RoomCursor room = room_of(result)
    cdef uint32_t number
    for item in values:
        if type(item) is not BaseTag:
            return None
        number = item
        store(fill(&room, 2), number >> 16, 2, is_big_endian)
        store(fill(&room, 2), number & 0xFFFF, 2, is_big_endian)
    return result


def decode(bytes value, str vr, bint is_big_endian=False, object encodings="iso8859"):
    """Decode a value as pydicom does under default settings; None where pydicom must decode it.

    Bytes of OB and the like and of UN are their own value. For tests and tools.
    """
    cdef int code = vr_code(vr)
    if code in (OB, OD, OF, OL, OV, OW, UN):
        return value
    return decode_value(code, cursor_of(value), is_big_endian, encodings)


def encode(object value, str vr, bint is_big_endian=False, object encodings="iso8859"):
    """Encode a value that is not empty, padded to even length; None where pydicom must."""
    return encode_value(vr_code(vr), value, is_big_endian, encodings)
