//! The elements of a view of a storage, in the order of its shape.
#![expect(clippy::arithmetic_side_effects, reason = "places within bytes whose end was looked at")]

/// Why a view has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The file ends before its last element.
    Beyond,
    /// So large a view of so few bytes repeats them, more often than memory is taken for.
    Repeated,
    /// The system has no memory for it.
    Memory,
}

/// Bytes that a view may take whatever it repeats.
const FEW: usize = 1 << 20;

/// The elements of `width` bytes each that a view of `shape` and `strides` has of `bytes`, which begin with its first.
///
/// # Errors
/// [`Missing`] where it is none of those bytes.
pub(super) fn gathered(
    bytes: &[u8],
    shape: &[u64],
    strides: &[u64],
    width: usize,
) -> Result<Vec<u8>, Missing> {
    let whole = |numbers: &[u64]| {
        numbers.iter().map(|&number| usize::try_from(number)).collect::<Result<Vec<_>, _>>()
    };
    let (Ok(shape), Ok(strides)) = (whole(shape), whole(strides)) else { return Err(Missing::Beyond) };
    if shape.contains(&0) || width == 0 {
        return Ok(Vec::new());
    }
    let last = shape
        .iter()
        .zip(&strides)
        .try_fold(0_usize, |sum, (&size, &stride)| sum.checked_add((size - 1).checked_mul(stride)?));
    let span = last.and_then(|last| last.checked_add(1)?.checked_mul(width));
    let Some(bytes) = span.and_then(|span| bytes.get(..span)) else { return Err(Missing::Beyond) };
    let size = shape.iter().try_fold(width, |product, &size| product.checked_mul(size));
    let Some(size) = size.filter(|&size| size <= bytes.len().max(FEW)) else { return Err(Missing::Repeated) };
    let mut out = Vec::new();
    out.try_reserve_exact(size).map_err(|_| Missing::Memory)?;
    let (run, stride) = (shape.last().copied().unwrap_or(1), strides.last().copied().unwrap_or(1));
    let outer = shape.len().saturating_sub(1);
    let mut place = vec![0_usize; outer];
    loop {
        let start = place.iter().zip(&strides).map(|(place, stride)| place * stride).sum::<usize>();
        if stride == 1 {
            out.extend_from_slice(&bytes[start * width..][..run * width]);
        } else {
            for step in 0..run {
                out.extend_from_slice(&bytes[(start + step * stride) * width..][..width]);
            }
        }
        // The next place of the dimensions but the last, which turn as a counter does.
        let Some(turned) = (0..outer).rev().find(|&dimension| place[dimension] + 1 < shape[dimension]) else {
            return Ok(out);
        };
        place[turned] += 1;
        place[turned + 1..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_in_the_order_of_the_shape() {
        let bytes: Vec<u8> = (0..24).collect();
        assert_eq!(gathered(&bytes, &[3, 2], &[1, 3], 1).unwrap(), [0, 3, 1, 4, 2, 5]);
        assert_eq!(gathered(&bytes, &[2, 2], &[4, 1], 2).unwrap(), [0, 1, 2, 3, 8, 9, 10, 11]);
        assert_eq!(gathered(&bytes, &[3], &[0], 2).unwrap(), [0, 1, 0, 1, 0, 1]);
        assert_eq!(gathered(&bytes, &[], &[], 4).unwrap(), [0, 1, 2, 3]);
        assert!(gathered(&bytes, &[5, 0], &[9, 9], 4).unwrap().is_empty());
        assert_eq!(gathered(&bytes, &[2, 2, 2], &[1, 2, 4], 3).unwrap().len(), 24);
    }

    #[test]
    fn a_view_of_other_bytes_is_none() {
        let bytes = [0; 24];
        assert_eq!(gathered(&bytes, &[7], &[1], 4), Err(Missing::Beyond));
        assert_eq!(gathered(&bytes, &[2], &[u64::MAX], 4), Err(Missing::Beyond));
        assert_eq!(gathered(&bytes, &[u64::MAX, 2], &[2, 1], 4), Err(Missing::Beyond));
        assert_eq!(gathered(&bytes, &[1 << 40, 1 << 20], &[0, 0], 4), Err(Missing::Repeated));
        assert_eq!(gathered(&bytes, &[1 << 21], &[0], 1), Err(Missing::Repeated));
    }
}
