//! The manifest of a package.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::error::Result;
use crate::model::directory::{fault, read_json};
use crate::units::clip;

const MANIFEST: &str = "Manifest.json";

/// Where the items of a package lie.
const DATA: &str = "Data";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    root_model_identifier: String,
    item_info_entries: BTreeMap<String, Item>,
}

#[derive(Deserialize)]
struct Item {
    path: String,
}

/// Whether the directory is a package.
pub(in crate::model) fn is_package(directory: &Path) -> bool {
    directory.join(MANIFEST).is_file() && directory.join(DATA).is_dir()
}

/// The model file of the package at `path`, or `path` itself if that is a file.
pub(super) fn model_file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let manifest_path = path.join(MANIFEST);
    let manifest: Manifest = read_json(&manifest_path)?;
    let Some(item) = manifest.item_info_entries.get(&manifest.root_model_identifier) else {
        let reason = format!("no item {:?}, which is to be the model", clip(&manifest.root_model_identifier));
        return Err(fault(&manifest_path, Some("rootModelIdentifier"), reason));
    };
    let Some(inner) = contained(&item.path) else {
        let reason = format!("the model's path {:?} leads out of the package", clip(&item.path));
        return Err(fault(&manifest_path, Some("itemInfoEntries"), reason));
    };
    Ok(path.join(DATA).join(inner))
}

/// A path that goes down alone.
pub(super) fn contained(path: &str) -> Option<&Path> {
    let is_down = |component| matches!(component, Component::Normal(_));
    let inner = Path::new(path);
    let is_safe =
        !path.contains('\\') && inner.components().all(is_down) && inner.components().next().is_some();
    is_safe.then_some(inner)
}
