# C types of encoder.py, for Cython.
cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize

from wsx.frames cimport Frame, Text, wire_payload


cdef inline bytes new_bytes(Py_ssize_t size):
    return PyBytes_FromStringAndSize(NULL, size)


cdef Py_ssize_t _LONG_PAYLOAD
cdef bint _COMPILED


@cython.locals(length=Py_ssize_t, key=bytes, masked=bytearray)
cpdef bytes apply_mask(bytes payload, bytes mask)


@cython.locals(
    whole=Py_ssize_t,
    i=Py_ssize_t,
    one="unsigned char",
    two="unsigned char",
    three="unsigned char",
    four="unsigned char",
)
cdef void _mask_bytewise(
    const unsigned char *payload,
    Py_ssize_t length,
    const unsigned char *mask,
    unsigned char *target,
    Py_ssize_t start,
) noexcept


cdef class MaskSource:
    cdef bytes _pool
    cdef Py_ssize_t _next
    cdef public object apply_long

    @cython.locals(start=Py_ssize_t)
    cpdef bytes take(self)


@cython.locals(length=Py_ssize_t, first=cython.int)
cpdef bytes encode(int opcode, bytes payload, bytes mask, int flags=*)


@cython.locals(
    length=Py_ssize_t,
    start=Py_ssize_t,
    i=Py_ssize_t,
    frame=bytes,
    target="unsigned char *",
)
cpdef bytes _encode_bytewise(int first, bytes payload, bytes mask)


cdef bytes _allocate(Py_ssize_t size)


@cython.locals(source=MaskSource)
cpdef bytes encode_frame(object frame)
