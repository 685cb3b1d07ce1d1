//! A mask and what is not zero: the smallest magnitudes are pruned, of equal ones the earlier.

use super::super::piece::Part;
use super::super::sparse::{Kept, Sparse, Zeros};
use super::super::weight::Weight;
use super::{bits, cannot, damaged, length};
use crate::error::Result;

pub(super) fn encode(scheme: Sparse, weight: &Weight, values: &[f32]) -> Result<Vec<Vec<u8>>> {
    let kept = length(kept(scheme, weight)?)?;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&one, &other| values[one].abs().total_cmp(&values[other].abs()));
    let mut mask = vec![1_u8; values.len()];
    for &place in &order[..values.len().saturating_sub(kept)] {
        mask[place] = 0;
    }
    let stored = values.iter().zip(&mask).filter(|&(_, &bit)| bit == 1).map(|(&value, _)| value);
    Ok(vec![bits::halves(stored), bits::pack(&mask, 1)])
}

fn kept(scheme: Sparse, weight: &Weight) -> Result<u64> {
    match (scheme.zeros, scheme.kept) {
        (Zeros::Share(_), Kept::F16) => scheme.zeros.kept(weight).ok_or_else(|| cannot(scheme)),
        _ => Err(cannot(scheme)),
    }
}

pub(super) fn decode(scheme: Sparse, weight: &Weight, data: &[&[u8]], out: &mut [f32]) -> Result<()> {
    let (Some(&stored), Some(&mask)) = (data.first(), data.get(1)) else {
        return Err(damaged(Part::Values, "no mask beside them"));
    };
    let kept = length(kept(scheme, weight)?)?;
    let set: usize = (0..out.len()).map(|element| usize::from(bits::code(mask, element, 1))).sum();
    if set != kept {
        return Err(damaged(Part::Mask, format!("it has {set} elements and {kept} are stored")));
    }
    let mut next = 0_usize;
    for (element, value) in out.iter_mut().enumerate() {
        *value = 0.0;
        if bits::code(mask, element, 1) == 1 {
            *value = bits::half(stored, next);
            next = next.saturating_add(1);
        }
    }
    Ok(())
}
