//! Arrays compressed without loss.

use pyo3::prelude::*;
use ullage_core::Error;
use ullage_core::codec::kernel::Isa;
use ullage_core::codec::{Lossless, Packed, Reading, Scheme};
use ullage_core::model::Dtype;

use crate::buffer::Bytes;
use crate::detach::detached;
use crate::error::Outcome;

/// Bytes of an array, compressed without loss, or kept as they are where nothing is gained.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct PackedBytes {
    stored: Stored,
    dtype: Dtype,
    /// Bytes of the array.
    length: usize,
}

enum Stored {
    Packed(Packed),
    Plain(Vec<u8>),
}

/// Compress bytes, elements of `dtype` as safetensors names it, in `scheme` or the best one.
#[pyfunction]
#[pyo3(signature = (data, dtype, *, scheme = None, threads = 1))]
pub(crate) fn pack_bytes(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    dtype: &str,
    scheme: Option<&str>,
    threads: usize,
) -> Outcome<PackedBytes> {
    let dtype = dtype_of(dtype)?;
    let scheme = scheme.map(lossless).transpose()?;
    let data = Bytes::of(data, "array")?;
    let stored = detached(py, || {
        let bytes = data.as_slice();
        let packed = match scheme {
            Some(scheme) => Some(Packed::flat(bytes, dtype, scheme, threads)?),
            None => Packed::smallest(bytes, dtype, threads)?,
        };
        Ok::<_, Error>(packed.map_or_else(|| Stored::Plain(bytes.to_vec()), Stored::Packed))
    })?;
    let length = data.as_slice().len();
    Ok(PackedBytes { stored, dtype, length })
}

fn dtype_of(name: &str) -> Outcome<Dtype> {
    let found = Dtype::ALL.iter().find(|dtype| dtype.to_string() == name);
    let reason = || format!("{name:?} is no number format");
    Ok(found.copied().ok_or_else(|| Error::Argument { name: "dtype", reason: reason() })?)
}

fn lossless(text: &str) -> Outcome<Lossless> {
    match text.parse()? {
        Scheme::Lossless(scheme) => Ok(scheme),
        other => Err(Error::Argument { name: "scheme", reason: format!("{other} loses something") }.into()),
    }
}

#[pymethods]
impl PackedBytes {
    /// Bytes that it takes.
    #[getter]
    fn nbytes(&self) -> Outcome<u64> {
        match &self.stored {
            Stored::Packed(packed) => Ok(packed.bytes()?.get()),
            Stored::Plain(bytes) => Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
        }
    }

    /// Bytes that come back.
    #[getter]
    const fn original_nbytes(&self) -> usize {
        self.length
    }

    /// The scheme, or `dense` with the dtype for bytes as they are.
    #[getter]
    fn scheme(&self) -> String {
        match &self.stored {
            Stored::Packed(packed) => packed.scheme().to_string(),
            Stored::Plain(_) => "stored".to_owned(),
        }
    }

    /// The number format it was compressed as.
    #[getter]
    fn dtype(&self) -> String {
        self.dtype.to_string()
    }

    /// Write the elements from `start` on to `out`, as many as it holds.
    #[pyo3(signature = (out, *, start = 0, threads = 1, isa = None))]
    fn unpack_into(
        &self,
        py: Python<'_>,
        out: &Bound<'_, PyAny>,
        start: usize,
        threads: usize,
        isa: Option<&str>,
    ) -> Outcome<()> {
        let isa = isa.map(str::parse::<Isa>).transpose()?;
        let mut out = Bytes::writable(out, "out")?;
        Ok(detached(py, || self.read(start, out.as_mut_slice(), threads, isa))?)
    }

    fn __repr__(&self) -> Outcome<String> {
        Ok(format!("<PackedBytes {}: {} of {} bytes>", self.scheme(), self.nbytes()?, self.length))
    }
}

impl PackedBytes {
    fn read(&self, start: usize, out: &mut [u8], threads: usize, isa: Option<Isa>) -> Result<(), Error> {
        let width = usize::try_from(self.dtype.block().1 / 8).unwrap_or(1).max(1);
        let refuse = || Error::Argument {
            name: "out",
            reason: format!("{} bytes from element {start} on are not within {}", out.len(), self.length),
        };
        let from = start.checked_mul(width);
        let to = from.and_then(|from| from.checked_add(out.len()));
        let (Some(from), Some(to)) = (from, to) else { return Err(refuse()) };
        if to > self.length || !out.len().is_multiple_of(width) {
            return Err(refuse());
        }
        match &self.stored {
            Stored::Plain(bytes) => out.copy_from_slice(bytes.get(from..to).ok_or_else(refuse)?),
            Stored::Packed(packed) => {
                let best = Reading::of(out.len(), threads);
                let reading = Reading { isa: isa.unwrap_or(best.isa), ..best };
                let end = start.saturating_add(out.len().checked_div(width).unwrap_or(0));
                packed.reader()?.read(start..end, out, reading)?;
            }
        }
        Ok(())
    }
}
