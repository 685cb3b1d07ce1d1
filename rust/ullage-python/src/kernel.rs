//! Stored weights, decoded and multiplied by kernels; what they and memory take.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyString;
use ullage_core::codec::Scheme;
use ullage_core::codec::kernel::{Course, Isa, Matrix, Out, Store, Work, fill_times, read_times};
use ullage_core::{Error, Result};

use crate::buffer;
use crate::detach::detached;
use crate::error::Outcome;

/// The families of instructions that this processor has, the best last.
#[pyfunction]
pub(crate) fn kernel_isas() -> Vec<&'static str> {
    Isa::available().into_iter().map(Isa::name).collect()
}

/// The pieces of one weight, copied, in a scheme that may have kernels.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct StoredMatrix {
    scheme: Scheme,
    shape: Vec<u64>,
    parts: Vec<Vec<u8>>,
}

fn isa(name: Option<&str>) -> Result<Isa> {
    name.map_or_else(|| Ok(Isa::detect()), str::parse)
}

const fn store(is_streamed: bool) -> Store {
    if is_streamed { Store::Streamed } else { Store::Cached }
}

fn unknown(dtype: &str) -> Error {
    Error::Argument { name: "dtype", reason: format!("{dtype:?} is none of f32, f16, bf16") }
}

/// Whether vectors are rounded to integers of eight bits.
pub(crate) fn is_rounded(activations: Option<&str>) -> Result<bool> {
    match activations {
        None => Ok(false),
        Some("int8") => Ok(true),
        Some(other) => {
            let shown: String = other.chars().take(60).collect();
            let reason = format!("{shown:?} is not int8, the only numbers that vectors are rounded to");
            Err(Error::Argument { name: "activations", reason })
        }
    }
}

fn numbers(py: Python<'_>, values: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    PyBuffer::<f32>::get(values)?.to_vec(py)
}

impl StoredMatrix {
    fn with<T>(&self, act: impl FnOnce(&Matrix<'_>) -> Result<T>) -> Result<T> {
        let parts: Vec<&[u8]> = self.parts.iter().map(Vec::as_slice).collect();
        act(&Matrix::new(self.scheme, &self.shape, &parts)?)
    }
}

#[pymethods]
impl StoredMatrix {
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned lists")]
    fn new(py: Python<'_>, parts: Vec<Bound<'_, PyAny>>, shape: Vec<u64>, scheme: &str) -> Outcome<Self> {
        let parts: PyResult<Vec<Vec<u8>>> =
            parts.iter().map(|part| PyBuffer::<u8>::get(part)?.to_vec(py)).collect();
        let matrix = Self { scheme: scheme.parse()?, shape, parts: parts? };
        detached(py, || matrix.with(|_| Ok(())))?;
        Ok(matrix)
    }

    /// All of it in `dtype`, flat; halves and bfloat16 as their bits.
    #[pyo3(signature = (dtype = "f32", *, threads = 1, isa = None, is_streamed = false))]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        dtype: &str,
        threads: usize,
        isa: Option<&str>,
        is_streamed: bool,
    ) -> Outcome<Bound<'py, PyAny>> {
        let (isa, store) = (self::isa(isa)?, store(is_streamed));
        if dtype == "f32" {
            let values = detached(py, || {
                self.with(|matrix| {
                    let mut values = vec![0.0_f32; matrix.rows().saturating_mul(matrix.cols())];
                    matrix.decode_all(Out::F32(&mut values), isa, store, threads)?;
                    Ok(values)
                })
            })?;
            return Ok(buffer::array(py, values, &PyString::new(py, "float32"))?);
        }
        let is_half = match dtype {
            "f16" => true,
            "bf16" => false,
            other => return Err(unknown(other).into()),
        };
        let words = detached(py, || {
            self.with(|matrix| {
                let mut words = vec![0_u16; matrix.rows().saturating_mul(matrix.cols())];
                let out = if is_half { Out::F16(&mut words) } else { Out::Bf16(&mut words) };
                matrix.decode_all(out, isa, store, threads)?;
                Ok(words)
            })
        })?;
        Ok(buffer::array(py, words, &PyString::new(py, "uint16"))?)
    }

    /// Its product with `batch` vectors that lie end to end in `x`, flat.
    #[pyo3(signature = (x, *, batch = 1, threads = 1, isa = None, activations = None))]
    fn multiply<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        batch: usize,
        threads: usize,
        isa: Option<&str>,
        activations: Option<&str>,
    ) -> Outcome<Bound<'py, PyAny>> {
        let (isa, x, is_rounded) = (self::isa(isa)?, numbers(py, x)?, is_rounded(activations)?);
        let results = detached(py, || {
            self.with(|matrix| {
                // A batch out of bounds is refused before it asks for memory.
                let mut results = vec![0.0_f32; matrix.rows().saturating_mul(batch.min(x.len().max(1)))];
                if is_rounded {
                    matrix.gemv_rounded_all(&matrix.round(&x, batch)?, &mut results, isa, threads)?;
                } else {
                    matrix.gemv_all(&x, batch, &mut results, isa, threads)?;
                }
                Ok(results)
            })
        })?;
        Ok(buffer::array(py, results, &PyString::new(py, "float32"))?)
    }

    /// Seconds of every chunk of rows: decoded to `dtype`, or multiplied with the vectors `x`.
    #[pyo3(signature = (dtype, chunk, *, x = None, batch = 1, rounds = 1, threads = 1, isa = None, is_streamed = true, activations = None))]
    #[expect(clippy::too_many_arguments, reason = "they are named in Python")]
    fn times<'py>(
        &self,
        py: Python<'py>,
        dtype: &str,
        chunk: usize,
        x: Option<&Bound<'py, PyAny>>,
        batch: usize,
        rounds: usize,
        threads: usize,
        isa: Option<&str>,
        is_streamed: bool,
        activations: Option<&str>,
    ) -> Outcome<Vec<f64>> {
        let is_rounded = is_rounded(activations)?;
        let course = Course { chunk, rounds, threads, isa: self::isa(isa)?, store: store(is_streamed) };
        let x = x.map(|x| numbers(py, x)).transpose()?;
        let work = match (dtype, &x) {
            (_, Some(x)) if is_rounded => Work::Rounded(x, batch),
            (_, Some(x)) => Work::Multiply(x, batch),
            ("f32", None) => Work::F32,
            ("f16", None) => Work::F16,
            ("bf16", None) => Work::Bf16,
            (other, None) => return Err(unknown(other).into()),
        };
        Ok(detached(py, || self.with(|matrix| matrix.times(work, course)))?)
    }
}

/// Decode a weight of `shape` whose pieces are `parts`, flat.
#[pyfunction]
#[pyo3(signature = (parts, shape, scheme, dtype = "f32", threads = 1, isa = None))]
pub(crate) fn decode_matrix<'py>(
    py: Python<'py>,
    parts: Vec<Bound<'py, PyAny>>,
    shape: Vec<u64>,
    scheme: &str,
    dtype: &str,
    threads: usize,
    isa: Option<&str>,
) -> Outcome<Bound<'py, PyAny>> {
    StoredMatrix::new(py, parts, shape, scheme)?.decode(py, dtype, threads, isa, false)
}

/// Multiply a weight of `shape` whose pieces are `parts` with `batch` vectors, flat.
#[pyfunction]
#[pyo3(signature = (parts, shape, scheme, x, threads = 1, isa = None, batch = 1))]
#[expect(clippy::too_many_arguments, reason = "they are named in Python")]
pub(crate) fn multiply_matrix<'py>(
    py: Python<'py>,
    parts: Vec<Bound<'py, PyAny>>,
    shape: Vec<u64>,
    scheme: &str,
    x: &Bound<'py, PyAny>,
    threads: usize,
    isa: Option<&str>,
    batch: usize,
) -> Outcome<Bound<'py, PyAny>> {
    StoredMatrix::new(py, parts, shape, scheme)?.multiply(py, x, batch, threads, isa, None)
}

/// Seconds that each chunk of `size` bytes takes to be filled, or to be read.
#[pyfunction]
#[pyo3(signature = (size, chunk, *, is_read = false, rounds = 1, threads = 1, is_streamed = true))]
pub(crate) fn memory_times(
    py: Python<'_>,
    size: usize,
    chunk: usize,
    is_read: bool,
    rounds: usize,
    threads: usize,
    is_streamed: bool,
) -> Outcome<Vec<f64>> {
    let course = Course { chunk, rounds, threads, isa: Isa::detect(), store: store(is_streamed) };
    Ok(detached(py, || if is_read { read_times(size, course) } else { fill_times(size, course) })?)
}
