# C types of _assembly.py, where Cython compiles it.

cdef class Assembly:
    cdef bytearray _data
    cdef Py_ssize_t _size
