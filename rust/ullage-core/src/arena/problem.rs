//! [`Problem`]: what is to be laid out.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::arena::conditions::Conditions;
use crate::arena::spans::Spans;
use crate::error::{Error, Result};
use crate::units::{Bytes, clip};

/// Bytes that are needed from `lower` until before `upper`, in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The first instant of its life.
    pub lower: i64,
    /// The first instant after its life, above `lower`.
    pub upper: i64,
    /// How large it is. Zero is allowed.
    pub size: Bytes,
    /// Its offset is a multiple of this; 1 for any offset, never 0.
    pub alignment: u64,
}

impl Buffer {
    /// What is wrong with it, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        let Self { lower, upper, alignment, .. } = *self;
        if lower >= upper {
            return Some(format!("its lifetime [{lower}, {upper}) is empty"));
        }
        (alignment == 0).then(|| "its alignment is 0; 1 means none".to_owned())
    }

    /// Its size, and the most that its alignment may leave unused below it.
    fn span(&self) -> u128 {
        u128::from(self.size.get()).saturating_add(u128::from(self.alignment.saturating_sub(1)))
    }
}

/// Buffers to be laid out, and how high they may reach. Checked at construction and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    buffers: Vec<Buffer>,
    /// `None` where buffers are known by their position alone.
    ids: Option<Vec<String>>,
    capacity: Option<Bytes>,
    conditions: Conditions,
}

impl Problem {
    /// The most buffers.
    pub const LARGEST: usize = (u32::MAX / 4) as usize;
    /// The most bytes of all buffers together, with what their alignments may leave unused: 2^63 − 1.
    pub const MOST_BYTES: u64 = u64::MAX >> 1;

    /// A problem of `buffers`, known by `ids` where they have any, in at most `capacity` bytes where that is given.
    ///
    /// # Errors
    /// [`Error::Problem`] naming the part at fault: an empty lifetime, an alignment of 0, an id used twice, as many
    /// ids as there are buffers not given, more than [`Problem::LARGEST`] buffers or [`Problem::MOST_BYTES`].
    pub fn new(buffers: Vec<Buffer>, ids: Option<Vec<String>>, capacity: Option<Bytes>) -> Result<Self> {
        if buffers.len() > Self::LARGEST {
            let reason = format!("{} are more than the largest number, {}", buffers.len(), Self::LARGEST);
            return Err(wrong("buffers".to_owned(), reason));
        }
        if let Some(ids) = &ids {
            if ids.len() != buffers.len() {
                let reason = format!("{} ids for {} buffers", ids.len(), buffers.len());
                return Err(wrong("ids".to_owned(), reason));
            }
            unique(ids)?;
        }
        let mut total = 0_u128;
        for (index, buffer) in buffers.iter().enumerate() {
            if let Some(fault) = buffer.fault() {
                return Err(wrong(format!("buffers[{index}]"), fault));
            }
            total = total.saturating_add(buffer.span());
            if total > u128::from(Self::MOST_BYTES) {
                let reason = "up to this one they take more than 2^63 - 1 bytes together".to_owned();
                return Err(wrong(format!("buffers[{index}]"), reason));
            }
        }
        Ok(Self { buffers, ids, capacity, conditions: Conditions::default() })
    }

    /// The same problem under `conditions`.
    ///
    /// # Errors
    /// [`Error::Problem`] naming the column and the place at fault: a column of another length, a fixed offset that
    /// does not suit the alignment, two fixed buffers that share bytes, groups that are fixed at two offsets or whose
    /// alignments have no common multiple, gaps out of order or outside the life, more than [`Problem::MOST_BYTES`].
    pub fn with(mut self, conditions: Conditions) -> Result<Self> {
        conditions.check(&self.buffers)?;
        self.conditions = conditions;
        let spans = Spans::of(&self);
        let most = spans.all.iter().fold(u128::from(spans.fixed_height()), |sum, span| {
            sum.saturating_add(u128::from(span.size)).saturating_add(u128::from(span.alignment))
        });
        if !self.conditions.is_empty() && most > u128::from(Self::MOST_BYTES) {
            let reason = "fixed offsets, sizes and alignments together pass 2^63 - 1 bytes".to_owned();
            return Err(wrong("conditions".to_owned(), reason));
        }
        if let Some((one, other)) = spans.fixed_clash() {
            let reason = format!("it shares bytes with buffer {one}, which is fixed too");
            return Err(wrong(format!("fixed[{other}]"), reason));
        }
        Ok(self)
    }

    /// What is asked of single buffers.
    #[must_use]
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// The buffers that use their bytes at the instant `at`.
    #[must_use]
    pub fn alive_at(&self, at: i64) -> Vec<usize> {
        let is_alive = |index: usize, buffer: &Buffer| {
            self.conditions.lives(index, buffer).any(|(lower, upper)| lower <= at && at < upper)
        };
        let all = self.buffers.iter().enumerate();
        all.filter(|&(index, buffer)| is_alive(index, buffer)).map(|(index, _)| index).collect()
    }

    /// The buffers.
    #[must_use]
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// The ids of the buffers, where they have any.
    #[must_use]
    pub fn ids(&self) -> Option<&[String]> {
        self.ids.as_deref()
    }

    /// How high the layout may reach; `None` for as high as needed.
    #[must_use]
    pub fn capacity(&self) -> Option<Bytes> {
        self.capacity
    }

    /// The id of buffer `index`: its own, or its position. `None` past the end.
    #[must_use]
    pub fn id(&self, index: usize) -> Option<Cow<'_, str>> {
        match &self.ids {
            Some(ids) => ids.get(index).map(|id| Cow::Borrowed(id.as_str())),
            None => (index < self.buffers.len()).then(|| Cow::Owned(index.to_string())),
        }
    }
}

fn wrong(field: String, reason: String) -> Error {
    Error::Problem { field, reason }
}

fn unique(ids: &[String]) -> Result<()> {
    let mut seen = HashMap::with_capacity(ids.len());
    for (index, id) in ids.iter().enumerate() {
        if let Some(first) = seen.insert(id.as_str(), index) {
            return Err(wrong(format!("ids[{index}]"), format!("{:?} is taken by ids[{first}]", clip(id))));
        }
    }
    Ok(())
}
