//! How the elements of a tensor lie in its file, where a format lets them lie otherwise than one behind the other.

/// Where the elements of a tensor are to be found from its offset on. A tensor without one has them one behind the other,
/// the last dimension the fastest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Elements from one to the next of each dimension; a part of a storage, or one that was transposed.
    Strided(Vec<u64>),
    /// They are not numbers as they lie there, and why.
    Unread(&'static str),
}

impl Layout {
    /// The layout of a view of `shape` with these `strides`; `None` where elements lie one behind the other.
    pub(crate) fn of(shape: &[u64], strides: &[u64]) -> Option<Self> {
        let mut expected = 1_u64;
        let is_plain = shape.contains(&0)
            || shape.iter().zip(strides).rev().all(|(&size, &stride)| {
                let is_next = size == 1 || stride == expected;
                expected = expected.saturating_mul(size);
                is_next
            });
        (!is_plain).then(|| Self::Strided(strides.to_vec()))
    }
}
