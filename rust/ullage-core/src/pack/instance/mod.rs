//! Readers of instance files, one format a file, and what they say.

mod azure;
mod bpp;
mod names;
mod openb;
#[cfg(test)]
mod tests;
mod vbp;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::table::{LARGEST_FILE, filled_lines, text_of, wrong};
use crate::units::{Bytes, clip};

pub use azure::parse_azure;
pub use bpp::{parse_bpp, parse_csp};
pub use names::parse_csv;
pub use openb::parse_openb;
pub use vbp::parse_vbp;

/// Items of one size each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The size of every item.
    pub sizes: Vec<Bytes>,
    /// The name of every item, where the format has names.
    pub names: Option<Vec<String>>,
    /// The capacity of every bin, where the format gives one.
    pub capacity: Option<Bytes>,
}

/// Items that need something of several resources, in as many equal bins as needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorInstance {
    /// The names of the resources, at least one.
    pub resources: Vec<String>,
    /// What a bin has of each resource, in its unit.
    pub capacities: Vec<u64>,
    /// What is to be packed.
    pub items: Vec<VectorItem>,
}

/// Items that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorItem {
    /// What each needs of each resource.
    pub demand: Vec<u64>,
    /// How many there are.
    pub count: u64,
}

/// What a file of one of the formats says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// BPPLIB text, or a CSV of names and sizes.
    Items(Instance),
    /// CSP or VBP text.
    Vector(VectorInstance),
}

impl VectorInstance {
    /// The most items that are listed one by one: a short file may stand for many.
    pub const MOST_LISTED: u64 = 1 << 22;

    /// The items one by one, where there is one resource.
    ///
    /// # Errors
    /// [`Error::Problem`] naming `file` for several resources or more than [`VectorInstance::MOST_LISTED`] items.
    pub fn listed(&self) -> Result<Instance> {
        let [capacity] = self.capacities[..] else {
            return Err(wrong("file", format!("{} resources, expected one size", self.capacities.len())));
        };
        let total: u128 = self.items.iter().map(|item| u128::from(item.count)).sum();
        if total > u128::from(Self::MOST_LISTED) {
            return Err(wrong("file", format!("{total} items, at most {} are listed", Self::MOST_LISTED)));
        }
        let mut sizes = Vec::new();
        for VectorItem { demand, count } in &self.items {
            let size = Bytes::new(demand.first().copied().unwrap_or(0));
            sizes.extend((0..*count).map(|_| size));
        }
        Ok(Instance { sizes, names: None, capacity: Some(Bytes::new(capacity)) })
    }
}

/// Reads a file of items of one size each: CSV, BPPLIB text, CSP, or VBP of one dimension, see [`parse_content`].
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; else as [`parse_content`] and [`VectorInstance::listed`].
pub fn read_instance(path: &Path) -> Result<Instance> {
    let unreadable = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(LARGEST_FILE.saturating_add(1)).read_to_end(&mut content).map_err(unreadable)?;
    match parse_content(&content, path)? {
        Content::Items(instance) => Ok(instance),
        Content::Vector(instance) => instance.listed(),
    }
}

/// Reads the content of a file that is called `name`.
///
/// A name in `.csv`, `.bpp`, `.csp` or `.vbp` says what it is; of any other name the first four lines do: a second line
/// of several numbers or a fourth that follows three single ones is VBP, a third line of two is CSP, and all else is
/// BPPLIB text.
///
/// # Errors
/// [`Error::Problem`] naming the line of what is no instance, or `file` for one above 1 GiB or not in UTF-8.
pub fn parse_content(content: &[u8], name: &Path) -> Result<Content> {
    let text = text_of(content)?;
    let suffix = name.extension().unwrap_or_default().to_ascii_lowercase();
    match suffix.to_str().unwrap_or_default() {
        "csv" => parse_csv(text).map(Content::Items),
        "bpp" => parse_bpp(text).map(Content::Items),
        "csp" => parse_csp(text).map(Content::Vector),
        "vbp" => parse_vbp(text).map(Content::Vector),
        _ => match words_of_first_lines(text) {
            (_, 2.., ..) | (1, 1, 1, 2..) => parse_vbp(text).map(Content::Vector),
            (1, 1, 2, _) => parse_csp(text).map(Content::Vector),
            _ => parse_bpp(text).map(Content::Items),
        },
    }
}

fn words_of_first_lines(text: &str) -> (usize, usize, usize, usize) {
    let mut counts = [0; 4];
    for (count, (_, line)) in counts.iter_mut().zip(filled_lines(text)) {
        *count = line.split_whitespace().count();
    }
    counts.into()
}

/// The words of a text with their lines.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    filled_lines(text).flat_map(|(line, text)| text.split_whitespace().map(move |word| (line, word)))
}

/// The whole number that comes next, with its line.
fn whole(next: Option<(usize, &str)>, what: &str) -> Result<(usize, u64)> {
    let (line, text) = next.ok_or_else(|| wrong("file", format!("ends before {what}")))?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    let number = number
        .ok_or_else(|| at(line, format!("{:?} is not {what}, a whole number below 2^64", clip(text))))?;
    Ok((line, number))
}

/// A capacity, which is not zero.
fn capacity(next: Option<(usize, &str)>) -> Result<u64> {
    match whole(next, "the capacity")? {
        (line, 0) => Err(at(line, "the capacity is zero")),
        (_, capacity) => Ok(capacity),
    }
}

fn at(line: usize, reason: impl Into<String>) -> Error {
    wrong(format!("line {line}"), reason)
}

/// Nothing but blanks is left after the last of `count` items.
fn end(next: Option<(usize, &str)>, count: u64) -> Result<()> {
    next.map_or(Ok(()), |(line, text)| {
        Err(at(line, format!("{:?} after the last of {count} items", clip(text))))
    })
}
