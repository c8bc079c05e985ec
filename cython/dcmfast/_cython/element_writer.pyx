# cython: language_level=3, autotestdict=False
"""pydicom data sets to bytes, in the encoding of any transfer syntax.

Source: PS3.5 §7.1 (data elements), §7.5 (sequences), Annex A (transfer syntaxes).

The bytes are those of pydicom's writer: elements in tag order, group lengths of groups above 0006
dropped, raw elements as they were read, lengths of sequences and items defined or undefined as the
data set says. A value that is out of the ordinary is encoded by pydicom's `write_data_element`; a
data set that pydicom would refuse raises ForeignDataSetError and is pydicom's as a whole.

Called by dcmfast.dataset.files, which writes the parts returned here. Large values are parts of
their own, by reference: nothing of the size of pixel data is copied.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_GET_ITEM
from libc.stdint cimport uint32_t, uint64_t

from dcmfast._cython.byte_cursor cimport RoomCursor, fill, room_of, store
from dcmfast._cython.value_codec cimport encode_value, interned_tag, vr_code

from io import BufferedIOBase

from pydicom.charset import STAND_ALONE_ENCODINGS, convert_encodings, python_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR, PersonName

from dcmfast._cython.element_view import ForeignDataSetError

__all__ = ["encode_data_set"]

cdef enum:
    CHARACTER_SET = 0x00080005
    PIXEL_DATA = 0x7FE00010
    SQ = 0x5351

# Deeper data sets are pydicom's, which raises RecursionError where this would use up the C stack.
cdef int DEPTH_MAX = 100
cdef uint32_t UNDEFINED_LENGTH = 0xFFFFFFFF
cdef uint32_t ITEM = 0xFFFEE000
cdef uint32_t ITEM_DELIMITATION = 0xFFFEE00D
cdef uint32_t SEQUENCE_DELIMITATION = 0xFFFEE0DD

cdef set LONG_VRS = {vr_code(str(vr)) for vr in EXPLICIT_VR_LENGTH_32}
cdef set KNOWN_VRS = {vr_code(str(vr)) for vr in STANDARD_VR}
# Their first value is unsigned whatever the VR says (PS3.3 §C.7.6.3.1.5); pydicom writes them.
cdef set LUT_DESCRIPTORS = {0x00281101, 0x00281102, 0x00281103, 0x00283002}
cdef set PLAIN_ENCODINGS = set(python_encoding) | set(python_encoding.values())


cdef bint is_encapsulated(bytes value, bint is_little):
    """True if a value starts with an item, as fragments must (PS3.5 §A.4)."""
    return value[:4] == (b"\xFE\xFF\x00\xE0" if is_little else b"\xFF\xFE\xE0\x00")


cdef list encodings_for(object names):
    """Return pydicom's Python encodings for what (0008,0005) says or a parent passes on."""
    cdef list wanted
    if not names:
        return ["iso8859"]
    if type(names) is str:
        wanted = [names]
    else:
        wanted = list(names)
    for name in wanted:
        if name not in PLAIN_ENCODINGS:
            raise ForeignDataSetError("(0008,0005) needs correction")
        if len(wanted) > 1 and name in STAND_ALONE_ENCODINGS:
            raise ForeignDataSetError("(0008,0005) needs correction")
    return convert_encodings(names)


@cython.final
@cython.auto_pickle(False)
cdef class Encoder:
    """Collects the parts of one data set."""

    cdef list parts
    cdef uint64_t total
    cdef bint is_implicit
    cdef bint is_little

    cdef int add(self, bytes part) except -1:
        self.parts.append(part)
        self.total += PyBytes_GET_SIZE(part)
        return 0

    cdef bytes item_header(self, uint32_t tag, uint32_t length):
        cdef bytes header = PyBytes_FromStringAndSize(NULL, 8)
        cdef RoomCursor room = room_of(header)
        store(fill(&room, 2), tag >> 16, 2, not self.is_little)
        store(fill(&room, 2), tag & 0xFFFF, 2, not self.is_little)
        store(fill(&room, 4), length, 4, not self.is_little)
        return header

    cdef bytes header(self, uint32_t tag, int vr, uint64_t length, bint is_undefined):
        """Return the header of an element (PS3.5 §7.1.2, §7.1.3)."""
        cdef bint is_long = vr in LONG_VRS
        cdef bytes header
        cdef RoomCursor room
        if is_undefined:
            length = UNDEFINED_LENGTH
        elif length >= UNDEFINED_LENGTH:
            raise ForeignDataSetError("a value is too long")
        if self.is_implicit:
            return self.item_header(tag, <uint32_t>length)
        if not is_long and not is_undefined and length > 0xFFFF:
            raise ForeignDataSetError("a value is too long for its VR")
        header = PyBytes_FromStringAndSize(
            NULL, 12 if is_long else (10 if is_undefined else 8)
        )
        room = room_of(header)
        store(fill(&room, 2), tag >> 16, 2, not self.is_little)
        store(fill(&room, 2), tag & 0xFFFF, 2, not self.is_little)
        store(fill(&room, 2), <uint64_t>vr, 2, True)
        if is_long:
            store(fill(&room, 2), 0, 2, not self.is_little)
        if is_long or is_undefined:
            store(fill(&room, 4), length, 4, not self.is_little)
        else:
            store(fill(&room, 2), length, 2, not self.is_little)
        return header

    cdef int value(self, uint32_t tag, int vr, bytes value, bint is_undefined) except -1:
        """Add an element with its value as encoded."""
        if is_undefined and tag == PIXEL_DATA and not is_encapsulated(value, self.is_little):
            raise ForeignDataSetError("Pixel Data is not encapsulated")
        self.add(self.header(tag, vr, PyBytes_GET_SIZE(value), is_undefined))
        if PyBytes_GET_SIZE(value):
            self.add(value)
        if is_undefined:
            self.add(self.item_header(SEQUENCE_DELIMITATION, 0))
        return 0

    cdef int data_set(self, object data_set, object parent_encodings, int depth) except -1:
        """Add the elements of a data set or item, as pydicom's `write_dataset` would."""
        cdef object elements = data_set._dict
        cdef bint is_converting
        cdef uint32_t number
        if depth > DEPTH_MAX or type(elements) is not dict:
            raise ForeignDataSetError("nested too deeply")
        cdef object character_set = interned_tag(CHARACTER_SET)
        cdef bint has_character_set = character_set in <dict>elements
        is_converting = (
            data_set._read_implicit is not self.is_implicit
            or data_set._read_little is not self.is_little
        )
        if not is_converting:
            if has_character_set:
                is_converting = data_set._read_charset != data_set._character_set
            else:
                is_converting = data_set._read_charset != data_set._parent_encoding
        if is_converting:
            correct_ambiguous_vr(data_set, self.is_little)
        cdef object encodings = None
        names = data_set[character_set].value if has_character_set else parent_encodings
        for tag in sorted_tags(<dict>elements):
            number = tag
            if number & 0xFFFF == 0 and number >> 16 > 6:
                continue
            element = (<dict>elements)[tag]
            if type(element) is RawDataElement:
                if not is_converting and type(<object>PyTuple_GET_ITEM(element, 3)) is bytes:
                    self.raw_element(number, element)
                    continue
                element = data_set[tag]
            if type(element) is not DataElement:
                raise ForeignDataSetError("an element of another class")
            if encodings is None:
                encodings = encodings_for(names)
            self.element(number, element, <list>encodings, depth)
        return 0

    cdef int raw_element(self, uint32_t number, object element) except -1:
        cdef object vr = <object>PyTuple_GET_ITEM(element, 1)
        cdef int code = 0
        if not self.is_implicit:
            code = vr_code(vr)
            if code == 0:
                raise ForeignDataSetError("an explicit header without VR")
        self.value(
            number, code, <object>PyTuple_GET_ITEM(element, 3),
            <object>PyTuple_GET_ITEM(element, 2) == UNDEFINED_LENGTH,
        )
        return 0

    cdef int element(
        self, uint32_t number, object element, list encodings, int depth
    ) except -1:
        cdef object vr = element.VR
        cdef object value = element._value
        cdef int code = vr_code(vr)
        cdef bint is_undefined = element.is_undefined_length
        cdef bytes encoded
        if isinstance(value, BufferedIOBase):
            raise ForeignDataSetError("a value in a file")
        if code == SQ and type(value) is Sequence:
            return self.sequence(number, value._list, is_undefined, encodings, depth)
        encoded = None
        if code in KNOWN_VRS and number not in LUT_DESCRIPTORS:
            encoded = b"" if is_empty(value) else encode_value(
                code, value, not self.is_little, encodings
            )
        if encoded is None:
            # pydicom's own writer, for this element alone.
            buffer = DicomBytesIO()
            buffer.is_implicit_VR = self.is_implicit
            buffer.is_little_endian = self.is_little
            write_data_element(buffer, element, encodings)
            self.add(buffer.getvalue())
            return 0
        self.value(number, code, encoded, is_undefined)
        return 0

    cdef int sequence(
        self, uint32_t number, list items, bint is_undefined, list encodings, int depth
    ) except -1:
        """Add a sequence (PS3.5 §7.5); headers with lengths are filled in behind their contents."""
        cdef Py_ssize_t place = len(self.parts), item_place
        cdef uint64_t start = self.total, item_start
        cdef bint is_item_undefined
        cdef uint64_t length
        self.parts.append(b"")
        for item in items:
            is_item_undefined = getattr(item, "is_undefined_length_sequence_item", False)
            item_place = len(self.parts)
            self.parts.append(b"")
            self.total += 8
            item_start = self.total
            self.data_set(item, encodings, depth + 1)
            length = self.total - item_start
            if is_item_undefined:
                self.add(self.item_header(ITEM_DELIMITATION, 0))
                length = UNDEFINED_LENGTH
            elif length >= UNDEFINED_LENGTH:
                raise ForeignDataSetError("an item is too long")
            self.parts[item_place] = self.item_header(ITEM, <uint32_t>length)
        header = self.header(number, SQ, self.total - start, is_undefined)
        self.parts[place] = header
        self.total += PyBytes_GET_SIZE(header)
        if is_undefined:
            self.add(self.item_header(SEQUENCE_DELIMITATION, 0))
        return 0


cdef bint is_empty(object value):
    """True for what pydicom counts as no value."""
    if value is None:
        return True
    if isinstance(value, (str, bytes, PersonName)):
        return not value
    if type(value) is MultiValue:
        return not value._list
    if type(value) is list:
        return not value
    return False


cdef list sorted_tags(dict elements):
    cdef list tags = list(elements)
    cdef uint64_t last = 0
    cdef uint32_t number
    for tag in tags:
        number = tag
        if number < last:
            tags.sort(key=int)
            break
        last = number
    return tags


def encode_data_set(data_set, bint is_implicit, bint is_little_endian, parent_encodings="iso8859"):
    """Return the parts of an encoded data set, a list of bytes, and their length in all.

    Raises ForeignDataSetError where the data set is pydicom's to write or refuse. Elements are
    converted in place just where pydicom's writer converts them.
    """
    cdef Encoder encoder = Encoder.__new__(Encoder)
    encoder.parts = []
    encoder.is_implicit = is_implicit
    encoder.is_little = is_little_endian
    encoder.data_set(data_set, parent_encodings, 0)
    return encoder.parts, encoder.total
