//! What the metadata of a compressed file says of its tensors.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::model::Fault;
use crate::units::clip;

/// The version of the format, which `ullage.format` states.
pub const VERSION: &str = "1";

/// The metadata's entry with the version.
pub(super) const FORMAT: &str = "ullage.format";
/// The metadata's entry with the list of compressed tensors.
pub(super) const TENSORS: &str = "ullage.tensors";

/// The metadata's entry with the tensors that share another's bytes.
pub(super) const TIED: &str = "ullage.tied";

/// One compressed tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) name: String,
    /// The scheme's text.
    pub(super) scheme: String,
    /// Number format before, as the format it came from names it.
    pub(super) dtype: String,
    pub(super) shape: Vec<u64>,
    /// Names of the tensors that hold its pieces, in the scheme's order.
    pub(super) pieces: Vec<String>,
}

/// The list as JSON.
pub(super) fn text(rows: &[Row]) -> String {
    serde_json::to_string(rows).unwrap_or_default() // texts and numbers alone, which cannot fail
}

/// The names of tensors that share another's bytes, each with that one's name.
///
/// # Errors
/// [`Fault`] for an entry that holds no such names.
pub(super) fn tied(metadata: &HashMap<String, String>) -> Result<BTreeMap<String, String>, Fault> {
    let Some(text) = metadata.get(TIED).filter(|_| metadata.contains_key(FORMAT)) else {
        return Ok(BTreeMap::new());
    };
    serde_json::from_str(text).map_err(|error| {
        let reason = format!("not names of tensors that share their bytes: {}", clip(&error.to_string()));
        Fault::new(reason).field(TIED)
    })
}

/// The list that the metadata of a header holds; `None` where it is no compressed file.
///
/// # Errors
/// [`Fault`] for another version, or a list that is none.
pub(super) fn read(metadata: &HashMap<String, String>) -> Result<Option<Vec<Row>>, Fault> {
    let Some(version) = metadata.get(FORMAT) else { return Ok(None) };
    if version != VERSION {
        let reason = format!("compressed in version {:?} of the format; {VERSION} is known", clip(version));
        return Err(Fault::new(reason).field(FORMAT));
    }
    let Some(list) = metadata.get(TENSORS) else {
        return Err(Fault::new("the list of compressed tensors is missing").field(TENSORS));
    };
    let rows = serde_json::from_str(list).map_err(|error| {
        let reason = format!("not a list of compressed tensors: {}", clip(&error.to_string()));
        Fault::new(reason).field(TENSORS)
    })?;
    Ok(Some(rows))
}
