//! The memory handler that NumPy calls (NEP 49), and the context variable that it stands in. All that is unsafe about
//! them is in this file.
//!
//! A handler of ours stands on the one that was current when a block was entered, its *base*: NumPy's own with its
//! cache and huge pages, or one that somebody else installed. Before each block lies a stamp:
//!
//! ```text
//! base's block    data, what NumPy sees
//! ▼               ▼
//! ┌───────┬───────┬──────────────────┐   prefix: 16 bytes on NumPy's own handler, which aligns to no more than that;
//! │ size  │ check │ data ...         │   64 on another, since alignment, to a cache line or a vector register, is
//! └───────┴───────┴──────────────────┘   what other handlers are written for. The stamp ends where the data begins.
//! ```
//!
//! The stamp holds the size as it was booked, because the size that NumPy hands to `free` is the array's size at the
//! end, which is not always what was allocated. The check word tells a block of ours from anything else; a block that
//! fails the check is neither freed nor given back.
//!
//! **Order.** A block is booked before it is made and given back after it is gone, so that the account never holds less
//! than lives.
//!
//! **Lifetime.** An array holds its handler's capsule, the capsule holds the context and the capsule that was current
//! before, down to the base. So whatever a call needs outlives the array, in any thread and after the block.
//!
//! **No Python in a call.** NumPy calls `realloc` without the interpreter when it reads text, and arrays die while the
//! interpreter ends. A call touches the ledger, the books and the base handler, nothing else.

#![allow(unsafe_code, reason = "NumPy takes C functions and hands out raw blocks")]

use std::ffi::{CStr, c_uint, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use pyo3::exceptions::PyImportError;
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCapsule, PyCapsuleMethods};
use ullage_core::Error;

use super::books::Books;
use crate::error::Outcome;

// Places in NumPy's table of functions, and the first version of that table with handlers (1.22).
const FEATURE_VERSION: usize = 211;
const SET_HANDLER: usize = 304;
const GET_HANDLER: usize = 305;
const DEFAULT_HANDLER: usize = 306;
const FIRST_WITH_HANDLERS: c_uint = 0x0F;

const CAPSULE_NAME: &CStr = c"mem_handler";
const HANDLER_NAME: &[u8] = b"ullage";
const STRUCT_VERSION: u8 = 1;

const STAMP: usize = size_of::<Stamp>();
const PREFIX_ON_DEFAULT: usize = 16;
const PREFIX_ON_OTHERS: usize = 64;
const CHECK_KEY: u64 = 0x756C_6C61_6765_4E50;

/// Capsules are released from the inside out, one within the other: a bound on blocks within blocks bounds the stack.
const MAX_DEPTH: u32 = 1000;

/// What tells a capsule of ours from another's: its context is the address of this byte.
static OURS: u8 = 0;

type Malloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Calloc = unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, *mut c_void, usize);

/// `PyDataMemAllocator`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Allocator {
    context: *mut c_void,
    malloc: Option<Malloc>,
    calloc: Option<Calloc>,
    realloc: Option<Realloc>,
    free: Option<Free>,
}

/// `PyDataMem_Handler`.
#[repr(C)]
struct Handler {
    name: [u8; 127],
    version: u8,
    allocator: Allocator,
}

/// An allocator with all its functions.
#[derive(Clone, Copy)]
struct Base {
    context: *mut c_void,
    malloc: Malloc,
    calloc: Calloc,
    realloc: Realloc,
    free: Free,
}

// SAFETY: the context of an allocator is for its own functions, which NumPy calls from any thread. What it points at is
// kept alive by the capsule: its own, or for a base the outermost one that ours hold on to.
unsafe impl Send for Allocator {}
// SAFETY: as above; it is never changed.
unsafe impl Send for Base {}
// SAFETY: as above.
unsafe impl Sync for Base {}

impl Base {
    fn new(allocator: Allocator) -> Option<Self> {
        let Allocator { context, malloc, calloc, realloc, free } = allocator;
        Some(Self { context, malloc: malloc?, calloc: calloc?, realloc: realloc?, free: free? })
    }
}

/// What lies before a block. Packed, because a base that aligns to less than eight bytes is unusual, not forbidden.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Stamp {
    size: u64,
    check: u64,
}

impl Stamp {
    fn new(size: usize, data: *mut u8) -> Self {
        let size = size as u64;
        Self { size, check: size ^ (data.addr() as u64).rotate_left(32) ^ CHECK_KEY }
    }
}

/// What the calls of a handler need.
struct Context {
    base: Base,
    /// Bytes before each block, for the stamp and the alignment.
    prefix: usize,
    books: Arc<Books>,
}

impl Context {
    /// Books a block of `size`, has `make` make it with its prefix, and gives its data; null if either fails.
    ///
    /// # Safety
    /// `make` gives null or a block of as many bytes as it is asked for.
    unsafe fn obtain(&self, size: usize, make: impl FnOnce(&Base, usize) -> *mut c_void) -> *mut c_void {
        let Some(whole) = size.checked_add(self.prefix) else { return ptr::null_mut() };
        if !self.books.open(size) {
            return ptr::null_mut();
        }
        let block = make(&self.base, whole);
        if block.is_null() {
            self.books.note_failure();
            self.books.close(size);
            return ptr::null_mut();
        }
        // SAFETY: the block has `size` bytes and the prefix, as the caller vouches.
        unsafe { self.sign(block, size) }
    }

    /// Writes the stamp of a block and gives its data.
    ///
    /// # Safety
    /// `block` has the prefix and `size` bytes more.
    unsafe fn sign(&self, block: *mut c_void, size: usize) -> *mut c_void {
        // SAFETY: the prefix, at least as long as a stamp, lies within the block.
        unsafe {
            let data = block.cast::<u8>().add(self.prefix);
            data.sub(STAMP).cast::<Stamp>().write(Stamp::new(size, data));
            data.cast()
        }
    }

    /// The size that a block was booked with; `None`, and a note, if its stamp is not ours or no more.
    ///
    /// # Safety
    /// `data` was given by [`Context::sign`], or at least the bytes before it can be read.
    unsafe fn read(&self, data: *mut c_void) -> Option<usize> {
        let data = data.cast::<u8>();
        // SAFETY: as the caller vouches.
        let found = unsafe { data.sub(STAMP).cast::<Stamp>().read() };
        let size = usize::try_from(found.size).ok();
        let signed = size.filter(|&size| Stamp::new(size, data).check == found.check);
        if signed.is_none() {
            self.books.note_damage();
        }
        signed
    }

    /// Makes a second `free` of the same block fail the check.
    ///
    /// # Safety
    /// As for [`Context::read`], and the bytes can be written.
    unsafe fn void(data: *mut c_void) {
        // SAFETY: as the caller vouches.
        unsafe {
            let stamp = data.cast::<u8>().sub(STAMP).cast::<Stamp>();
            stamp.write(Stamp { size: 0, check: 0 });
        }
    }
}

/// # Safety
/// `context` is that of a handler of ours whose capsule lives.
unsafe fn context_of<'a>(context: *mut c_void) -> &'a Context {
    // SAFETY: `put` stores the address of a `Context` that the capsule keeps, and only shared references are ever made.
    unsafe { &*context.cast::<Context>() }
}

/// # Safety
/// As NumPy calls it: through a handler whose capsule lives. The same holds for the three below.
unsafe extern "C" fn malloc(context: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: see above; `malloc` of a handler gives null or a block of the size asked for.
    unsafe { context_of(context).obtain(size, |base, whole| (base.malloc)(base.context, whole)) }
}

unsafe extern "C" fn calloc(context: *mut c_void, count: usize, each: usize) -> *mut c_void {
    let Some(size) = count.checked_mul(each) else { return ptr::null_mut() };
    // SAFETY: as for `malloc`. It stays a calloc, so that large blocks stay pages which nobody has touched yet.
    unsafe { context_of(context).obtain(size, |base, whole| (base.calloc)(base.context, whole, 1)) }
}

unsafe extern "C" fn realloc(context: *mut c_void, data: *mut c_void, size: usize) -> *mut c_void {
    if data.is_null() {
        // SAFETY: what a realloc of nothing means in C.
        return unsafe { malloc(context, size) };
    }
    // SAFETY: see `malloc`.
    let context = unsafe { context_of(context) };
    // SAFETY: NumPy hands back what this handler gave.
    let Some(old) = (unsafe { context.read(data) }) else { return ptr::null_mut() };
    let Some(whole) = size.checked_add(context.prefix) else { return ptr::null_mut() };
    if size > old && !context.books.grow(old, size) {
        return ptr::null_mut();
    }
    let base = &context.base;
    // SAFETY: the stamp was ours, so the base's block begins a prefix before the data.
    let block = unsafe { (base.realloc)(base.context, data.cast::<u8>().sub(context.prefix).cast(), whole) };
    if block.is_null() {
        context.books.note_failure();
        context.books.shrink(size.max(old), old);
        return block;
    }
    if size < old {
        context.books.shrink(old, size);
    }
    // SAFETY: the new block has the prefix and `size` bytes.
    unsafe { context.sign(block, size) }
}

unsafe extern "C" fn free(context: *mut c_void, data: *mut c_void, _size: usize) {
    if data.is_null() {
        return;
    }
    // SAFETY: see `malloc`.
    let context = unsafe { context_of(context) };
    // SAFETY: NumPy hands back what this handler gave.
    let Some(size) = (unsafe { context.read(data) }) else { return };
    let base = &context.base;
    // SAFETY: the stamp was ours, so the base's block begins a prefix before the data and has prefix and size, a sum
    // that did not wrap when the block was made. The stamp is not read again.
    unsafe {
        Context::void(data);
        let block = data.cast::<u8>().sub(context.prefix).cast();
        (base.free)(base.context, block, size.wrapping_add(context.prefix));
    }
    context.books.close(size);
}

/// What a capsule of ours points at.
#[repr(C)]
struct Installed {
    handler: Handler, // first: it is what NumPy reads
    context: Arc<Context>,
    /// Refusals of the tracker before the block.
    refusals: u64,
    depth: u32,
    /// The capsule that was current before.
    outer: Py<PyAny>,
}

impl Installed {
    /// What `capsule` points at if it is one of ours.
    fn of<'a>(capsule: &'a Bound<'_, PyCapsule>) -> Option<&'a Self> {
        if !ptr::eq(capsule.context().ok()?, mark()) {
            return None;
        }
        let found = capsule.pointer_checked(Some(CAPSULE_NAME)).ok()?;
        // SAFETY: only `put` makes capsules with our mark, and what it puts into them lives as long as they do.
        Some(unsafe { found.cast::<Self>().as_ref() })
    }

    fn outer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        Ok(self.outer.bind(py).cast::<PyCapsule>()?.clone())
    }
}

fn mark() -> *mut c_void {
    (&raw const OURS).cast_mut().cast()
}

/// NumPy's functions for the handler of the current context.
struct Api {
    set: unsafe extern "C" fn(*mut PyObject) -> *mut PyObject,
    get: unsafe extern "C" fn() -> *mut PyObject,
    default: Py<PyAny>,
}

impl Api {
    fn of(py: Python<'_>) -> PyResult<&'static Self> {
        static API: PyOnceLock<Api> = PyOnceLock::new();
        API.get_or_try_init(py, || Self::find(py))
    }

    fn find(py: Python<'_>) -> PyResult<Self> {
        let missing = |reason: String| PyImportError::new_err(format!("NumPy's C API: {reason}"));
        let table = Self::table(py).map_err(|error| missing(error.to_string()))?;
        // SAFETY: the capsule holds NumPy's table of functions, which is never freed and longer than this in every
        // version, with `unsigned int PyArray_GetNDArrayCFeatureVersion(void)` at this place.
        let version = unsafe {
            let version = table.add(FEATURE_VERSION).cast::<unsafe extern "C" fn() -> c_uint>().read();
            version()
        };
        if version < FIRST_WITH_HANDLERS {
            let found =
                format!("version {version:#x} has no memory handlers; NumPy 1.22 was the first with them");
            return Err(missing(found));
        }
        // SAFETY: since that version these places hold `PyObject *PyDataMem_SetHandler(PyObject *)`,
        // `PyObject *PyDataMem_GetHandler(void)` and the address of `PyObject *PyDataMem_DefaultHandler`, which is
        // never null. The interpreter is held.
        unsafe {
            let default = table.add(DEFAULT_HANDLER).cast::<*const *mut PyObject>().read().read();
            Ok(Self {
                set: table.add(SET_HANDLER).cast().read(),
                get: table.add(GET_HANDLER).cast().read(),
                default: Bound::from_borrowed_ptr(py, default).unbind(),
            })
        }
    }

    fn table(py: Python<'_>) -> PyResult<NonNull<*const c_void>> {
        let module = py.import(c"numpy._core._multiarray_umath")?;
        let capsule = module.getattr(c"_ARRAY_API")?.cast_into::<PyCapsule>()?;
        Ok(capsule.pointer_checked(None)?.cast())
    }

    /// The handler of the current context.
    fn current<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        // SAFETY: the interpreter is held; NumPy gives a new reference, or null and an exception.
        let current = unsafe { Bound::from_owned_ptr_or_err(py, (self.get)())? };
        Ok(current.cast_into::<PyCapsule>()?)
    }

    fn set(&self, handler: &Bound<'_, PyCapsule>) -> PyResult<()> {
        // SAFETY: the interpreter is held; NumPy takes a reference of its own and gives a new one to the former
        // handler, or null and an exception.
        unsafe { Bound::from_owned_ptr_or_err(handler.py(), (self.set)(handler.as_ptr())).map(drop) }
    }
}

/// A capsule for `context` on top of `outer`.
fn put(
    outer: Bound<'_, PyCapsule>,
    context: Arc<Context>,
    refusals: u64,
    depth: u32,
) -> PyResult<Bound<'_, PyCapsule>> {
    let py = outer.py();
    let mut name = [0; 127];
    name[..HANDLER_NAME.len()].copy_from_slice(HANDLER_NAME);
    let allocator = Allocator {
        context: Arc::as_ptr(&context).cast_mut().cast(),
        malloc: Some(malloc),
        calloc: Some(calloc),
        realloc: Some(realloc),
        free: Some(free),
    };
    let handler = Handler { name, version: STRUCT_VERSION, allocator };
    let installed = Installed { handler, context, refusals, depth, outer: outer.into_any().unbind() };
    let capsule = PyCapsule::new_with_value_and_destructor(py, installed, CAPSULE_NAME, |installed, _| {
        // SAFETY: Python destroys objects only in threads that hold the interpreter. Without this the reference would
        // wait for the next call into this module.
        installed.outer.drop_ref(unsafe { Python::assume_attached() });
    })?;
    capsule.set_context(mark())?;
    Ok(capsule)
}

/// Makes the arrays of the current context go through `books` from here on.
pub(super) fn enter(py: Python<'_>, books: &Arc<Books>) -> Outcome<()> {
    let api = Api::of(py)?;
    let outer = api.current(py)?;
    let (base, prefix, depth) = match Installed::of(&outer) {
        // Beside the other tracker, not on top of it: an array is charged once.
        Some(around) => (around.context.base, around.context.prefix, around.depth.saturating_add(1)),
        None => (base_of(&outer, books)?, prefix_on(&outer, api), 1),
    };
    if depth > MAX_DEPTH {
        return Err(protocol(books, "the begin of a block", "more than 1000 blocks within each other"));
    }
    let context = Context { base, prefix, books: books.clone() };
    let capsule = put(outer, Arc::new(context), books.refusals(), depth)?;
    Ok(api.set(&capsule)?)
}

/// Takes the innermost block of `books` out of the current context; gives the refusals that there were before it.
///
/// Blocks that were entered within it and are not left yet stay, as when generators are resumed in turns.
pub(super) fn leave(py: Python<'_>, books: &Arc<Books>) -> Outcome<u64> {
    let api = Api::of(py)?;
    let mut within = Vec::new();
    let mut capsule = api.current(py)?;
    let (mut rest, refusals) = loop {
        let Some(installed) = Installed::of(&capsule) else {
            let reason =
                "it was not entered in this thread and context, or another memory handler stands above it";
            return Err(protocol(books, "the end of a block", reason));
        };
        let outer = installed.outer(py)?;
        if Arc::ptr_eq(&installed.context.books, books) {
            break (outer, installed.refusals);
        }
        within.push((installed.context.clone(), installed.refusals, installed.depth));
        capsule = outer;
    };
    for (context, refusals, depth) in within.into_iter().rev() {
        rest = put(rest, context, refusals, depth.saturating_sub(1))?;
    }
    api.set(&rest)?;
    Ok(refusals)
}

fn base_of(capsule: &Bound<'_, PyCapsule>, books: &Books) -> Outcome<Base> {
    let handler = capsule.pointer_checked(Some(CAPSULE_NAME))?.cast::<Handler>();
    // SAFETY: NumPy takes no capsule of another name, and one of this name holds a `PyDataMem_Handler`.
    let allocator = unsafe { handler.as_ref().allocator };
    let missing = || protocol(books, "the begin of a block", "the current memory handler lacks a function");
    Base::new(allocator).ok_or_else(missing)
}

fn prefix_on(capsule: &Bound<'_, PyCapsule>, api: &Api) -> usize {
    if capsule.is(&api.default) { PREFIX_ON_DEFAULT } else { PREFIX_ON_OTHERS }
}

fn protocol(books: &Books, event: &'static str, reason: &str) -> crate::error::Failure {
    let subject = format!("track_numpy of account {:?}", books.account());
    Error::Protocol { event, subject, reason: reason.to_owned() }.into()
}
