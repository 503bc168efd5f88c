# The C functions that _members.py calls; used if it is compiled with Cython.

cdef extern from *:
    """
    #include <structmember.h>

    /* Set cls.name to a descriptor of the object pointer at an offset in each instance. */
    static int add_member(PyObject *cls, PyObject *name, Py_ssize_t offset) {
        PyTypeObject *type = (PyTypeObject *)cls;
        PyObject *descriptor;
        int result;
        PyMemberDef *member = PyMem_Calloc(1, sizeof(PyMemberDef)); /* lives as long as the class */
        if (member == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        member->name = PyUnicode_AsUTF8(name); /* belongs to an interned constant */
        member->type = T_OBJECT_EX;
        member->offset = offset;
        descriptor = PyDescr_NewMember(type, member);
        if (descriptor == NULL) {
            return -1;
        }
        result = PyDict_SetItem(type->tp_dict, name, descriptor);
        Py_DECREF(descriptor);
        PyType_Modified(type);
        return result;
    }

    /* Allocate an object that the garbage collector does not track. */
    static PyObject *allocate_untracked(PyTypeObject *type, Py_ssize_t Py_UNUSED(items)) {
        PyObject *object = PyObject_GC_New(PyObject, type);
        if (object != NULL) {
            memset(object + 1, 0, type->tp_basicsize - sizeof(PyObject));
        }
        return object;
    }

    static void set_untracked(PyObject *cls) {
        ((PyTypeObject *)cls)->tp_alloc = allocate_untracked;
    }
    """
    void set_untracked(object cls)
    int add_member(object cls, object name, Py_ssize_t offset) except -1
