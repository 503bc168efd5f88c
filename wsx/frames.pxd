# C declarations for frames.py; used if it is compiled with Cython.
cimport cython

cdef class Frame:
    cdef public object payload


cdef class Text(Frame):
    pass


cdef class _Bytes(Frame):
    pass


cdef class Binary(_Bytes):
    pass


cdef class _Control(_Bytes):
    pass


cdef class Ping(_Control):
    pass


cdef class Pong(_Control):
    pass


@cython.locals(known=Frame)
cpdef bytes wire_payload(object frame)
