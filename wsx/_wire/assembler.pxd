# C types of assembler.py, for Cython.
from wsx._wire.buffer cimport MessageBuffer


cdef class MessageAssembler:
    cdef public int opcode
    cdef public bint fragmented
    cdef public Py_ssize_t inflated
    cdef object _limit
    cdef object _inflater
    cdef bint _compressed
    cdef Py_ssize_t _size
    cdef Py_ssize_t _parts
    cdef Py_ssize_t _empty_fragments
    cdef MessageBuffer _buffer
    cdef bint _checks_text
    cdef bytes _incomplete

    cpdef object begin(self, int opcode, bint compressed)
    cpdef object announce(self, object length)
    cpdef object add(self, bytes part, bint is_last)
