//! A file that appears whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file beside its later place, which is gone when this is dropped before [`Partial::publish`].
#[derive(Debug)]
pub(super) struct Partial {
    place: PathBuf,
    path: PathBuf,
    file: Option<File>,
}

impl Partial {
    /// Begins a file that will lie at `place`.
    pub(super) fn new(place: &Path) -> Result<Self> {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        for number in 0..u32::MAX {
            let path = place.with_file_name(format!(".{name}.{}-{number}.partial", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { place: place.to_owned(), path, file: Some(file) }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Error::Io { path: place.to_owned(), source }),
            }
        }
        Err(Error::Overflow { what: "the number of unfinished files" })
    }

    /// Writes `bytes` behind what was written last.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.act(|file| file.write_all(bytes))
    }

    /// Writes `bytes` over the beginning.
    pub(super) fn write_start(&mut self, bytes: &[u8]) -> Result<()> {
        self.act(|file| {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(bytes)
        })
    }

    /// Puts the file in its place, once all of it is on the disk: over another one only if `is_forced`.
    pub(super) fn publish(mut self, is_forced: bool) -> Result<()> {
        self.act(|file| file.sync_all())?;
        let io = |source| Error::Io { path: self.place.clone(), source };
        if !is_forced && self.place.exists() {
            return Err(io(std::io::ErrorKind::AlreadyExists.into()));
        }
        fs::rename(&self.path, &self.place).map_err(io)?;
        self.file = None;
        // The new name lasts once its directory is on the disk too; not every system can be asked for that.
        let directory = self.place.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Ok(directory) = File::open(directory.unwrap_or(Path::new("."))) {
            let _ = directory.sync_all();
        }
        Ok(())
    }

    fn act(&mut self, act: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        act(file).map_err(|source| Error::Io { path: self.place.clone(), source })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}
