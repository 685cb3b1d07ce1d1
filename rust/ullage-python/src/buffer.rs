//! Plain data of the core, given to Python without a copy: the one place of the binding with `unsafe` for that.
#![allow(unsafe_code, reason = "the buffer protocol is a C interface that PyO3 leaves to its users")]

use std::any::Any;
use std::ffi::{CStr, c_int};

use pyo3::buffer::Element;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use ullage_core::ledger::{Event, Handle};

/// A type without padding, pointers or destructor: every byte of a value is initialised and may be read by anybody.
///
/// # Safety
/// That must be so.
pub(crate) unsafe trait Plain: Send + Sync + 'static {}

// SAFETY: `repr(C)`, 8 + 8 + 8 + 4 + 4 bytes at alignment 8: no padding.
unsafe impl Plain for Event {}
const _: () = assert!(size_of::<Event>() == 32);

// SAFETY: `repr(C)`, 8 + 4 + 4 bytes at alignment 8: no padding.
unsafe impl Plain for Handle {}
const _: () = assert!(size_of::<Handle>() == 16);

// SAFETY: a primitive.
unsafe impl Plain for u64 {}
// SAFETY: a primitive.
unsafe impl Plain for i64 {}
// SAFETY: a primitive.
unsafe impl Plain for u32 {}
// SAFETY: a primitive.
unsafe impl Plain for u16 {}
// SAFETY: a primitive.
unsafe impl Plain for f32 {}
// SAFETY: a primitive.
unsafe impl Plain for f64 {}
// SAFETY: a primitive; Python reads it as one byte, 0 or 1.
unsafe impl Plain for bool {}

/// A handle as a row of an array.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Row(pub(crate) Handle);

/// How NumPy describes the rows of `ullage.HANDLE`; `L` where a C `long` has 64 bits.
const ROWS: [&[u8]; 2] = [b"T{L:ledger:I:slot:I:generation:}", b"T{Q:ledger:I:slot:I:generation:}"];

// SAFETY: three unsigned integers without padding, in the order and of the sizes that the format names: whatever the bytes
// are, they are a value. `PyBuffer` holds the item size and the alignment against those of the type.
unsafe impl Element for Row {
    fn is_compatible_format(format: &CStr) -> bool {
        cfg!(target_endian = "little") && ROWS.contains(&format.to_bytes())
    }
}

/// Read-only memory that Python sees through the buffer protocol.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Buffer {
    address: usize,
    length: usize,
    /// Owns the memory at `address`, and is never touched again.
    _owner: Box<dyn Any + Send + Sync>,
}

#[pymethods]
impl Buffer {
    /// # Safety
    /// Python calls this with a `view` to fill, as the buffer protocol says.
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 hands the object over by value")]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("there is no view to fill"));
        }
        let this = slf.get();
        let length =
            isize::try_from(this.length).map_err(|_| PyBufferError::new_err("too long for a buffer"))?;
        // SAFETY: `view` is valid by the protocol; the memory is `length` initialised bytes that nobody writes to and that
        // live as long as this object, to which the view holds a reference.
        let status =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), this.address as *mut _, length, 1, flags) };
        if status == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

static FROM_BUFFER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A read-only NumPy array of `dtype` over `values`, which are not copied.
pub(crate) fn array<'py, T: Plain>(
    py: Python<'py>,
    values: Vec<T>,
    dtype: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let (address, length) = (values.as_ptr() as usize, values.len().saturating_mul(size_of::<T>()));
    let buffer = Bound::new(py, Buffer { address, length, _owner: Box::new(values) })?;
    FROM_BUFFER.import(py, "numpy", "frombuffer")?.call1((buffer, dtype))
}
