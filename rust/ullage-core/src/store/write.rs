//! A compressed file written tensor by tensor.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::encode::{Made, encode};
use super::given::Given;
use super::header::{self, Listed};
use super::job::{Fate, Job, jobs};
use super::manifest::{self, Row};
use super::partial::Partial;
use super::source::Source;
use super::workers::{self, Progress, Watcher};
use crate::codec::{Choices, Distortion, Plan, Scheme};
use crate::error::{Error, Result};
use crate::model::{Dtype, Format, Model, safetensors};
use crate::units::{Bytes, clip};

/// How a file is written.
#[derive(Default)]
pub struct WriteOptions<'a> {
    /// Tensors that are encoded at once, each by a thread; one at least.
    pub jobs: usize,
    /// What schemes leave open.
    pub choices: Choices,
    /// A safetensors file of what weights are multiplied with: under the name of a weight a matrix, of which each row is what
    /// its layer was given once. Weights whose schemes take inputs ([`Scheme::takes_inputs`]) are encoded for those
    /// ([`crate::codec::Inputs`]); others are encoded as always.
    pub inputs: Option<&'a Path>,
    /// Whether a file that lies there already is replaced.
    pub is_forced: bool,
    /// Called whenever another tensor is written.
    pub progress: Option<&'a dyn Fn(Progress)>,
    /// Asked several times a second whether to stop.
    pub interrupted: Option<&'a dyn Fn() -> bool>,
}

/// A file that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub file_bytes: Bytes,
    /// Bytes of it that are its header; the rest are the tensors.
    pub header_bytes: Bytes,
    /// Bytes of the tensors as they were.
    pub dense: Bytes,
    /// Tensor by tensor, in the model's order.
    pub tensors: Vec<WrittenTensor>,
}

/// A tensor that was written.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenTensor {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its number format before.
    pub dtype: Dtype,
    /// How it is stored; `None` as it was.
    pub scheme: Option<Scheme>,
    /// Bytes before.
    pub dense: Bytes,
    /// Bytes in the file.
    pub bytes: Bytes,
    /// How far its numbers are off; `None` where they are stored as they were.
    pub distortion: Option<Distortion>,
}

/// Writes the weights of `model`, compressed as `plan` says, to a new file at `out`, which appears there whole or not at
/// all. Memory is taken for as many tensors at once as there are jobs, about three times their numbers in 32 bits.
///
/// `None` if it was interrupted; nothing is left then, as after an error.
///
/// # Errors
/// - [`Error::Argument`] for a model whose weights are not read, a compressed one, an `out` that is one of its own files or,
///   unless forced, lies there already, and for a scheme that is not encoded;
/// - [`Error::ModelFile`] naming the tensor that cannot be encoded, because a number in it is not finite, say;
/// - [`Error::ModelFile`] for inputs that are none of the model's weights;
/// - [`Error::Io`] where `out` cannot be written.
pub fn write(model: &Model, plan: &Plan, out: &Path, options: &WriteOptions<'_>) -> Result<Option<Written>> {
    let source = Source::open(model)?;
    check_source(model, &source)?;
    check_place(out, &source, options.is_forced)?;
    let mut names: HashSet<String> = model.tensors.iter().map(|tensor| tensor.name.clone()).collect();
    check_names(model, &names)?;
    let planned = jobs(model, plan, &source, &mut names)?;
    let tied = tied(model, &planned);
    let reserve = rendered(&planned, &tied, 0)?.0.len();
    let mut jobs = planned.clone();
    let mut partial = Partial::new(out)?;
    partial.write(&vec![0; reserve])?;
    let sizes: Vec<Bytes> = jobs.iter().map(|job| dense_bytes(model, job)).collect();
    let mut distortions: Vec<Option<Distortion>> = vec![None; jobs.len()];
    let given = options.inputs.map(|path| Given::open(path, model)).transpose()?;
    let choices = options.choices; // the listeners beside them are for this thread alone
    let watcher = Watcher { progress: options.progress, interrupted: options.interrupted };
    let is_done = workers::run(
        options.jobs.max(1),
        &sizes,
        &watcher,
        |number| encode(&source, &planned[number], choices, given.as_ref()),
        |number, found: Made| {
            let job = &mut jobs[number];
            for part in parts(&found, &source, job)? {
                partial.write(&part)?;
            }
            job.settle(model, found.coded.as_ref(), &mut names)?;
            distortions[number] = found.distortion;
            Ok(())
        },
    )?;
    // Who was told of the last tensor may have had enough.
    if !is_done || options.interrupted.is_some_and(|interrupted| interrupted()) {
        return Ok(None);
    }
    let (header, data) = rendered(&jobs, &tied, reserve)?;
    partial.write_start(&header)?;
    partial.publish(options.is_forced)?;
    let header_bytes = Bytes::new(u64::try_from(header.len()).unwrap_or(u64::MAX));
    let tensors = report(model, &jobs, &distortions)?;
    Ok(Some(Written {
        path: out.to_owned(),
        file_bytes: header_bytes.saturating_add(data),
        header_bytes,
        dense: sizes.into_iter().fold(Bytes::ZERO, Bytes::saturating_add),
        tensors,
    }))
}

/// What is written for `job`, of which `found` was made.
fn parts<'a>(found: &'a Made, source: &'a Source<'_>, job: &Job) -> Result<Vec<Cow<'a, [u8]>>> {
    match (&found.coded, job.fate) {
        (Some(coded), _) => {
            Ok(coded.parts().iter().map(|(_, bytes)| Cow::Borrowed(bytes.as_slice())).collect())
        }
        (None, Fate::Tied(_)) => Ok(Vec::new()),
        (None, _) => Ok(vec![source.bytes(job.place)?]),
    }
}

/// Names of tensors that share another's bytes, each with that one's name.
fn tied(model: &Model, jobs: &[Job]) -> BTreeMap<String, String> {
    let name = |place: usize| model.tensors.get(place).map_or_else(String::new, |tensor| tensor.name.clone());
    let pairs = jobs.iter().filter_map(|job| match job.fate {
        Fate::Tied(holder) => Some((name(job.place), name(holder))),
        _ => None,
    });
    pairs.collect()
}

/// That no two tensors have one name, which a pickle of two modules may give them.
fn check_names(model: &Model, names: &HashSet<String>) -> Result<()> {
    if names.len() == model.tensors.len() {
        return Ok(());
    }
    let mut seen = HashSet::new();
    let twice = model.tensors.iter().find(|tensor| !seen.insert(tensor.name.as_str()));
    let name = twice.map_or("", |tensor| tensor.name.as_str());
    let reason = format!("{} has two tensors called {:?}", clip(&model.name), clip(name));
    Err(Error::Argument { name: "model", reason })
}

/// The header for `jobs`, at least `least` bytes of it, and the bytes of the data.
fn rendered(jobs: &[Job], tied: &BTreeMap<String, String>, least: usize) -> Result<(Vec<u8>, Bytes)> {
    let mut listed: Vec<Listed> = jobs.iter().flat_map(|job| job.listed.iter().cloned()).collect();
    let rows: Vec<Row> = jobs.iter().filter_map(|job| job.row.clone()).collect();
    let data = header::place(&mut listed)?;
    Ok((header::render(&listed, &rows, tied, least)?, data))
}

fn dense_bytes(model: &Model, job: &Job) -> Bytes {
    model.tensors.get(job.place).map_or(Bytes::ZERO, |tensor| tensor.bytes)
}

fn report(model: &Model, jobs: &[Job], distortions: &[Option<Distortion>]) -> Result<Vec<WrittenTensor>> {
    let mut rows = Vec::with_capacity(jobs.len());
    for (job, &distortion) in jobs.iter().zip(distortions) {
        let Some(tensor) = model.tensors.get(job.place) else { continue };
        let scheme = match job.fate {
            Fate::Kept | Fate::Tied(_) => None,
            Fate::Taken(scheme) | Fate::Encoded(scheme) => Some(scheme),
        };
        let row = WrittenTensor {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            dtype: tensor.dtype,
            scheme,
            dense: tensor.bytes,
            bytes: job.bytes()?,
            distortion,
        };
        rows.push((job.place, row));
    }
    rows.sort_by_key(|(place, _)| *place);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// That the model is not compressed already.
fn check_source(model: &Model, source: &Source<'_>) -> Result<()> {
    if model.format != Some(Format::Safetensors) {
        return Ok(());
    }
    for path in source.paths() {
        if safetensors::open(path)?.metadata.contains_key(manifest::FORMAT) {
            let reason = format!("{} is compressed already: compress what it was made from", path.display());
            return Err(Error::Argument { name: "model", reason });
        }
    }
    Ok(())
}

/// That nothing is lost by writing to `out`.
/// Whether a compressed form of `model` may be written to `out`, as [`write()`] asks before it begins.
///
/// # Errors
/// [`Error::Argument`] as [`write()`] says.
pub fn check_out(model: &Model, out: &Path, is_forced: bool) -> Result<()> {
    check_place(out, &Source::open(model)?, is_forced)
}

fn check_place(out: &Path, source: &Source<'_>, is_forced: bool) -> Result<()> {
    let refuse = |reason: String| Err(Error::Argument { name: "out", reason });
    if out.file_name().is_none() || out.is_dir() {
        return refuse(format!("{} is a directory, not a file", out.display()));
    }
    let Ok(there) = fs::canonicalize(out) else { return Ok(()) };
    if !there.is_file() {
        return refuse(format!("{} is no regular file", out.display()));
    }
    for path in source.paths() {
        if fs::canonicalize(path).is_ok_and(|path| path == there) || same_file(path, out) {
            return refuse(format!("{} is a file of the model that is to be compressed", out.display()));
        }
    }
    if is_forced {
        return Ok(());
    }
    refuse(format!("{} lies there already", out.display()))
}

#[cfg(unix)]
fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

#[cfg(not(unix))]
fn same_file(_one: &Path, _other: &Path) -> bool {
    false // names alone tell files apart there
}
