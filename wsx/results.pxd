# C declarations for results.py; used if it is compiled with Cython.

cdef class _Result:
    cdef public object state


cdef class Ok(_Result):
    pass


cdef class Reply(_Result):
    cdef public object frame


cdef class Close(_Result):
    cdef public object code
    cdef public object message


cdef class Reconnect(_Result):
    cdef public object conn
    cdef public object after
