//! What an account path is.

use crate::error::{Error, Result};
use crate::units::clip;

const LEVELS: usize = 32;
const SEGMENT_CHARS: usize = 255;

/// The parts of an account path; none for the root, written `/` or as the empty text.
pub(super) fn segments(path: &str) -> Result<Vec<&str>> {
    if path.is_empty() || path == "/" {
        return Ok(Vec::new());
    }
    let fail = |reason| Error::AccountPath { path: clip(path), reason };
    let segments: Vec<&str> = path.split('/').collect();
    if segments.len() > LEVELS {
        return Err(fail("more than 32 levels deep"));
    }
    for segment in &segments {
        if segment.is_empty() {
            return Err(fail("an empty segment; write a/b, without a leading, trailing or double '/'"));
        }
        if segment.chars().count() > SEGMENT_CHARS {
            return Err(fail("a segment longer than 255 characters"));
        }
        if segment.chars().any(char::is_control) {
            return Err(fail("a control character"));
        }
    }
    Ok(segments)
}
