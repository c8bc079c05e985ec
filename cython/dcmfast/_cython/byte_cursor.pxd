# Bounded reading of borrowed bytes.
#
# The one place in cython/ that moves a raw pointer. Everything is inline in this .pxd, so a module
# that cimports it pays no call. A cursor owns nothing: the caller keeps the object alive from which
# it was made. Byte order is always said; rows of an element table alone are in native order, as
# rust/core/src/dataset/element_table.rs (the layout's home) writes them.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy


cdef struct ByteCursor:
    const unsigned char* at     # next unread byte
    Py_ssize_t left             # unread bytes; never negative


cdef struct RoomCursor:
    unsigned char* at           # next byte to write
    Py_ssize_t left             # bytes of room; never negative


cdef packed struct TableRow:
    uint32_t tag
    uint8_t vr[2]
    uint16_t flags
    uint32_t length
    uint32_t next
    uint64_t offset
    uint64_t stored


cdef inline ByteCursor cursor_of(bytes owner) noexcept:
    """Return a cursor over all of `owner`, which must outlive it."""
    cdef ByteCursor cursor
    cursor.at = <const unsigned char*>PyBytes_AS_STRING(owner)
    cursor.left = PyBytes_GET_SIZE(owner)
    return cursor


cdef inline const unsigned char* take(ByteCursor* cursor, Py_ssize_t count) except NULL:
    """Return the next `count` bytes and step past them, or raise; nothing is read on failure."""
    if count < 0 or count > cursor.left:
        raise ValueError(f"need {count} bytes, {cursor.left} left")
    cdef const unsigned char* start = cursor.at
    cursor.at += count
    cursor.left -= count
    return start


cdef inline RoomCursor room_of(bytes owner) noexcept:
    """Return a cursor for filling `owner`, which nobody else has seen yet."""
    cdef RoomCursor room
    room.at = <unsigned char*>PyBytes_AS_STRING(owner)
    room.left = PyBytes_GET_SIZE(owner)
    return room


cdef inline unsigned char* fill(RoomCursor* room, Py_ssize_t count) except NULL:
    """Return where the next `count` bytes go and step past them, or raise if there is no room."""
    if count < 0 or count > room.left:
        raise ValueError(f"need room for {count} bytes, {room.left} left")
    cdef unsigned char* start = room.at
    room.at += count
    room.left -= count
    return start


cdef inline ByteCursor slice_of(bytes owner, uint64_t start, uint64_t count) except *:
    """Return a cursor over `count` bytes of `owner` from `start`, or raise if they do not exist."""
    cdef ByteCursor cursor = cursor_of(owner)
    if start > <uint64_t>cursor.left or count > <uint64_t>cursor.left - start:
        raise ValueError(f"no {count} bytes at {start} of {cursor.left}")
    cursor.at += <Py_ssize_t>start
    cursor.left = <Py_ssize_t>count
    return cursor


cdef inline TableRow row_at(bytes table, Py_ssize_t index) except *:
    """Return row `index` of an element table; row 0 describes the scan."""
    cdef TableRow row
    cdef ByteCursor cursor = slice_of(
        table, <uint64_t>index * sizeof(TableRow), sizeof(TableRow)
    )
    memcpy(&row, cursor.at, sizeof(TableRow))
    return row


cdef inline int byte_at(const ByteCursor* cursor, Py_ssize_t index) noexcept nogil:
    """Return the byte at `index`, or -1 outside the cursor."""
    if index < 0 or index >= cursor.left:
        return -1
    return cursor.at[index]


cdef inline Py_ssize_t find_byte(const ByteCursor* cursor, int wanted) noexcept nogil:
    """Return the index of the first byte `wanted`, or -1."""
    cdef const void* found
    if cursor.left == 0:
        return -1
    found = memchr(cursor.at, wanted, <size_t>cursor.left)
    if found == NULL:
        return -1
    return <const unsigned char*>found - cursor.at


cdef inline ByteCursor trimmed_right(ByteCursor cursor) noexcept nogil:
    """Return `cursor` without trailing spaces and NULs, the padding of PS3.5 §6.2."""
    while cursor.left > 0 and (cursor.at[cursor.left - 1] == 32 or cursor.at[cursor.left - 1] == 0):
        cursor.left -= 1
    return cursor


cdef inline ByteCursor trimmed_spaces(ByteCursor cursor) noexcept nogil:
    """Return `cursor` without leading and trailing spaces."""
    while cursor.left > 0 and cursor.at[cursor.left - 1] == 32:
        cursor.left -= 1
    while cursor.left > 0 and cursor.at[0] == 32:
        cursor.at += 1
        cursor.left -= 1
    return cursor


cdef inline bint next_piece(ByteCursor* rest, ByteCursor* piece) noexcept nogil:
    """Cut the bytes up to the next backslash off `rest`; False where that was the last piece."""
    cdef Py_ssize_t end = find_byte(rest, 92)
    piece.at = rest.at
    if end < 0:
        piece.left = rest.left
        rest.at += rest.left
        rest.left = 0
        return False
    piece.left = end
    rest.at += end + 1
    rest.left -= end + 1
    return True


cdef inline bint is_ascii(ByteCursor cursor) noexcept nogil:
    """True if no byte has its highest bit set and none is an escape (PS3.5 §6.1.2.5.1)."""
    cdef Py_ssize_t index
    cdef unsigned char seen = 0
    for index in range(cursor.left):
        seen |= cursor.at[index]
    return seen < 128 and find_byte(&cursor, 27) < 0


cdef inline uint64_t load(const unsigned char* start, int count, bint is_big_endian) noexcept nogil:
    """Return the unsigned number in the `count` (at most 8) bytes that the caller took."""
    cdef uint64_t number = 0
    cdef int index
    if is_big_endian:
        for index in range(count):
            number = (number << 8) | start[index]
    else:
        for index in range(count - 1, -1, -1):
            number = (number << 8) | start[index]
    return number


cdef inline void store(
    unsigned char* start, uint64_t number, int count, bint is_big_endian
) noexcept nogil:
    """Write the low `count` bytes of `number` where the caller made room for them."""
    cdef int index
    for index in range(count):
        if is_big_endian:
            start[count - 1 - index] = <unsigned char>(number >> (8 * index))
        else:
            start[index] = <unsigned char>(number >> (8 * index))
