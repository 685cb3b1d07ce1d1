//! Models of which only the configuration is at hand.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::directory::{CONFIG, directory_name, read_json, read_text};
use super::fault::Fault;
use super::format::Format;
use super::settings::parse;
use super::{Architecture, Basis, Contents, Model, Tensor, blueprint};
use crate::error::{Error, Result};
use crate::units::Bytes;

impl Model {
    /// The model that a `config.json` describes, of which no weights need exist; `name` is what to call it.
    ///
    /// # Errors
    /// [`crate::Error::ModelFile`] naming the key for what is not JSON, holds impossible numbers, or describes an
    /// architecture of which no layout is known.
    pub fn from_config(name: &str, json: &str) -> Result<Self> {
        let here = Path::new(CONFIG);
        let contents = parse(json.as_bytes()).and_then(|root| blueprint::of(&root));
        let contents = contents.map_err(|fault| fault.at(here))?;
        let model = Self::of(name.to_owned(), here, Format::Config, contents)?;
        Ok(Self { basis: Basis::Config, path: None, ..model })
    }

    /// The model whose parts are those of `parts`, each under its name: a pipeline of encoder, denoiser and decoder.
    ///
    /// # Errors
    /// As [`Self::from_config`], and [`crate::Error::Argument`] where there is no part.
    pub fn from_components(name: &str, parts: &[(&str, &str)]) -> Result<Self> {
        let mut whole = Contents::default();
        for (part, json) in parts {
            let model = Self::from_config(part, json)?;
            let start = whole.file_bytes;
            for tensor in model.tensors {
                let offset = tensor.offset.saturating_add(start.get());
                whole.tensors.push(Tensor { name: format!("{part}.{}", tensor.name), offset, ..tensor });
            }
            whole.file_bytes = Bytes::sum([start, model.file_bytes], "the parts")?;
            whole.notes.extend(model.notes.into_iter().map(|note| format!("{part}: {note}")));
        }
        if whole.tensors.is_empty() {
            return Err(Error::Argument { name: "components", reason: "a model of no parts".to_owned() });
        }
        // No part of a pipeline keeps a cache from one step to the next.
        whole.architecture = Some(Architecture { is_decoder: Some(false), ..Architecture::default() });
        let model = Self::of(name.to_owned(), Path::new(CONFIG), Format::Config, whole)?;
        Ok(Self { basis: Basis::Config, path: None, ..model })
    }

    pub(super) fn open_config(path: &Path) -> Result<Self> {
        let (file, directory) = if path.is_dir() {
            (path.join(CONFIG), path.to_owned())
        } else {
            (path.to_owned(), path.parent().unwrap_or(Path::new("")).to_owned())
        };
        let contents = parse(&read_text(&file)?).and_then(|root| blueprint::of(&root));
        let mut contents = contents.map_err(|fault| fault.at(&file))?;
        compare(&mut contents, &directory)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = if stem == "config" { directory_name(&directory).unwrap_or(stem) } else { stem };
        Ok(Self { basis: Basis::Config, ..Self::of(name, path, Format::Config, contents)? })
    }
}

#[derive(Deserialize)]
struct Index {
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    total_size: Option<f64>,
}

/// An index without its shards still states their bytes; they count as those of the files.
fn compare(contents: &mut Contents, directory: &Path) -> Result<()> {
    let Some(index) = index_in(directory) else { return Ok(()) };
    let found: Index = read_json(&index)?;
    let Some(total) = found.metadata.and_then(|metadata| metadata.total_size) else { return Ok(()) };
    let stated = format!("{total:.0}")
        .parse()
        .map_err(|_| Fault::new(format!("{total} bytes")).field("metadata.total_size").at(&index))?;
    let expected = contents.file_bytes;
    if expected != Bytes::new(stated) {
        contents.notes.push(format!(
            "the index of shards states {stated} bytes, the configuration describes {}",
            expected.get()
        ));
    }
    contents.file_bytes = Bytes::new(stated);
    Ok(())
}

fn index_in(directory: &Path) -> Option<PathBuf> {
    let names = ["model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.json"];
    names.iter().map(|name| directory.join(name)).find(|path| path.is_file())
}
