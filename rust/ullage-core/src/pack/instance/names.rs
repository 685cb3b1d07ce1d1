//! A CSV of names and sizes.

use super::{Instance, at, filled_lines, wrong};
use crate::error::Result;
use crate::units::{UnitError, clip};

/// Reads `name,size` lines under that header. A size may have a unit, as in `1.5 GB`; what stands before the last
/// comma is the name, without quoting.
///
/// # Errors
/// [`Error::Problem`](crate::Error::Problem) naming the line: another header, no comma, no size.
pub fn parse_csv(text: &str) -> Result<Instance> {
    let mut lines = filled_lines(text.strip_prefix('\u{feff}').unwrap_or(text));
    match lines.next() {
        Some((_, "name,size")) => {}
        Some((line, other)) => {
            return Err(at(line, format!("expected the header name,size, not {:?}", clip(other))));
        }
        None => return Err(wrong("file", "empty, expected the header name,size")),
    }
    let (mut names, mut sizes) = (Vec::new(), Vec::new());
    for (line, text) in lines {
        let (name, size) = text
            .rsplit_once(',')
            .ok_or_else(|| at(line, format!("expected name,size, not {:?}", clip(text))))?;
        sizes.push(size.parse().map_err(|error: UnitError| at(line, error.to_string()))?);
        names.push(name.trim().to_owned());
    }
    Ok(Instance { sizes, names: Some(names), capacity: None })
}
