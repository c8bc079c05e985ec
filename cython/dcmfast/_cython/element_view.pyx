# cython: language_level=3, autotestdict=False
"""Element tables as pydicom data sets whose values are decoded on access.

Source: PS3.5 §7 (data set), §7.5 (nesting), §7.8 (private elements).

Rust's element table says where the elements are (its layout stands in
rust/core/src/dataset/element_table.rs); here its rows become what pydicom keeps: `RawDataElement`
for a value not looked at yet, `DataElement` for one that was, and for sequences of undefined
length. The three classes are pydicom's with one thing changed: a raw element is converted in Cython
where pydicom's settings are at their defaults and its value is ordinary. Anything else (hooks,
callbacks, other settings, values that pydicom warns about, corrects or refuses, ambiguous VRs) is
pydicom's own code, called for that element. A counter tells the two apart, so that a test can fail
when the fast path is not taken.

Called by dcmfast.dataset.files; no function here opens a file.
"""

import copy as _copy
# Makes an object of a given class when a pickle is read; part of Python, unlike this module.
from copyreg import _reconstructor as _new_of

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy, PyDict_GetItem, PyDict_SetItem
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_SET_ITEM
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from dcmfast._cython.byte_cursor cimport ByteCursor, TableRow, cursor_of, row_at, slice_of
from dcmfast._cython.text_codec import character_set_encodings
from dcmfast._cython.value_codec cimport decode_value, interned_tag, vr_code

import pydicom
import pydicom.config
import pydicom.datadict
import pydicom.dataset
import pydicom.hooks
import pydicom.valuerep
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import VR as VR_
from pydicom.valuerep import DSfloat, PersonName

__all__ = [
    "Dataset",
    "FileDataset",
    "FileMetaDataset",
    "ForeignDataSetError",
    "Source",
    "conversions",
    "copied_file_meta",
    "head_bytes",
    "new_file_data_set",
    "read_elements",
    "read_file_meta",
    "reading_is_default",
    "use_scanner",
]

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject* cls, Py_ssize_t count)
    int PyObject_GenericSetDict(object instance, object new, void* context) except -1
    object new_object "PyBaseObject_Type.tp_new" (PyTypeObject* cls, object args, PyObject* kwargs)

# Of element_table.rs; test_element_view.py holds them against a scan.
cdef enum:
    FLAG_SEQUENCE = 1
    FLAG_ITEM = 2
    FLAG_IMPLICIT = 4
    FLAG_ENCAPSULATED = 8
    FLAG_OUTSIDE = 16

    STATUS_COMPLETE = 0
    STATUS_STOPPED = 1
    STATUS_MORE = 2
    STATUS_WIDER = 3
    STATUS_FRAGMENTS = 4
    STATUS_FOREIGN = 5

    SCAN_IMPLICIT = 1
    SCAN_BIG_ENDIAN = 2
    SCAN_START = 4
    SCAN_STOP_AFTER_FILE_META = 8
    SCAN_STOP_AT_PIXEL_DATA = 16

    CHARACTER_SET = 0x00080005
    PIXEL_REPRESENTATION = 0x00280103

cdef uint32_t UNDEFINED_LENGTH = 0xFFFFFFFF

# First bytes read of a file whose pixel data is not wanted: most headers end before.
cdef Py_ssize_t HEAD_BYTES = 32768
# Sources up to this size are read at once; of larger ones, windows and long values each once.
cdef Py_ssize_t WHOLE_BYTES = 1048576
# Later windows.
cdef Py_ssize_t WINDOW_BYTES = 65536

cdef dict CONFIG = pydicom.config.__dict__
cdef object SETTINGS = pydicom.config.settings
cdef dict SETTINGS_DICT = pydicom.config.settings.__dict__
cdef dict HOOKS = pydicom.hooks.hooks.__dict__
cdef dict VALUEREP = pydicom.valuerep.__dict__
cdef object DEFAULT_VR_HOOK = pydicom.hooks.raw_element_vr
cdef object DEFAULT_VALUE_HOOK = pydicom.hooks.raw_element_value

# Settings of pydicom.config with the value under which Cython gives pydicom's results.
cdef dict DEFAULTS = {
    "data_element_callback": None,
    "debugging": False,
    "enforce_valid_values": False,
    "use_DS_decimal": False,
    "use_DS_numpy": False,
    "use_IS_numpy": False,
    "datetime_conversion": False,
    "use_none_as_empty_text_VR_value": False,
    "replace_un_with_known_vr": True,
    "assume_implicit_vr_switch": True,
    "_use_future": False,
}

cdef tuple DEFAULT_ITEMS = tuple(DEFAULTS.items())

cdef object SQ_INFERRED = VR_.SQ
cdef object UN_INFERRED = VR_.UN
cdef object LO_INFERRED = VR_.LO
cdef object UL_INFERRED = VR_.UL
cdef str DEFAULT_ENCODING = "iso8859"
cdef tuple NO_ARGUMENTS = ()
cdef bytes NO_BYTES = b""
cdef dict VR_TEXTS = {}     # number of two letters → str
cdef set EMPTY_BYTES_VRS = {str(vr) for vr in pydicom.valuerep.STR_VR} - {"DS", "IS"}
EMPTY_BYTES_VRS.add("SQ")
# Tags whose first value pydicom mends (PS3.3 §C.7.6.3.1.5).
cdef set LUT_DESCRIPTORS = {0x00281101, 0x00281102, 0x00281103, 0x00283002}

cdef uint64_t fast_count = 0
cdef uint64_t delegated_count = 0


# The Rust functions, given by the one who imports both sides; Cython modules do not import Rust's.
cdef object scanner = None


def use_scanner(module):
    """Take the scanner: `module` has `scan_data_set`, `scan_sequence`, `walk_fragments` and
    `ElementDictionary` as rust/py/src/dataset.rs defines them.
    """
    global scanner
    scanner = module


class ForeignDataSetError(Exception):
    """The bytes need pydicom's own reader, which warns or raises in its own words."""


def conversions():
    """Return how many elements were converted so far: here, and by pydicom's code."""
    return fast_count, delegated_count


cdef bint is_default() noexcept:
    """True if every hook, callback and setting that changes results is as pydicom ships it."""
    cdef PyObject* value
    for name, wanted in DEFAULT_ITEMS:
        value = PyDict_GetItem(CONFIG, name)
        if value == NULL or <object>value is not wanted:
            return False
    if CONFIG["settings"] is not SETTINGS:
        return False
    mode = SETTINGS_DICT.get("_reading_validation_mode")
    if (mode is not None and mode != 1) or SETTINGS_DICT.get("_infer_sq_for_un_vr") is not True:
        return False
    return (
        HOOKS.get("raw_element_vr") is DEFAULT_VR_HOOK
        and HOOKS.get("raw_element_value") is DEFAULT_VALUE_HOOK
        and not HOOKS.get("raw_element_kwargs")
        and VALUEREP["DSclass"] is DSfloat
    )


def reading_is_default():
    """Return True if pydicom's hooks, callbacks and settings are as it ships them."""
    return is_default()


# ---- The dictionary ---------------------------------------------------------------------------

cdef object element_dictionary = None
cdef Py_ssize_t element_dictionary_size = -1


cdef object current_dictionary():
    """Return pydicom's dictionary as the scanner wants it; made again if entries were added."""
    global element_dictionary, element_dictionary_size
    if len(DicomDictionary) != element_dictionary_size:
        sequences = [tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ"]
        others = [tag for tag, entry in DicomDictionary.items() if entry[0] != "SQ"]
        element_dictionary = scanner.ElementDictionary(sequences, others)
        element_dictionary_size = len(DicomDictionary)
    return element_dictionary


cdef object dictionary_vr(uint32_t number):
    """Return the VR of a tag that stands in the dictionary itself, else None."""
    cdef PyObject* entry = PyDict_GetItem(DicomDictionary, number)
    if entry == NULL:
        return None
    return (<tuple><object>entry)[0]


cdef object text_of_vr(uint8_t first, uint8_t second):
    cdef int number = (<int>first << 8) | second
    text = VR_TEXTS.get(number)
    if text is None:
        text = bytes((first, second)).decode("iso8859")
        VR_TEXTS[number] = text
    return text


# ---- Data sets with attributes as pydicom's constructors leave them ---------------------------

cdef dict DATASET_ATTRIBUTES = dict(pydicom.dataset.Dataset().__dict__)
cdef dict FILE_META_ATTRIBUTES = dict(pydicom.dataset.FileMetaDataset().__dict__)


cdef dict new_attributes(dict template, dict elements, object parent_encoding):
    cdef dict attributes = PyDict_Copy(template)
    attributes["_parent_encoding"] = parent_encoding
    attributes["_dict"] = elements
    attributes["_private_blocks"] = {}
    attributes["_pixel_array_opts"] = {"use_pdh": False}
    attributes["_pixel_id"] = {}
    return attributes


cdef object new_data_set(object cls, dict attributes):
    data_set = new_object(<PyTypeObject*>cls, NO_ARGUMENTS, NULL)
    PyObject_GenericSetDict(data_set, attributes, NULL)
    return data_set


cdef object new_element(
    object tag, object vr, object value, object value_tell, bint is_undefined_length
):
    element = new_object(<PyTypeObject*>DataElement, NO_ARGUMENTS, NULL)
    element.tag = tag
    element.VR = vr
    element.validation_mode = 1
    element._value = value
    element.file_tell = value_tell
    element.is_undefined_length = is_undefined_length
    element.private_creator = None
    return element


cdef object new_raw_element(
    object tag, object vr, object length, object value, object value_tell,
    bint is_implicit, bint is_little,
):
    # As NamedTuple's own constructor, which is Python, would fill it.
    raw = PyType_GenericAlloc(<PyTypeObject*>RawDataElement, 9)
    cdef object implicit = is_implicit
    cdef object little = is_little
    Py_INCREF(tag)
    Py_INCREF(vr)
    Py_INCREF(length)
    Py_INCREF(value)
    Py_INCREF(value_tell)
    Py_INCREF(implicit)
    Py_INCREF(little)
    Py_INCREF(True)
    Py_INCREF(False)
    PyTuple_SET_ITEM(raw, 0, tag)
    PyTuple_SET_ITEM(raw, 1, vr)
    PyTuple_SET_ITEM(raw, 2, length)
    PyTuple_SET_ITEM(raw, 3, value)
    PyTuple_SET_ITEM(raw, 4, value_tell)
    PyTuple_SET_ITEM(raw, 5, implicit)
    PyTuple_SET_ITEM(raw, 6, little)
    PyTuple_SET_ITEM(raw, 7, True)
    PyTuple_SET_ITEM(raw, 8, False)
    return raw


# ---- Rows to elements -------------------------------------------------------------------------

@cython.final
@cython.auto_pickle(False)
cdef class Rows:
    """An element table with the bytes it describes."""

    cdef bytes table
    cdef bytes data
    cdef uint64_t base              # offset of `data` in its source
    cdef uint64_t item_shift        # added to offsets of the outermost items only, as pydicom does
    cdef bint is_little
    cdef object read_at             # (offset, count) → bytes, for values outside `data`
    cdef object defer_size          # longer values of the top level stay unread
    cdef set wanted                 # tags of the top level to keep, or None

    cdef bytes bytes_of(self, TableRow row):
        cdef ByteCursor cursor
        if row.flags & FLAG_OUTSIDE:
            return self.read_at(row.offset, row.stored)
        cursor = slice_of(self.data, row.offset - self.base, row.stored)
        return PyBytes_FromStringAndSize(<const char*>cursor.at, cursor.left)

    cdef bint is_deferred(self, TableRow row, bint is_top) except -1:
        if not is_top or self.defer_size is None:
            return False
        if row.length != UNDEFINED_LENGTH:
            return row.tag != CHARACTER_SET and row.length > self.defer_size
        if row.flags & FLAG_ENCAPSULATED:
            return row.stored + 4 >= self.defer_size
        return row.stored >= self.defer_size

    cdef object elements(
        self, dict elements, Py_ssize_t first, Py_ssize_t end, bint is_implicit, object encoding,
        bint is_top,
    ):
        """Add the elements of rows `first` to `end` to `elements`; return the encoding at the end.

        `encoding` is what items inherit; it changes where (0008,0005) stands (PS3.5 §7.5.3).
        """
        cdef Py_ssize_t index = first
        cdef TableRow row
        cdef object tag, vr, value, raw
        while index < end:
            row = row_at(self.table, index + 1)
            if is_top and self.wanted is not None and row.tag not in self.wanted:
                index = row.next - 1
                continue
            tag = interned_tag(row.tag)
            vr = text_of_vr(row.vr[0], row.vr[1]) if row.vr[0] else None
            if row.flags & FLAG_SEQUENCE:
                if vr is None:
                    vr = dictionary_vr(row.tag)
                if vr is None or vr == "UN":
                    vr = SQ_INFERRED
                sequence = self.sequence(index + 1, row.next - 1, is_implicit, encoding, 0)
                sequence.is_undefined_length = True
                PyDict_SetItem(elements, tag, new_element(tag, vr, sequence, row.offset, True))
                index = row.next - 1
                continue
            if row.length == UNDEFINED_LENGTH and vr is None:
                vr = dictionary_vr(row.tag)
            if self.is_deferred(row, is_top):
                value = None
            elif row.length == 0:
                value = NO_BYTES if vr in EMPTY_BYTES_VRS else None
            else:
                value = self.bytes_of(row)
            raw = new_raw_element(
                tag, vr, row.length, value, row.offset, is_implicit, self.is_little
            )
            PyDict_SetItem(elements, tag, raw)
            if row.tag == CHARACTER_SET:
                encoding = encodings_of(raw)
            index += 1
        return encoding

    cdef object sequence(
        self, Py_ssize_t first, Py_ssize_t end, bint is_implicit, object encoding,
        uint64_t item_shift,
    ):
        """Return the items of rows `first` to `end` as a Sequence."""
        cdef list items = []
        cdef Py_ssize_t index = first
        cdef TableRow row
        cdef dict attributes, elements
        cdef bint is_item_implicit
        while index < end:
            row = row_at(self.table, index + 1)
            is_item_implicit = row.flags & FLAG_IMPLICIT
            elements = {}
            self.elements(elements, index + 1, row.next - 1, is_item_implicit, encoding, False)
            attributes = new_attributes(DATASET_ATTRIBUTES, elements, encoding)
            attributes["_read_implicit"] = is_item_implicit
            attributes["_read_little"] = self.is_little
            attributes["_read_charset"] = own_encodings(elements, encoding)
            attributes["is_undefined_length_sequence_item"] = row.length == UNDEFINED_LENGTH
            attributes["seq_item_tell"] = attributes["file_tell"] = row.offset + item_shift
            items.append(new_data_set(Dataset, attributes))
            index = row.next - 1
        sequence = new_object(<PyTypeObject*>Sequence, NO_ARGUMENTS, NULL)
        sequence._list = items
        return sequence


cdef object encodings_of(object raw):
    """Return the encodings that a raw (0008,0005) names, as a new list."""
    cdef object vr = raw[1]
    value = raw[3]
    if vr is not None and vr != "CS":
        raise ForeignDataSetError("(0008,0005) is no CS")
    encodings = character_set_encodings(value or NO_BYTES)
    if encodings is None:
        raise ForeignDataSetError("(0008,0005) needs correction")
    return encodings


cdef object own_encodings(dict elements, object inherited):
    """Return the encodings of a data set: its own, else those it inherits (PS3.5 §7.5.3)."""
    cdef PyObject* own = PyDict_GetItem(elements, interned_tag(CHARACTER_SET))
    if own == NULL:
        return inherited
    if type(<object>own) is not RawDataElement:
        raise ForeignDataSetError("(0008,0005) is a sequence")
    return encodings_of(<object>own)


cdef TableRow scan_head(bytes table) except *:
    return row_at(table, 0)


cdef object sequence_of_value(
    bytes value, object value_tell, bint is_implicit, bint is_little, object encoding
):
    """Return the Sequence in a value of defined length, or None where pydicom must."""
    cdef uint32_t flags = (SCAN_IMPLICIT if is_implicit else 0) | (
        0 if is_little else SCAN_BIG_ENDIAN
    )
    cdef Rows rows = Rows.__new__(Rows)
    rows.table = scanner.scan_sequence(value, flags, current_dictionary())
    cdef TableRow head = scan_head(rows.table)
    if head.tag != STATUS_COMPLETE:
        return None
    rows.data = value
    rows.is_little = is_little
    try:
        sequence = rows.sequence(0, head.next, is_implicit, encoding, value_tell)
    except ForeignDataSetError:
        return None
    sequence.is_undefined_length = False
    return sequence


# ---- A raw element on access ------------------------------------------------------------------


cdef object resolved_vr(object data_set, uint32_t number, object vr, object value):
    """Return the VR that an element is read with, or None where pydicom must find it."""
    if vr is not None and vr != "UN":
        return vr
    if (number >> 16) & 1:
        return private_vr(data_set, number)
    if vr is None:
        found = dictionary_vr(number)
        if found is None and number & 0xFFFF == 0:
            return None
        return found
    if value is not None and PyBytes_GET_SIZE(value) >= 0xFFFF:
        return vr
    return dictionary_vr(number)


cdef object private_vr(object data_set, uint32_t number):
    """Return the VR of a private element by its creator (PS3.5 §7.8.1)."""
    cdef uint32_t element = number & 0xFFFF
    if 0x10 <= element < 0x100:
        return LO_INFERRED
    if element & 0xFF00:
        creator = creator_of(data_set, number)
        if creator is not None:
            try:
                return private_dictionary_VR(interned_tag(number), creator)
            except KeyError:
                pass
    return UN_INFERRED


cdef object creator_of(object data_set, uint32_t number):
    """Return the value of the element that reserves the block of `number`, converted in place."""
    cdef object tag = interned_tag((number & 0xFFFF0000) | ((number & 0xFFFF) >> 8))
    if tag not in <dict>data_set._dict:
        return None
    return data_set[tag].value


cdef object converted(object data_set, dict elements, object tag, object raw):
    """Return the element for `raw` and keep it in the data set, or None where pydicom must."""
    cdef object vr = <object>PyTuple_GET_ITEM(raw, 1)
    cdef object value = <object>PyTuple_GET_ITEM(raw, 3)
    cdef object length = <object>PyTuple_GET_ITEM(raw, 2)
    cdef uint32_t number = tag
    cdef int code
    cdef object encoding, decoded
    if not (type(value) is bytes or (value is None and length == 0)):
        return None
    if number in LUT_DESCRIPTORS:
        return None
    vr = resolved_vr(data_set, number, vr, value)
    code = vr_code(vr)
    if code == 0:
        return None
    if length == 0:
        if code not in KNOWN_VRS:
            return None
        if code == 0x5351:  # SQ
            decoded = Sequence([])
        elif code == 0x504E:  # PN
            decoded = PersonName("")
        else:
            decoded = "" if vr in EMPTY_BYTES_VRS else None
    elif code in BYTES_VRS:
        decoded = value
    else:
        encoding = data_set._read_charset
        if not encoding:
            return None
        if code == 0x5351:
            if type(encoding) is str:
                encoding = [encoding]
            decoded = sequence_of_value(
                value, <object>PyTuple_GET_ITEM(raw, 4), <object>PyTuple_GET_ITEM(raw, 5),
                <object>PyTuple_GET_ITEM(raw, 6), encoding,
            )
        else:
            decoded = decode_value(
                code, cursor_of(value), not <object>PyTuple_GET_ITEM(raw, 6), encoding
            )
        if decoded is None:
            return None
    element = new_element(
        <object>PyTuple_GET_ITEM(raw, 0), vr, decoded, <object>PyTuple_GET_ITEM(raw, 4),
        length == UNDEFINED_LENGTH,
    )
    if (number >> 16) & 1:
        if number & 0xFFFF != (number & 0xFFFF) >> 8:
            creator = creator_of(data_set, number)
            if creator is not None:
                element.private_creator = creator
    elif number == 0x7FE00010 or number == 0x7FE00009 or number == 0x7FE00008:
        data_set._pixel_array = None
        data_set._pixel_id = {}
    elements[tag] = element
    if code == 0x5351:
        spread_pixel_representation(data_set, elements, element)
    return element


cdef set BYTES_VRS = {vr_code(vr) for vr in ("OB", "OD", "OF", "OL", "OV", "OW", "UN")}
cdef set KNOWN_VRS = {vr_code(str(vr)) for vr in pydicom.valuerep.STANDARD_VR}


cdef int spread_pixel_representation(object data_set, dict elements, object element) except -1:
    """Tell items which Pixel Representation holds for them, as pydicom does on access."""
    cdef object tag = interned_tag(PIXEL_REPRESENTATION)
    cdef dict attributes = data_set.__dict__
    cdef object representation = None
    if tag in elements:
        representation = data_set[tag].value
    elif "_pixel_rep" in attributes:
        representation = attributes["_pixel_rep"]
    if representation is not None:
        if isinstance(representation, bytes):
            representation = int(b"\x01" in representation)
        attributes["_pixel_rep"] = representation
    for item in element._value._list:
        own = None
        if tag in (<dict>item._dict):
            own = (<dict>item._dict)[tag].value
            if own is not None:
                item.__dict__["_pixel_rep"] = int(b"\x01" in own) if isinstance(own, bytes) else own
                continue
        if "_pixel_rep" in attributes:
            item.__dict__["_pixel_rep"] = attributes["_pixel_rep"]
    return 0


cdef object element_of(object data_set, object key, object parent):
    """Return `data_set[key]`, converted here if possible, else by pydicom's `parent`."""
    global fast_count, delegated_count
    cdef object stored, elements
    cdef PyObject* found
    if type(key) is BaseTag:
        elements = data_set._dict
        if type(elements) is dict:
            found = PyDict_GetItem(elements, key)
            if found == NULL:
                raise KeyError(key)
            stored = <object>found
            if type(stored) is not RawDataElement:
                return stored
            if is_default():
                element = converted(data_set, elements, key, stored)
                if element is not None:
                    fast_count += 1
                    return element
            delegated_count += 1
        return parent.__getitem__(data_set, key)
    if type(key) is int and 0 <= key <= 0xFFFFFFFF:
        return data_set[interned_tag(key)]
    return parent.__getitem__(data_set, key)


cdef list sorted_tags(object elements):
    """Return the tags in order; most data sets are, and comparing two BaseTags is Python."""
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


def _iterate(data_set):
    for tag in sorted_tags(data_set._dict):
        yield data_set[tag]


def _copied(instance):
    copied = instance.__class__.__new__(instance.__class__)
    copied.__dict__.update(instance.__dict__)
    return copied


def _deeply_copied(instance, memo):
    cls = instance.__class__
    copied = cls.__new__(cls)
    memo[id(instance)] = copied
    copied.__dict__.update(_copy.deepcopy(instance.__dict__, memo))
    return copied


class Dataset(pydicom.dataset.Dataset):
    """A pydicom data set, as item of a sequence, whose elements Cython converts on access.

    Pickles as pydicom's own class, so that whoever opens the pickle needs no dcmfast.
    """

    def __getitem__(self, key):
        return element_of(self, key, pydicom.dataset.Dataset)

    def __iter__(self):
        return _iterate(self)

    def __reduce_ex__(self, protocol):
        return _new_of, (pydicom.dataset.Dataset, object, None), self.__dict__

    def __copy__(self):
        return _copied(self)

    def __deepcopy__(self, memo):
        return _deeply_copied(self, memo)


class FileMetaDataset(pydicom.dataset.FileMetaDataset):
    """pydicom's file meta information, whose elements Cython converts on access."""

    def __getitem__(self, key):
        return element_of(self, key, pydicom.dataset.FileMetaDataset)

    def __iter__(self):
        return _iterate(self)

    def __reduce_ex__(self, protocol):
        return _new_of, (pydicom.dataset.FileMetaDataset, object, None), self.__dict__

    def __copy__(self):
        return _copied(self)

    def __deepcopy__(self, memo):
        return _deeply_copied(self, memo)


class FileDataset(pydicom.dataset.FileDataset):
    """pydicom's data set of a file, whose elements Cython converts on access."""

    def __getitem__(self, key):
        return element_of(self, key, pydicom.dataset.FileDataset)

    def __iter__(self):
        return _iterate(self)

    def __reduce_ex__(self, protocol):
        return _new_of, (pydicom.dataset.FileDataset, object, None), self.__dict__

    def __copy__(self):
        return _copied(self)


cdef dict FILE_DATASET_ATTRIBUTES = dict(
    pydicom.dataset.FileDataset("", {}, None, pydicom.dataset.FileMetaDataset()).__dict__
)


# ---- Reading ----------------------------------------------------------------------------------


@cython.final
@cython.auto_pickle(False)
cdef class Source:
    """Where bytes come from: `read_at(offset, count)`, and where they end."""

    cdef public object read_at
    cdef public uint64_t end

    def __init__(self, read_at, uint64_t end):
        self.read_at = read_at
        self.end = end


def head_bytes(bint stop_before_pixels, uint64_t size):
    """Return how many bytes of a source of `size` bytes to read first."""
    if stop_before_pixels:
        return min(size, HEAD_BYTES)
    return size if size <= WHOLE_BYTES else WINDOW_BYTES


def read_file_meta(bytes window, Py_ssize_t start, uint64_t base, uint64_t end):
    """Return the file meta information at index `start` and the offset after it (PS3.10 §7.1).

    Raises ForeignDataSetError where pydicom would warn or try again.
    """
    cdef Rows rows = Rows.__new__(Rows)
    cdef dict elements = {}
    rows.table = scanner.scan_data_set(
        window, start, base, end, SCAN_START | SCAN_STOP_AFTER_FILE_META, current_dictionary()
    )
    cdef TableRow head = scan_head(rows.table)
    if head.tag != STATUS_COMPLETE and head.tag != STATUS_STOPPED:
        raise ForeignDataSetError("file meta information")
    rows.data = window
    rows.base = base
    rows.is_little = True
    rows.elements(elements, 0, head.next, False, DEFAULT_ENCODING, False)
    attributes = new_attributes(FILE_META_ATTRIBUTES, elements, DEFAULT_ENCODING)
    attributes["_read_implicit"] = False
    attributes["_read_little"] = True
    attributes["_read_charset"] = DEFAULT_ENCODING
    file_meta = new_data_set(FileMetaDataset, attributes)
    if elements:
        # pydicom converts these while reading: the first, those without value, and two by name.
        # What it would warn about is left to it.
        for tag in sorted_tags(elements):
            stored = elements[tag]
            if type(stored) is RawDataElement and <object>PyTuple_GET_ITEM(stored, 3) is None:
                convert_quietly(file_meta, elements, tag)
        convert_quietly(file_meta, elements, sorted_tags(elements)[0])
        convert_quietly(file_meta, elements, interned_tag(0x00020000))
        convert_quietly(file_meta, elements, interned_tag(0x00020010))
    return file_meta, head.offset


cdef int convert_quietly(object data_set, dict elements, object tag) except -1:
    stored = elements.get(tag)
    if type(stored) is RawDataElement and converted(data_set, elements, tag, stored) is None:
        raise ForeignDataSetError("an element of the file meta information")
    return 0


def read_elements(
    Source source, bytes window, Py_ssize_t start, uint64_t base, bint is_implicit,
    bint is_little_endian, bint stop_before_pixels, object defer_size, set wanted,
):
    """Read the data set that starts at index `start` of `window`, which starts at `base`.

    Returns the elements, the encodings of the data set, and the offset where reading ended. Long
    values are read once, from the source into their own bytes. Raises ForeignDataSetError where
    only pydicom's reader knows what to do.
    """
    cdef Rows rows = Rows.__new__(Rows)
    cdef dict elements = {}
    cdef object encoding = DEFAULT_ENCODING
    cdef TableRow head
    cdef Py_ssize_t count
    cdef uint64_t offset
    cdef uint32_t flags = SCAN_START
    if is_implicit:
        flags |= SCAN_IMPLICIT
    if not is_little_endian:
        flags |= SCAN_BIG_ENDIAN
    if stop_before_pixels:
        flags |= SCAN_STOP_AT_PIXEL_DATA
    rows.is_little = is_little_endian
    rows.read_at = source.read_at
    rows.defer_size = defer_size
    rows.wanted = wanted
    dictionary = current_dictionary()
    while True:
        rows.table = scanner.scan_data_set(window, start, base, source.end, flags, dictionary)
        rows.data = window
        rows.base = base
        head = scan_head(rows.table)
        offset = head.offset
        count = head.next
        if head.tag == STATUS_FOREIGN:
            raise ForeignDataSetError(f"reason {head.length}")
        if head.tag == STATUS_FRAGMENTS:
            count -= 1  # the last row's value is not known yet
        encoding = rows.elements(elements, 0, count, is_implicit, encoding, True)
        if head.tag == STATUS_FRAGMENTS:
            offset = add_fragments(rows, source, elements, count, offset, is_implicit)
        elif head.tag == STATUS_COMPLETE or head.tag == STATUS_STOPPED:
            break
        count = WINDOW_BYTES
        if head.tag == STATUS_WIDER:
            count = 4 * max(PyBytes_GET_SIZE(window), WINDOW_BYTES)
        flags &= ~<uint32_t>SCAN_START
        window = source.read_at(offset, min(<uint64_t>count, source.end - offset))
        if PyBytes_GET_SIZE(window) < count:
            source.end = offset + PyBytes_GET_SIZE(window)  # also if the file shrank meanwhile
        base = offset
        start = 0
    # pydicom's reader asks for the character set, which converts it in place.
    tag = interned_tag(CHARACTER_SET)
    if tag in elements:
        encoding = own_encodings(elements, DEFAULT_ENCODING)
        raw = elements[tag]
        holder = new_data_set(
            Dataset, new_attributes(DATASET_ATTRIBUTES, elements, DEFAULT_ENCODING)
        )
        holder._read_charset = DEFAULT_ENCODING
        if converted(holder, elements, tag, raw) is None:
            raise ForeignDataSetError("(0008,0005) needs correction")
    else:
        encoding = DEFAULT_ENCODING
    return elements, encoding, offset


cdef uint64_t add_fragments(
    Rows rows, Source source, dict elements, Py_ssize_t index, uint64_t offset, bint is_implicit
) except? 0:
    """Find the end of the fragments of row `index`, add its element, return where it ends."""
    cdef TableRow row = row_at(rows.table, index + 1)
    cdef Py_ssize_t count = 4096
    while True:
        window = source.read_at(offset, min(<uint64_t>count, source.end - offset))
        walked = scanner.walk_fragments(window, offset, source.end, not rows.is_little)
        if walked is None:
            raise ForeignDataSetError("fragments without an end")
        if walked[0]:
            break
        if walked[1] == offset:
            raise ForeignDataSetError("the source shrank")
        # Many small fragments: read more of them at once.
        if walked[1] < offset + 2 * <uint64_t>count:
            count = min(4 * count, WHOLE_BYTES)
        offset = walked[1]
    row.stored = <uint64_t>walked[1] - row.offset
    if rows.wanted is None or row.tag in rows.wanted:
        tag = interned_tag(row.tag)
        vr = text_of_vr(row.vr[0], row.vr[1]) if row.vr[0] else dictionary_vr(row.tag)
        value = None
        if not rows.is_deferred(row, True):
            value = source.read_at(row.offset, row.stored)
        elements[tag] = new_raw_element(
            tag, vr, row.length, value, row.offset, is_implicit, rows.is_little
        )
    return min(<uint64_t>walked[1] + 8, source.end)


def new_file_data_set(
    str filename, object timestamp, dict elements, object encoding, object preamble,
    object file_meta, bint is_implicit, bint is_little_endian,
):
    """Return the FileDataset of a path, as pydicom's constructor would leave it."""
    cdef dict attributes = new_attributes(FILE_DATASET_ATTRIBUTES, elements, DEFAULT_ENCODING)
    attributes["preamble"] = preamble
    attributes["file_meta"] = file_meta
    attributes["_is_implicit_VR"] = attributes["_read_implicit"] = is_implicit
    attributes["_is_little_endian"] = attributes["_read_little"] = is_little_endian
    attributes["_read_charset"] = encoding
    attributes["fileobj_type"] = open
    attributes["filename"] = filename
    attributes["timestamp"] = timestamp
    return new_data_set(FileDataset, attributes)


# ---- Writing ----------------------------------------------------------------------------------


def copied_file_meta(file_meta):
    """Return a copy of file meta information that may be completed without touching the original.

    Elements are copied one deep: their values are replaced, never changed, by what writes them.
    """
    cdef dict elements = {}
    cdef dict attributes
    if file_meta is None:
        return pydicom.dataset.FileMetaDataset()
    if type(file_meta) not in (FileMetaDataset, pydicom.dataset.FileMetaDataset):
        return _copy.deepcopy(file_meta)
    for tag, element in file_meta._dict.items():
        if type(element) is RawDataElement:
            elements[tag] = element
        elif type(element) is DataElement:
            copied = new_object(<PyTypeObject*>DataElement, NO_ARGUMENTS, NULL)
            copied.__dict__.update(element.__dict__)
            elements[tag] = copied
        else:
            return _copy.deepcopy(file_meta)
    attributes = PyDict_Copy(file_meta.__dict__)
    attributes["_dict"] = elements
    return new_data_set(FileMetaDataset, attributes)
