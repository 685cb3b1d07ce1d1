//! The elements that a scheme stores: all, or those that pruning keeps.

/// Numbers, and which elements of the weight they are.
pub(super) enum Stored<'a> {
    /// All elements.
    All(&'a [f32]),
    /// Those at some places, in ascending order.
    At(&'a [f32], &'a [usize]),
}

impl Stored<'_> {
    /// Places and numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, f32)> {
        let (values, places) = match self {
            Self::All(values) => (*values, None),
            Self::At(values, places) => (*values, Some(*places)),
        };
        let count = places.map_or(values.len(), <[usize]>::len);
        (0..count).map(move |index| {
            let place = places.map_or(index, |places| places[index]);
            (place, values[place])
        })
    }

    /// The numbers of elements from `start` to `end`.
    pub(super) fn within(&self, start: usize, end: usize) -> Vec<f32> {
        match self {
            Self::All(values) => values.get(start..end.min(values.len())).unwrap_or_default().to_vec(),
            Self::At(values, places) => {
                let from = places.partition_point(|&place| place < start);
                let until = places.partition_point(|&place| place < end);
                places[from..until].iter().map(|&place| values[place]).collect()
            }
        }
    }
}
