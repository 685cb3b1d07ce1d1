//! A compressed model's weights, decoded when they are asked for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::buffer::Buffer;
use super::cache::{Cache, Purpose};
use super::decode::Stored;
use super::entry::Entry;
use super::file::StoreFile;
use super::lease::Lease;
use super::numbers::own_scheme;
use super::output::{Element, Form};
use super::room::{Key, Stats};
use crate::codec::Scheme;
use crate::error::{Error, Result};
use crate::ledger::{Account, Reservation};
use crate::model::Dtype;
use crate::units::Bytes;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The most bytes of decoded tensors at once.
    pub scratch: Bytes,
    /// Threads that decode or multiply one large tensor; one at least.
    pub threads: usize,
    /// What is charged: the file whole, for its pages may all be in memory, and buffers as they are made.
    pub account: Option<Account>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { scratch: Bytes::new(1 << 28), threads: 1, account: None }
    }
}

/// A tensor's numbers.
#[derive(Debug)]
pub enum Array {
    /// As the file holds them.
    Plain(Plain),
    /// Decoded.
    Decoded(Lease),
}

/// A tensor as the file holds it, which stays mapped while this lives.
#[derive(Debug)]
pub struct Plain {
    held: Arc<Held>,
    place: usize,
}

/// The file, and what is booked for it.
#[derive(Debug)]
struct Held {
    file: StoreFile,
    _resident: Option<Reservation>,
}

/// The weights of one file. All methods may be called from any thread at any time.
#[derive(Debug)]
pub struct WeightStore {
    held: Arc<Held>,
    cache: Arc<Cache>,
    scratch: Bytes,
    threads: usize,
}

impl Array {
    /// The numbers as bytes, at an address that does not change.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(plain) => plain.held.file.plain(plain.place),
            Self::Decoded(lease) => lease.bytes(),
        }
    }
}

impl WeightStore {
    /// Opens the file at `path`, as [`StoreFile::open`] does.
    ///
    /// # Errors
    /// As there, and [`Error::BudgetExceeded`] where the account has no room for the file.
    pub fn open(path: &Path, options: &StoreOptions) -> Result<Self> {
        Self::of(StoreFile::open(path)?, options)
    }

    /// The weights of a file that is open.
    ///
    /// # Errors
    /// [`Error::BudgetExceeded`] where the account has no room for the file.
    pub fn of(file: StoreFile, options: &StoreOptions) -> Result<Self> {
        let name = file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let account = options.account.as_ref();
        let resident = account.map(|account| account.reserve(file.bytes(), &format!("{name}: compressed")));
        let meter = account.map(|account| account.meter(&format!("{name}: scratch")));
        let cache = Cache::new(format!("scratch of {name}"), options.scratch, meter);
        let held = Held { file, _resident: resident.transpose()? };
        Ok(Self { held: Arc::new(held), cache, scratch: options.scratch, threads: options.threads.max(1) })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &StoreFile {
        &self.held.file
    }

    /// The most bytes of decoded tensors at once.
    #[must_use]
    pub fn scratch(&self) -> Bytes {
        self.scratch
    }

    /// What the tensor at `place` is made of in `form`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a place that there is not, and for a form that it has not.
    pub fn element(&self, place: usize, form: Form) -> Result<Element> {
        Element::of(self.entry(place)?, form)
    }

    /// The tensor at `place` in `form`: a view of the file if it holds that, else decoded, into the scratch space. Many may
    /// ask at once; it is decoded once. While every buffer is held, waits at most `wait` for one.
    ///
    /// # Errors
    /// - [`Error::ModelFile`] naming the tensor, or the piece, that contradicts itself;
    /// - [`Error::BudgetExceeded`] where the scratch space, or the account, has no room by then;
    /// - [`Error::Argument`] as [`Self::element`], and once the store is closed.
    pub fn get(&self, place: usize, form: Form, wait: Duration) -> Result<Array> {
        let element = self.element(place, form)?;
        if self.held.file.is_plain(place, &element) {
            self.cache.pass(true)?;
            self.held.file.checked()?;
            return Ok(Array::Plain(Plain { held: self.held.clone(), place }));
        }
        Ok(Array::Decoded(self.decode(place, &element, Purpose::Use { wait })?))
    }

    /// Decodes the tensor at `place` in `form` for somebody who will ask for it next; it then goes after all others. Nothing
    /// that was decoded so, and is still to be asked for, makes room for it: `false` where there is none.
    ///
    /// # Errors
    /// As [`Self::get`] for damaged data and a closed store.
    pub fn prefetch(&self, place: usize, form: Form) -> Result<bool> {
        let element = self.element(place, form)?;
        if self.held.file.is_plain(place, &element) {
            return self.cache.pass(false).map(|()| true);
        }
        match self.decode(place, &element, Purpose::Ahead) {
            Ok(_) => Ok(true),
            Err(Error::BudgetExceeded(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn decode(&self, place: usize, element: &Element, purpose: Purpose) -> Result<Lease> {
        let file = &self.held.file;
        // One format has one buffer, whichever way it was asked for.
        let form = match element.dtype {
            Dtype::F32 => Form::F32,
            Dtype::F16 => Form::F16,
            Dtype::BF16 => Form::Bf16,
            _ => Form::Native,
        };
        let bytes = usize::try_from(element.bytes.get()).map_err(|_| Error::Overflow { what: "a tensor" })?;
        let name = |key: Key| file.entries().get(key.0).map_or_else(String::new, |entry| entry.name.clone());
        let decode = |buffer: &mut Buffer| file.decode(place, element, buffer, self.threads);
        self.cache.get((place, form), bytes, purpose, &name, decode)
    }

    /// Multiplies the tensor at `place`, a matrix with a row for each of its first dimension, with `batch` vectors: `y[b][r]`
    /// is the sum of `W[r][c] * x[b][c]`. It is decoded on the fly and takes no scratch space; but a lossless one is decoded
    /// whole, into it.
    ///
    /// # Errors
    /// As [`Self::get`], and [`Error::Argument`] for an `x` or `y` of another length.
    pub fn multiply(
        &self,
        place: usize,
        x: &[f32],
        batch: usize,
        y: &mut [f32],
        wait: Duration,
    ) -> Result<()> {
        self.cache.pass(false)?;
        let entry = self.entry(place)?;
        if !matches!(entry.scheme, Some(Scheme::Lossless(_))) {
            return self.held.file.multiply(place, x, batch, y, self.threads);
        }
        let array = self.get(place, Form::F32, wait)?;
        let parts = [array.bytes()];
        let scheme = own_scheme(Dtype::F32).unwrap_or(Scheme::F16);
        let stored = Stored { scheme, dtype: Dtype::F32, shape: &entry.shape, parts: &parts };
        stored.multiply(x, batch, y, self.threads)
    }

    /// The same with vectors that are rounded to integers of eight bits first, and multiplied as such with those that are
    /// stored: faster, and of the exact product off by as much as [`Matrix::gemv_rounded`] says.
    ///
    /// [`Matrix::gemv_rounded`]: crate::codec::kernel::Matrix::gemv_rounded
    ///
    /// # Errors
    /// As [`Self::multiply`], and [`Error::Argument`] for a tensor in another scheme than [`takes_rounded`] names, or an `x`
    /// that is not finite.
    ///
    /// [`takes_rounded`]: crate::codec::kernel::Matrix::takes_rounded
    pub fn multiply_rounded(&self, place: usize, x: &[f32], batch: usize, y: &mut [f32]) -> Result<()> {
        self.cache.pass(false)?;
        self.held.file.multiply_rounded(place, x, batch, y, self.threads)
    }

    /// What was asked so far, and what is held.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.cache.stats()
    }

    /// Gives up every buffer that nobody holds.
    pub fn clear(&self) {
        self.cache.clear();
    }

    /// Refuses everything from now on. Arrays stay what they are; their buffers go with them.
    pub fn close(&self) {
        self.cache.close();
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.cache.is_closed()
    }

    fn entry(&self, place: usize) -> Result<&Entry> {
        self.held.file.entries().get(place).ok_or_else(|| {
            let reason = format!("{place} of {} tensors", self.held.file.entries().len());
            Error::Argument { name: "place", reason }
        })
    }
}
