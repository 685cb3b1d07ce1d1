//! The text format of vector packing, as `VPSolver` reads it.

use super::{VectorInstance, VectorItem, at, capacity, end, whole, words, wrong};
use crate::error::Result;

/// What `VPSolver` writes below the items where they are packed as everywhere: whole, and any number of copies in a bin.
const HARMLESS: [&str; 2] = ["BINARY{0};", "VTYPE{I};"];

/// Reads the text format of vector packing: the number of dimensions, the capacity in each, the number of kinds of
/// items, then for each kind what an item needs in each dimension, and how many there are.
///
/// Numbers stand between blanks; where lines end does not matter. Resources are called `0`, `1` and so on.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) naming the line: not a whole number, no dimension, a capacity of zero, an
/// end too early or too late.
pub fn parse_vbp(text: &str) -> Result<VectorInstance> {
    let mut words = words(text.strip_prefix('\u{feff}').unwrap_or(text));
    let (line, dimensions) = whole(words.next(), "the number of dimensions")?;
    if dimensions == 0 {
        return Err(at(line, "no dimensions; expected at least one"));
    }
    let mut capacities = Vec::new();
    for _ in 0..dimensions {
        // The lists grow as words come: large counts alone reserve nothing.
        capacities.push(capacity(words.next())?);
    }
    let (_, count) = whole(words.next(), "the number of kinds of items")?;
    let mut items = Vec::new();
    for index in 0..count {
        let mut demand = Vec::new();
        for _ in 0..dimensions {
            let Some(next) = words.next() else {
                return Err(wrong("file", format!("ends after {index} of {count} kinds of items")));
            };
            demand.push(whole(Some(next), "a demand")?.1);
        }
        let (_, count) = whole(words.next(), "a number of items")?;
        items.push(VectorItem { demand, count });
    }
    end(words.find(|(_, word)| !HARMLESS.contains(word)), count)?;
    let resources = (0..dimensions).map(|index| index.to_string()).collect();
    Ok(VectorInstance { resources, capacities, items })
}
