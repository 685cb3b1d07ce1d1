/* What somebody would write by hand in C: a tree of accounts, one compare-and-swap a level, peaks from the values that the
 * updates returned, a handle object that gives back on release() or when it is dropped, and numbered handles in batches.
 *
 * No labels, no holders, no timeline, no clock; refusals carry no numbers. It is the floor of an extension module that
 * keeps such a tree at all. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <stdint.h>

#define DEPTH_MOST 8

typedef struct {
    _Alignas(64) _Atomic uint64_t charged;
    _Atomic uint64_t peak;
    uint64_t limit;
} Level;

typedef struct Account {
    PyObject_HEAD
    struct Account *parent;
    Level *level;
    int depth;
    Level *path[DEPTH_MOST]; /* from this account to the root */
} Account;

typedef struct {
    PyObject_HEAD
    Account *account;
    uint64_t bytes;
    _Atomic int live;
} Handle;

static PyTypeObject AccountType, HandleType;

static int charge(Level *level, uint64_t bytes, uint64_t *now)
{
    uint64_t charged = atomic_load_explicit(&level->charged, memory_order_relaxed);
    do {
        if (bytes > level->limit - charged)
            return 0;
        *now = charged + bytes;
    } while (!atomic_compare_exchange_weak_explicit(&level->charged, &charged, *now, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return 1;
}

static void discharge_path(Account *account, int depth, uint64_t bytes)
{
    for (int i = 0; i < depth; i++)
        atomic_fetch_sub_explicit(&account->path[i]->charged, bytes, memory_order_release);
}

static int charge_path(Account *account, uint64_t bytes)
{
    uint64_t now[DEPTH_MOST];
    for (int i = 0; i < account->depth; i++) {
        if (!charge(account->path[i], bytes, &now[i])) {
            discharge_path(account, i, bytes);
            PyErr_SetString(PyExc_MemoryError, "over the limit");
            return 0;
        }
    }
    for (int i = 0; i < account->depth; i++) {
        uint64_t peak = atomic_load_explicit(&account->path[i]->peak, memory_order_relaxed);
        while (now[i] > peak && !atomic_compare_exchange_weak(&account->path[i]->peak, &peak, now[i]))
            ;
    }
    return 1;
}

static int size_of(PyObject *number, uint64_t *bytes)
{
    *bytes = PyLong_AsUnsignedLongLong(number);
    return !(*bytes == (uint64_t)-1 && PyErr_Occurred());
}

static PyObject *account_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    unsigned long long limit;
    PyObject *parent = Py_None;
    if (kwargs || !PyArg_ParseTuple(args, "KO", &limit, &parent))
        return NULL;
    if (parent != Py_None && !PyObject_TypeCheck(parent, &AccountType)) {
        PyErr_SetString(PyExc_TypeError, "parent is no account");
        return NULL;
    }
    Account *above = parent == Py_None ? NULL : (Account *)parent;
    if (above && above->depth == DEPTH_MOST) {
        PyErr_SetString(PyExc_ValueError, "too deep");
        return NULL;
    }
    Account *self = (Account *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->level = aligned_alloc(64, sizeof(Level));
    if (!self->level) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    atomic_init(&self->level->charged, 0);
    atomic_init(&self->level->peak, 0);
    self->level->limit = limit;
    self->path[0] = self->level;
    self->depth = 1;
    if (above) {
        Py_INCREF(above);
        self->parent = above;
        for (int i = 0; i < above->depth; i++)
            self->path[self->depth++] = above->path[i];
    }
    return (PyObject *)self;
}

static void account_dealloc(Account *self)
{
    free(self->level);
    Py_XDECREF(self->parent);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *account_reserve(Account *self, PyObject *size)
{
    uint64_t bytes;
    if (!size_of(size, &bytes) || !charge_path(self, bytes))
        return NULL;
    Handle *handle = PyObject_New(Handle, &HandleType);
    if (!handle) {
        discharge_path(self, self->depth, bytes);
        return NULL;
    }
    Py_INCREF(self);
    handle->account = self;
    handle->bytes = bytes;
    atomic_init(&handle->live, 1);
    return (PyObject *)handle;
}

static PyObject *account_charge(Account *self, PyObject *size)
{
    uint64_t bytes;
    if (!size_of(size, &bytes) || !charge_path(self, bytes))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *account_discharge(Account *self, PyObject *size)
{
    uint64_t bytes;
    if (!size_of(size, &bytes))
        return NULL;
    discharge_path(self, self->depth, bytes);
    Py_RETURN_NONE;
}

static PyObject *account_nothing(Account *self, PyObject *size)
{
    (void)self;
    (void)size;
    Py_RETURN_NONE;
}

/* Numbered handles: slot << 32 | generation. The interpreter's lock guards the list of free slots. */
typedef struct {
    uint64_t state; /* generation << 1 | live */
    uint64_t bytes;
    Account *account;
    uint32_t next;
} Slot;

static Slot *slots;
static uint32_t slots_made, slots_room, slots_free = UINT32_MAX;

static int room_for(Py_ssize_t count)
{
    uint64_t wanted = (uint64_t)slots_made + (uint64_t)count;
    if (wanted <= slots_room)
        return 1;
    if (wanted > UINT32_MAX / 2) {
        PyErr_NoMemory();
        return 0;
    }
    Slot *more = realloc(slots, wanted * 2 * sizeof(Slot));
    if (!more) {
        PyErr_NoMemory();
        return 0;
    }
    slots = more;
    slots_room = (uint32_t)wanted * 2;
    return 1;
}

static uint64_t slot_take(Account *account, uint64_t bytes)
{
    uint32_t id = slots_free;
    if (id == UINT32_MAX) {
        id = slots_made++;
        slots[id].state = 0;
    } else {
        slots_free = slots[id].next;
    }
    Slot *slot = &slots[id];
    slot->state |= 1;
    slot->bytes = bytes;
    slot->account = account;
    return (uint64_t)id << 32 | (uint32_t)(slot->state >> 1);
}

static int buffers(PyObject *args, const char *format, Py_buffer *one, Py_buffer *other)
{
    if (!PyArg_ParseTuple(args, format, one, other))
        return 0;
    if (one->len == other->len && one->len % 8 == 0)
        return 1;
    PyErr_SetString(PyExc_ValueError, "as many 64-bit sizes as handles");
    PyBuffer_Release(one);
    PyBuffer_Release(other);
    return 0;
}

/* reserve_many(sizes, handles): every size or none; writes a handle for each. */
static PyObject *account_reserve_many(Account *self, PyObject *args)
{
    Py_buffer from, into;
    if (!buffers(args, "y*w*", &from, &into))
        return NULL;
    const uint64_t *sizes = from.buf;
    uint64_t *handles = into.buf, total = 0;
    Py_ssize_t count = from.len / 8;
    int done = 1;
    for (Py_ssize_t i = 0; i < count && done; i++)
        done = !__builtin_add_overflow(total, sizes[i], &total);
    if (!done)
        PyErr_SetString(PyExc_OverflowError, "more than 64 bits of bytes");
    done = done && room_for(count) && charge_path(self, total);
    for (Py_ssize_t i = 0; i < count && done; i++)
        handles[i] = slot_take(self, sizes[i]);
    PyBuffer_Release(&from);
    PyBuffer_Release(&into);
    if (!done)
        return NULL;
    Py_RETURN_NONE;
}

/* release_many(handles): gives back what is live; tells how many that were. */
static PyObject *account_release_many(Account *self, PyObject *array)
{
    Py_buffer from;
    if (PyObject_GetBuffer(array, &from, PyBUF_SIMPLE))
        return NULL;
    const uint64_t *handles = from.buf;
    Py_ssize_t count = from.len / 8, live = 0;
    uint64_t total = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)(handles[i] >> 32);
        if (id >= slots_made)
            continue;
        Slot *slot = &slots[id];
        if (slot->state != ((handles[i] & UINT32_MAX) << 1 | 1) || slot->account != self)
            continue;
        slot->state += 1; /* the next generation, not live */
        slot->next = slots_free;
        slots_free = id;
        total += slot->bytes;
        live++;
    }
    discharge_path(self, self->depth, total);
    PyBuffer_Release(&from);
    return PyLong_FromSsize_t(live);
}

static PyObject *account_used(Account *self, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(atomic_load(&self->level->charged));
}

static int give_back(Handle *self)
{
    if (!atomic_exchange_explicit(&self->live, 0, memory_order_acq_rel))
        return 0;
    discharge_path(self->account, self->account->depth, self->bytes);
    return 1;
}

static PyObject *handle_release(Handle *self, PyObject *none)
{
    (void)none;
    return PyBool_FromLong(give_back(self));
}

static PyObject *handle_enter(PyObject *self, PyObject *none)
{
    (void)none;
    Py_INCREF(self);
    return self;
}

static PyObject *handle_exit(Handle *self, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    give_back(self);
    Py_RETURN_NONE;
}

static void handle_dealloc(Handle *self)
{
    give_back(self);
    Py_DECREF(self->account);
    PyObject_Free(self);
}

static PyMethodDef account_methods[] = {
    {"reserve", (PyCFunction)account_reserve, METH_O, NULL},
    {"charge", (PyCFunction)account_charge, METH_O, NULL},
    {"discharge", (PyCFunction)account_discharge, METH_O, NULL},
    {"nothing", (PyCFunction)account_nothing, METH_O, NULL},
    {"reserve_many", (PyCFunction)account_reserve_many, METH_VARARGS, NULL},
    {"release_many", (PyCFunction)account_release_many, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef account_fields[] = {
    {"used", (getter)account_used, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef handle_methods[] = {
    {"release", (PyCFunction)handle_release, METH_NOARGS, NULL},
    {"__enter__", (PyCFunction)handle_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))handle_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject AccountType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ledger_c.Account",
    .tp_basicsize = sizeof(Account),
    .tp_dealloc = (destructor)account_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = account_methods,
    .tp_getset = account_fields,
    .tp_new = account_new,
};

static PyTypeObject HandleType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ledger_c.Handle",
    .tp_basicsize = sizeof(Handle),
    .tp_dealloc = (destructor)handle_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = handle_methods,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "ledger_c", .m_size = -1};

PyMODINIT_FUNC PyInit_ledger_c(void)
{
    if (PyType_Ready(&AccountType) || PyType_Ready(&HandleType))
        return NULL;
    PyObject *made = PyModule_Create(&module);
    if (made && PyModule_AddObjectRef(made, "Account", (PyObject *)&AccountType)) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
