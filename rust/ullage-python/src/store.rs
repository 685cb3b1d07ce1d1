//! Compressed files: written, and their weights read just in time.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use ullage_core::codec::{Choices, Plan};
use ullage_core::model::Dtype;
use ullage_core::store::{self as core, Array, Element, Entry, Form, StoreOptions, WriteOptions};
use ullage_core::{Bytes, Error};

use crate::buffer::{array, view};
use crate::detach::{self, detached};
use crate::error::{Failure, Outcome, wait_timeout};
use crate::kernel::is_rounded;
use crate::ledger::{Account, wait_duration};
use crate::model::Model;
use crate::signals::SignalWatch;
use crate::units::{ByteCount, WholeNumber};

/// How long a wait may keep Ctrl-C waiting.
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// The weights of one file: what `ullage.load` gives a face.
#[pyclass(frozen, module = "ullage._core")]
pub(crate) struct Store(core::WeightStore);

#[pymethods]
impl Store {
    #[staticmethod]
    #[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned paths")]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        scratch: ByteCount,
        account: Option<Py<Account>>,
        threads: WholeNumber,
    ) -> Outcome<Self> {
        let threads = usize::try_from(threads.count("threads")?).unwrap_or(usize::MAX);
        if threads == 0 {
            return Err(
                Error::Argument { name: "threads", reason: "0 threads decode nothing".to_owned() }.into()
            );
        }
        let account = account.map(|account| account.get().core.clone());
        let options = StoreOptions { scratch: scratch.0, threads, account };
        Ok(Self(detached(py, || core::WeightStore::open(&path, &options))?))
    }

    #[getter]
    fn path(&self) -> PathBuf {
        self.0.file().path().to_owned()
    }

    #[getter]
    fn file_bytes(&self) -> u64 {
        self.0.file().bytes().get()
    }

    #[getter]
    fn scratch(&self) -> u64 {
        self.0.scratch().get()
    }

    #[getter]
    fn closed(&self) -> bool {
        self.0.is_closed()
    }

    /// The place of a tensor, if there is one of that name.
    fn place(&self, name: &str) -> Option<usize> {
        self.0.file().place(name)
    }

    /// Name, dtype, shape, scheme and bytes of every tensor.
    fn entries<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let row = |entry: &Entry| {
            let scheme = entry.scheme.map(|scheme| scheme.to_string());
            (entry.name.clone(), entry.dtype.to_string(), entry.shape.clone(), scheme, entry.bytes.get())
        };
        PyList::new(py, self.0.file().entries().iter().map(row))
    }

    /// The tensor at `place` as a NumPy array.
    fn array<'py>(
        &self,
        py: Python<'py>,
        place: usize,
        dtype: Option<&str>,
        wait: f64,
    ) -> Outcome<Bound<'py, PyAny>> {
        let form = form_of(dtype)?;
        let element = self.0.element(place, form)?;
        let array = self.get(py, place, form, wait_duration(wait, "wait")?)?;
        Ok(numpy(py, &element, array)?)
    }

    /// The products of the tensor at `place`, a matrix of `rows` rows, with the `batch` vectors that lie in `x`, one after
    /// the other; `activations` is what these are rounded to first.
    #[expect(clippy::too_many_arguments, reason = "what Python hands over")]
    fn multiply<'py>(
        &self,
        py: Python<'py>,
        place: usize,
        x: &Bound<'py, PyAny>,
        rows: usize,
        batch: usize,
        wait: f64,
        activations: Option<&str>,
    ) -> Outcome<Bound<'py, PyAny>> {
        let is_rounded = is_rounded(activations)?;
        let x: Vec<f32> = PyBuffer::<f32>::get(x)?.to_vec(py)?;
        let wait = wait_duration(wait, "wait")?;
        let count = rows.checked_mul(batch).ok_or(Error::Overflow { what: "the products" })?;
        let mut y = vec![0.0_f32; count];
        detached(py, || {
            if is_rounded {
                self.0.multiply_rounded(place, &x, batch, &mut y)
            } else {
                self.0.multiply(place, &x, batch, &mut y, wait)
            }
        })?;
        Ok(array(py, y, &pyo3::types::PyString::new(py, "<f4").into_any())?)
    }

    /// Decodes the tensor at `place`, if there is room for it now. Whether it is decoded, or needs not be.
    fn prefetch(&self, py: Python<'_>, place: usize, dtype: Option<&str>) -> Outcome<bool> {
        let form = form_of(dtype)?;
        Ok(detached(py, || self.0.prefetch(place, form))?)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let found = self.0.stats();
        let fields = PyDict::new(py);
        for (name, count) in [
            ("hits", found.hits),
            ("misses", found.misses),
            ("shared", found.shared),
            ("views", found.views),
            ("evictions", found.evictions),
            ("decoded_bytes", found.decoded.get()),
            ("scratch_bytes", found.used.get()),
            ("held_bytes", found.held.get()),
            ("scratch_peak", found.peak.get()),
            ("scratch_limit", self.0.scratch().get()),
            ("file_bytes", self.0.file().bytes().get()),
        ] {
            fields.set_item(name, count)?;
        }
        fields.set_item("decode_seconds", found.decoding.as_secs_f64())?;
        Ok(fields)
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn close(&self) {
        self.0.close();
    }
}

impl Store {
    /// The tensor, waited for in slices, between which Ctrl-C is heard and a fork let through.
    fn get(&self, py: Python<'_>, place: usize, form: Form, wait: Duration) -> Outcome<Array> {
        let begun = Instant::now();
        loop {
            let left = wait.saturating_sub(begun.elapsed());
            match detached(py, || self.0.get(place, form, left.min(SIGNALS_EVERY))) {
                Ok(array) => return Ok(array),
                Err(Error::BudgetExceeded(refusal))
                    if refusal.requested <= refusal.limit && !wait.is_zero() =>
                {
                    if left.is_zero() {
                        return Err(wait_timeout(py, &refusal, begun.elapsed().as_secs_f64()));
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if detach::is_forking() {
                detach::pause(py);
            }
            py.check_signals()?;
        }
    }
}

fn form_of(dtype: Option<&str>) -> Outcome<Form> {
    match dtype {
        None => Ok(Form::Native),
        Some("f32" | "float32") => Ok(Form::F32),
        Some("f16" | "float16") => Ok(Form::F16),
        Some("bf16" | "bfloat16") => Ok(Form::Bf16),
        Some(other) => {
            let shown: String = other.chars().take(60).collect();
            let reason = format!("{shown:?} is none of f32, f16 and bf16");
            Err(Error::Argument { name: "dtype", reason }.into())
        }
    }
}

/// A read-only NumPy array over `array`, which is not copied.
fn numpy<'py>(py: Python<'py>, element: &Element, array: Array) -> PyResult<Bound<'py, PyAny>> {
    let numpy = py.import("numpy")?;
    let dtype = numpy_name(element.dtype);
    let shape = pyo3::types::PyTuple::new(py, &element.shape)?;
    if element.bytes.is_zero() {
        let empty = numpy.call_method1("empty", (shape, dtype))?;
        empty.getattr("flags")?.setattr("writeable", false)?;
        return Ok(empty);
    }
    let buffer = view(py, array, Array::bytes)?;
    numpy.call_method1("frombuffer", (buffer, dtype))?.call_method1("reshape", (shape,))
}

/// What NumPy calls numbers of `dtype`, the first byte the lowest; bytes for what it has no name for.
const fn numpy_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::BOOL => "?",
        Dtype::I8 => "i1",
        Dtype::I16 => "<i2",
        Dtype::I32 => "<i4",
        Dtype::I64 => "<i8",
        Dtype::U16 | Dtype::BF16 => "<u2",
        Dtype::U32 => "<u4",
        Dtype::U64 => "<u8",
        Dtype::F16 => "<f2",
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
        Dtype::C64 => "<c8",
        _ => "u1",
    }
}

/// Write the weights of `model`, compressed, to a new file.
#[pyfunction]
#[pyo3(signature = (model, out, scheme, overrides, *, seed, quantile, inputs, jobs, force, progress))]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned values")]
#[expect(clippy::too_many_arguments, reason = "the arguments of one Python function")]
pub(crate) fn write_compressed<'py>(
    py: Python<'py>,
    model: &Model,
    out: PathBuf,
    scheme: &str,
    overrides: Vec<(String, String)>,
    seed: WholeNumber,
    quantile: f64,
    inputs: Option<PathBuf>,
    jobs: WholeNumber,
    force: bool,
    progress: Option<Py<PyAny>>,
) -> Outcome<Bound<'py, PyDict>> {
    let mut plan = Plan::new(scheme.parse()?);
    for (pattern, scheme) in &overrides {
        plan.overrides.push((pattern.clone(), scheme.parse()?));
    }
    let jobs = usize::try_from(jobs.count("jobs")?).unwrap_or(usize::MAX);
    if jobs == 0 {
        return Err(Error::Argument { name: "jobs", reason: "0 threads encode nothing".to_owned() }.into());
    }
    let choices = Choices { seed: seed.count("seed")?, quantile };
    let written = py.detach(|| {
        let watch = SignalWatch::new(Instant::now());
        let raised: RefCell<Option<PyErr>> = RefCell::new(None);
        let tell = |found: core::Progress| {
            if let Some(listener) = &progress
                && let Err(error) = Python::attach(|py| told(py, listener, found))
            {
                raised.borrow_mut().get_or_insert(error);
            }
        };
        let interrupted = || raised.borrow().is_some() || watch.interrupted();
        let options = WriteOptions {
            jobs,
            choices,
            inputs: inputs.as_deref(),
            is_forced: force,
            progress: progress.is_some().then_some(&tell),
            interrupted: Some(&interrupted),
        };
        let written = core::write(&model.0, &plan, &out, &options);
        match raised.take().or_else(|| watch.into_raised()) {
            Some(error) => Err(Failure::Python(error)),
            None => Ok(written?),
        }
    })?;
    let Some(written) = written else {
        return Err(Failure::Python(pyo3::exceptions::PyKeyboardInterrupt::new_err("interrupted")));
    };
    Ok(report(py, &written)?)
}

/// Refuse an `out` that a compressed form of `model` may not be written to.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 extracts owned paths")]
pub(crate) fn check_out(model: &Model, out: PathBuf, force: bool) -> Outcome<()> {
    Ok(core::check_out(&model.0, &out, force)?)
}

fn told(py: Python<'_>, listener: &Py<PyAny>, found: core::Progress) -> PyResult<()> {
    let core::Progress { tensors, of_tensors, bytes, of_bytes, elapsed } = found;
    let kind = py.import("ullage.store")?.getattr("WriteProgress")?;
    let elapsed = elapsed.as_secs_f64();
    listener.call1(py, (kind.call1((tensors, of_tensors, bytes.get(), of_bytes.get(), elapsed))?,)).map(drop)
}

fn report<'py>(py: Python<'py>, written: &core::Written) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("path", written.path.as_os_str())?;
    fields.set_item("file_bytes", written.file_bytes.get())?;
    fields.set_item("header_bytes", written.header_bytes.get())?;
    fields.set_item("dense_bytes", written.dense.get())?;
    let row = |tensor: &core::WrittenTensor| -> PyResult<Bound<'py, PyDict>> {
        let row = PyDict::new(py);
        row.set_item("name", &tensor.name)?;
        row.set_item("shape", &tensor.shape)?;
        row.set_item("dtype", tensor.dtype.to_string())?;
        row.set_item("scheme", tensor.scheme.map(|scheme| scheme.to_string()))?;
        row.set_item("dense_bytes", tensor.dense.get())?;
        row.set_item("bytes", tensor.bytes.get())?;
        // A ratio to no error at all is no number that JSON knows.
        let snr = tensor.distortion.map(|found| found.snr_db).filter(|snr| snr.is_finite());
        row.set_item("snr_db", snr)?;
        row.set_item(
            "rms_error",
            tensor.distortion.map(|found| found.rms).filter(|error| error.is_finite()),
        )?;
        row.set_item(
            "max_error",
            tensor.distortion.map(|found| found.max).filter(|error| error.is_finite()),
        )?;
        Ok(row)
    };
    let rows: Vec<Bound<'py, PyDict>> = written.tensors.iter().map(row).collect::<PyResult<_>>()?;
    fields.set_item("tensors", PyList::new(py, rows)?)?;
    let data = written.file_bytes.saturating_sub(written.header_bytes);
    fields.set_item("tensor_bytes", Bytes::get(data))?;
    Ok(fields)
}
