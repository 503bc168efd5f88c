# C types of buffer.py, for Cython.
cimport cython


cdef class MessageBuffer:
    cdef bytearray _data
    cdef Py_ssize_t _size

    @cython.locals(kept=Py_ssize_t, spare=MessageBuffer)
    cpdef object frame(self, int opcode)
