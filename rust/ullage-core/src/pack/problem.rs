//! [`Problem`]: what is to be packed, and into what.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::units::{Bytes, clip};

/// Something of a size that goes whole into one bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name, unique in a problem.
    pub name: String,
    /// Its size. Zero is allowed.
    pub size: Bytes,
}

/// Bins that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinKind {
    /// Its name, unique in a problem.
    pub name: String,
    /// What each copy holds. Never zero.
    pub capacity: Bytes,
    /// The copies there are, at least one; `None` means as many as needed.
    pub count: Option<u64>,
}

/// Items to be packed into bins. Checked at construction and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    sizes: Vec<Bytes>,
    /// `None` where items are known by their position alone.
    names: Option<Vec<String>>,
    kinds: Vec<BinKind>,
}

impl Problem {
    /// The most items and the most kinds of bins.
    pub const LARGEST: usize = u32::MAX as usize - 1;

    /// The most items that counts may make of few.
    pub const MOST_COPIES: u64 = 1 << 26;

    /// A problem of named items.
    ///
    /// # Errors
    /// [`Error::Problem`] naming the part at fault: no bins, a bin without capacity or copies, a name used twice,
    /// more than [`Problem::LARGEST`] items or kinds.
    pub fn new(items: Vec<Item>, kinds: Vec<BinKind>) -> Result<Self> {
        unique("items", items.iter().map(|item| item.name.as_str()))?;
        let (names, sizes) = items.into_iter().map(|Item { name, size }| (name, size)).unzip();
        Self::checked(sizes, Some(names), kinds)
    }

    /// A problem of items known by their position.
    ///
    /// # Errors
    /// As [`Problem::new`].
    pub fn from_sizes(sizes: Vec<Bytes>, kinds: Vec<BinKind>) -> Result<Self> {
        Self::checked(sizes, None, kinds)
    }

    /// A problem of sizes with the number of items of each, as in cutting stock. The copies of an item follow each other;
    /// where items have names, those of which there are several are called `llama:0`, `llama:1` and so on.
    ///
    /// # Errors
    /// As [`Problem::new`]; naming `counts` where there are not as many as sizes, or they sum to more than
    /// [`Problem::MOST_COPIES`].
    pub fn with_counts(
        sizes: &[Bytes],
        names: Option<&[String]>,
        counts: &[u64],
        kinds: Vec<BinKind>,
    ) -> Result<Self> {
        if counts.len() != sizes.len() {
            return Err(wrong("counts", format!("{} counts for {} items", counts.len(), sizes.len())));
        }
        let total = counts.iter().fold(0_u64, |sum, &count| sum.saturating_add(count));
        if total > Self::MOST_COPIES {
            let most = Self::MOST_COPIES;
            return Err(wrong("counts", format!("{total} items are more than the largest number, {most}")));
        }
        let repeats = |count: &u64| usize::try_from(*count).unwrap_or(0);
        let expanded =
            sizes.iter().zip(counts).flat_map(|(size, count)| std::iter::repeat_n(*size, repeats(count)));
        let expanded: Vec<Bytes> = expanded.collect();
        let Some(names) = names else { return Self::from_sizes(expanded, kinds) };
        let labels = names.iter().zip(counts).flat_map(|(name, &count)| {
            (0..count).map(move |copy| if count == 1 { name.clone() } else { format!("{name}:{copy}") })
        });
        Self::new(labels.zip(expanded).map(|(name, size)| Item { name, size }).collect(), kinds)
    }

    fn checked(sizes: Vec<Bytes>, names: Option<Vec<String>>, kinds: Vec<BinKind>) -> Result<Self> {
        for (field, length) in [("items", sizes.len()), ("bins", kinds.len())] {
            if length > Self::LARGEST {
                return Err(wrong(
                    field,
                    format!("{length} are more than the largest number, {}", Self::LARGEST),
                ));
            }
        }
        if kinds.is_empty() {
            return Err(wrong("bins", "there is no bin to pack into".to_owned()));
        }
        for (index, kind) in kinds.iter().enumerate() {
            let name = clip(&kind.name);
            if kind.capacity.is_zero() {
                return Err(wrong(&format!("bins[{index}]"), format!("{name:?} has no capacity")));
            }
            if kind.count == Some(0) {
                return Err(wrong(&format!("bins[{index}]"), format!("{name:?} has no copies")));
            }
        }
        unique("bins", kinds.iter().map(|kind| kind.name.as_str()))?;
        Ok(Self { sizes, names, kinds })
    }

    /// The size of every item.
    #[must_use]
    pub fn sizes(&self) -> &[Bytes] {
        &self.sizes
    }

    /// The kinds of bins.
    #[must_use]
    pub fn kinds(&self) -> &[BinKind] {
        &self.kinds
    }

    /// The names of the items, where they have any.
    #[must_use]
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// The name of item `index`: its own, or `item:3` for a nameless one. `None` past the end.
    #[must_use]
    pub fn item_name(&self, index: usize) -> Option<Cow<'_, str>> {
        match &self.names {
            Some(names) => names.get(index).map(|name| Cow::Borrowed(name.as_str())),
            None => (index < self.sizes.len()).then(|| Cow::Owned(format!("item:{index}"))),
        }
    }

    /// The name of copy `copy` of kind `kind`: the kind's own where there is one copy, else `a100:2`.
    /// `None` for an unknown kind.
    #[must_use]
    pub fn bin_name(&self, kind: usize, copy: u64) -> Option<String> {
        let BinKind { name, count, .. } = self.kinds.get(kind)?;
        Some(if *count == Some(1) { name.clone() } else { format!("{name}:{copy}") })
    }

    /// The sum of all sizes.
    #[must_use]
    pub fn total_size(&self) -> u128 {
        self.sizes.iter().map(|size| u128::from(size.get())).sum()
    }
}

fn wrong(field: &str, reason: String) -> Error {
    Error::Problem { field: field.to_owned(), reason }
}

/// Refuses a name that stands twice among `field`.
pub(crate) fn unique<'a>(field: &str, names: impl ExactSizeIterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashMap::with_capacity(names.len());
    for (index, name) in names.enumerate() {
        if let Some(first) = seen.insert(name, index) {
            let reason = format!("the name {:?} is taken by {field}[{first}]", clip(name));
            return Err(wrong(&format!("{field}[{index}]"), reason));
        }
    }
    Ok(())
}
