# C types of _codec.py, where Cython compiles it.
cimport cython

from wsx._wire.buffer cimport Assembly
from wsx.frames cimport Binary, Frame, Text

cdef int _OPCODE, _LENGTH, _FINAL_TEXT, _FINAL_BINARY
cdef Py_ssize_t _LONGEST_ORDINARY


cdef class Decoder:
    cdef public object failure
    cdef public object close
    cdef public list own_pongs
    cdef public list joined
    cdef public bint controls
    cdef public bint more
    cdef public Py_ssize_t remaining
    cdef object _limit
    cdef Py_ssize_t _most
    cdef object _inflater
    cdef object _own_pong
    cdef bytes _undone
    cdef Py_ssize_t _begin
    cdef bint _final
    cdef int _opcode
    cdef bint _compressed
    cdef bint _fragmented
    cdef Py_ssize_t _size
    cdef Assembly _parts
    cdef bint _judging
    cdef bytes _undecoded

    @cython.locals(pos=Py_ssize_t)
    cdef object _decode(self, bytes data, list frames)

    cdef Py_ssize_t _continue_payload(self, bytes data, list frames) except -2

    @cython.locals(end=Py_ssize_t, after=Py_ssize_t)
    cdef Py_ssize_t _decode_frames(self, bytes data, Py_ssize_t pos, list frames) except -2


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
cdef Py_ssize_t _decode_ordinary(
    bytes data, Py_ssize_t pos, Py_ssize_t most, list frames
) except -2


@cython.locals(first=cython.int, length=Py_ssize_t)
cdef bint _may_wait(bytes data, Py_ssize_t pos, Py_ssize_t most) except -2
