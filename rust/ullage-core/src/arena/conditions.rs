//! [`Conditions`]: what is asked of single buffers beyond size, lifetime and alignment.

use std::collections::BTreeMap;

use crate::arena::problem::{Buffer, Problem};
use crate::error::{Error, Result};
use crate::units::Bytes;

/// Conditions on the buffers of a problem. A column that is empty says nothing; else it has an entry for each buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Offsets that are given, and not to be found.
    pub fixed: Vec<Option<Bytes>>,
    /// Offsets that are taken where the layout gets no higher by them, or stays within the capacity.
    pub hints: Vec<Option<Bytes>>,
    /// Buffers of one group lie at one offset. Together they are one buffer, as large as the largest of them and alive
    /// while any of them is: an operator in place, or a view.
    pub groups: Vec<Option<u32>>,
    /// Times within a life, from until before, in which others may use the bytes. In order, none touches the next, and
    /// life neither begins nor ends with one.
    pub gaps: Vec<Vec<(i64, i64)>>,
}

impl Conditions {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fixed.iter().all(Option::is_none)
            && self.hints.iter().all(Option::is_none)
            && self.groups.iter().all(Option::is_none)
            && self.gaps.iter().all(Vec::is_empty)
    }

    pub(crate) fn fixed(&self, index: usize) -> Option<u64> {
        self.fixed.get(index).copied().flatten().map(Bytes::get)
    }

    pub(crate) fn hint(&self, index: usize) -> Option<u64> {
        self.hints.get(index).copied().flatten().map(Bytes::get)
    }

    pub(crate) fn group(&self, index: usize) -> Option<u32> {
        self.groups.get(index).copied().flatten()
    }

    /// When buffer `index` uses its bytes.
    pub(crate) fn lives(&self, index: usize, buffer: &Buffer) -> impl Iterator<Item = (i64, i64)> {
        let gaps = self.gaps.get(index).map_or(&[][..], Vec::as_slice);
        let begins = std::iter::once(buffer.lower).chain(gaps.iter().map(|gap| gap.1));
        let ends = gaps.iter().map(|gap| gap.0).chain(std::iter::once(buffer.upper));
        begins.zip(ends)
    }

    /// Whether the columns suit the `buffers`, and each other.
    pub(crate) fn check(&self, buffers: &[Buffer]) -> Result<()> {
        let lengths = [
            ("fixed", self.fixed.len()),
            ("hints", self.hints.len()),
            ("groups", self.groups.len()),
            ("gaps", self.gaps.len()),
        ];
        for (name, length) in lengths {
            if length != 0 && length != buffers.len() {
                let reason = format!("{length} entries for {} buffers", buffers.len());
                return Err(wrong(name.to_owned(), reason));
            }
        }
        for (index, buffer) in buffers.iter().enumerate() {
            self.check_fixed(index, buffer)?;
            self.check_gaps(index, buffer)?;
        }
        self.check_groups(buffers)
    }

    fn check_fixed(&self, index: usize, buffer: &Buffer) -> Result<()> {
        let Some(offset) = self.fixed(index) else { return Ok(()) };
        if !offset.is_multiple_of(buffer.alignment) {
            let reason = format!("{offset} is no multiple of its alignment {}", buffer.alignment);
            return Err(wrong(format!("fixed[{index}]"), reason));
        }
        if offset.checked_add(buffer.size.get()).is_none_or(|end| end > Problem::MOST_BYTES) {
            return Err(wrong(format!("fixed[{index}]"), "it ends above 2^63 - 1 bytes".to_owned()));
        }
        Ok(())
    }

    fn check_gaps(&self, index: usize, buffer: &Buffer) -> Result<()> {
        let Some(gaps) = self.gaps.get(index) else { return Ok(()) };
        let mut after = buffer.lower;
        for &(lower, upper) in gaps {
            if lower >= upper || lower <= after || upper >= buffer.upper {
                let reason = format!(
                    "the gap [{lower}, {upper}) is empty, out of order or not within the lifetime [{}, {})",
                    buffer.lower, buffer.upper
                );
                return Err(wrong(format!("gaps[{index}]"), reason));
            }
            after = upper;
        }
        Ok(())
    }

    /// A group has one offset: two that are fixed are the same, and it suits the alignments of all.
    fn check_groups(&self, buffers: &[Buffer]) -> Result<()> {
        let mut known: BTreeMap<u32, (usize, u64)> = BTreeMap::new();
        for index in 0..self.groups.len() {
            if let (Some(group), Some(offset)) = (self.group(index), self.fixed(index)) {
                let &mut (first, other) = known.entry(group).or_insert((index, offset));
                if other != offset {
                    let reason =
                        format!("{offset} is not {other}, where buffer {first} of the same group is fixed");
                    return Err(wrong(format!("fixed[{index}]"), reason));
                }
            }
        }
        for (index, buffer) in buffers.iter().enumerate() {
            let Some(&(first, offset)) = self.group(index).and_then(|group| known.get(&group)) else {
                continue;
            };
            if !offset.is_multiple_of(buffer.alignment) {
                let reason = format!("{offset} is no multiple of the alignments of all of its group");
                return Err(wrong(format!("fixed[{first}]"), reason));
            }
        }
        Ok(())
    }
}

fn wrong(field: String, reason: String) -> Error {
    Error::Problem { field, reason }
}
