//! The text formats of BPPLIB: BPP, an item a line, and CSP, a size and its demand a line.

use super::{Instance, VectorInstance, VectorItem, at, capacity, end, filled_lines, whole, wrong};
use crate::error::Result;
use crate::units::{Bytes, clip};

/// Reads the text format of BPPLIB: the number of items, the capacity, then one size a line.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) naming the line: not a whole number, too few lines, or something after
/// the last item.
pub fn parse_bpp(text: &str) -> Result<Instance> {
    let mut lines = filled_lines(text.strip_prefix('\u{feff}').unwrap_or(text));
    let (_, count) = whole(lines.next(), "the number of items")?;
    let capacity = capacity(lines.next())?;
    let mut sizes = Vec::new();
    for index in 0..count {
        // The list grows as lines come: a large count alone reserves nothing.
        let Some(next) = lines.next() else {
            return Err(wrong("file", format!("ends after {index} of {count} items")));
        };
        let (_, size) = whole(Some(next), "a size")?;
        sizes.push(Bytes::new(size));
    }
    end(lines.next(), count)?;
    Ok(Instance { sizes, names: None, capacity: Some(Bytes::new(capacity)) })
}

/// Reads the cutting-stock format of BPPLIB: the number of sizes, the capacity, then a size and its demand a line.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) naming the line: not two whole numbers, too few lines, or something after
/// the last size.
pub fn parse_csp(text: &str) -> Result<VectorInstance> {
    let mut lines = filled_lines(text.strip_prefix('\u{feff}').unwrap_or(text));
    let (_, count) = whole(lines.next(), "the number of sizes")?;
    let capacity = capacity(lines.next())?;
    let mut items = Vec::new();
    for index in 0..count {
        let Some((line, text)) = lines.next() else {
            return Err(wrong("file", format!("ends after {index} of {count} sizes")));
        };
        let mut words = text.split_whitespace().map(|word| (line, word));
        let (Some(size), Some(demand), None) = (words.next(), words.next(), words.next()) else {
            return Err(at(line, format!("{:?} is not a size and its demand", clip(text))));
        };
        let ((_, size), (_, count)) = (whole(Some(size), "a size")?, whole(Some(demand), "a demand")?);
        items.push(VectorItem { demand: vec![size], count });
    }
    end(lines.next(), count)?;
    Ok(VectorInstance { resources: vec!["size".to_owned()], capacities: vec![capacity], items })
}
