# What other Cython modules use of text_codec.pyx.

from dcmfast._cython.byte_cursor cimport ByteCursor


cdef object multi_value(object constructor, list values)
cdef object decode_default(ByteCursor text)
cdef object decode_text(ByteCursor text, object encodings, Py_ssize_t max_chars, bint is_single)
cdef object decode_person_name(ByteCursor text, object encodings)
cdef bytes encode_text(str text, object encodings)
