# What other Cython modules use of value_codec.pyx.

from libc.stdint cimport uint32_t

from dcmfast._cython.byte_cursor cimport ByteCursor


cdef object interned_tag(uint32_t number)
cdef int vr_code(object vr) noexcept
cdef object decode_value(int vr, ByteCursor value, bint is_big_endian, object encodings)
cdef bytes encode_value(int vr, object value, bint is_big_endian, object encodings)
