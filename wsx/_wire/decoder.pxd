# C types of decoder.py, for Cython.
cimport cython

from wsx._wire.assembler cimport MessageAssembler
from wsx._wire.batch cimport Batch
from wsx.frames cimport Binary, Frame, Text

cdef int _OPCODE, _LENGTH, _FINAL_TEXT, _FINAL_BINARY
cdef Py_ssize_t _MAX_MEDIUM_LENGTH, _MAX_FRAGMENTS_PER_BATCH, _MAX_INFLATED_PER_BATCH


cdef class Decoder:
    cdef MessageAssembler _assembler
    cdef bint _may_compress
    cdef Py_ssize_t _max_length
    cdef bytes _undecoded
    cdef Py_ssize_t _start
    cdef Py_ssize_t _missing
    cdef bint _final
    cdef bint _ended
    cdef Py_ssize_t _inflated

    @cython.locals(batch=Batch)
    cpdef Batch feed(self, bytes data)

    @cython.locals(pos=Py_ssize_t)
    cdef object _decode(self, bytes data, Batch batch)

    cdef Py_ssize_t _continue_payload(self, bytes data, Batch batch) except -2

    cdef object _add_payload(self, bytes part, Batch batch)

    cdef object _complete(self, object frame, Batch batch)

    @cython.locals(end=Py_ssize_t, after=Py_ssize_t, decoded=Py_ssize_t, frames=list)
    cdef Py_ssize_t _decode_frames(self, bytes data, Py_ssize_t pos, Batch batch) except -2


@cython.locals(
    end=Py_ssize_t,
    start=Py_ssize_t,
    stop=Py_ssize_t,
    length=Py_ssize_t,
    left=Py_ssize_t,
    _=Py_ssize_t,
    first=cython.int,
    text=Text,
    binary=Binary,
)
cdef Py_ssize_t _decode_short_messages(
    bytes data, Py_ssize_t pos, Py_ssize_t max_length, list frames
) except -2


@cython.locals(first=cython.int, length=Py_ssize_t)
cdef bint _may_wait(bytes data, Py_ssize_t pos, Py_ssize_t max_length) except -2
