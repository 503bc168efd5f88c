# C types of batch.py, for Cython.


cdef class ServerClose:
    cdef public int code
    cdef public object message


cdef class Batch:
    cdef public list frames
    cdef public bint has_controls
    cdef public list fragmented
    cdef public object end
    cdef public bint more
    cdef public Py_ssize_t missing
