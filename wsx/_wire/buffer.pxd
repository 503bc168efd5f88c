# C types of _assembly.py, where Cython compiles it.
cimport cython


cdef class Assembly:
    cdef bytearray _data
    cdef Py_ssize_t _size

    @cython.locals(kept=Py_ssize_t, spare=Assembly)
    cpdef object frame(self, int opcode)
