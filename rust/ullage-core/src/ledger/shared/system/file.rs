//! The file: where it lies, who may have it, and making it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{
    self as sys, AtFlags, CWD, FallocateFlags, FileType, FlockOperation, Mode, OFlags, Stat, fallocate,
    fstat, ftruncate, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::super::book::View;
use super::super::header::{State, check, make};
use super::super::identity::World;
use super::super::layout::{Layout, MAGIC, MAKING};
use super::super::place::Place;
use super::super::words::{Memory, Words};
use super::{Linux, Mapping, surroundings};
use crate::error::{Error, Result};
use crate::units::clip;

const NAME_LIMIT: usize = 100;
/// How long another process may be making or opening the file.
const PATIENCE: Duration = Duration::from_secs(10);

fn fault(path: &Path, reason: impl Into<String>) -> Error {
    Error::SharedFile { path: path.to_owned(), offset: None, reason: reason.into() }
}

fn failed(path: &Path, what: &str, errno: Errno) -> Error {
    let text = std::io::Error::from(errno).to_string();
    let words = text.split(" (os error ").next().unwrap_or(&text);
    fault(path, format!("cannot be {what}: {words}"))
}

/// Where the ledger called `name` lies. A name that begins with `/` is a path already.
pub(in super::super) fn path_of(name: &str) -> Result<PathBuf> {
    if name.starts_with('/') {
        if name.contains('\0') {
            return Err(fault(Path::new(&clip(name)), "a path with a zero byte"));
        }
        return Ok(PathBuf::from(name));
    }
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > NAME_LIMIT || !name.bytes().all(is_good) {
        let reason =
            "a name has 1 to 100 letters, digits, dots, dashes and underscores; a path begins with '/'";
        return Err(fault(Path::new(&clip(name)), reason));
    }
    let folder = Some(PathBuf::from("/dev/shm")).filter(|folder| folder.is_dir());
    let runtime = || std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    let folder = folder.or_else(runtime).unwrap_or_else(std::env::temp_dir);
    Ok(folder.join(format!("ullage-{}-{name}", geteuid().as_raw())))
}

/// A ledger's file, checked and mapped.
pub(in super::super) struct Opened {
    pub(in super::super) view: View,
    pub(in super::super) world: Box<dyn World>,
    /// Keeps others from opening the file until this process has its place.
    pub(in super::super) guard: Alone,
}

/// A file that this process has locked. The mapping keeps the file open, so closing it would not unlock it.
pub(in super::super) struct Alone(File);

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = sys::flock(&self.0, FlockOperation::Unlock); // held by this very file: nothing to fail
    }
}

/// Opens the file at `path`, made where missing.
pub(in super::super) fn open(path: &Path) -> Result<Opened> {
    let surroundings = surroundings()?;
    let layout = Layout::STANDARD;
    let (file, stat) = open_alone(path)?;
    let bytes = u64::try_from(layout.words()).unwrap_or(u64::MAX).saturating_mul(8);
    match u64::try_from(stat.st_size).unwrap_or_default() {
        0 => claim_space(path, &file, bytes)?,
        size if size == bytes => {}
        size => return Err(fault(path, format!("not a shared ledger: {size} bytes, not {bytes}"))),
    }
    let mapping = Mapping::new(&file, layout.words()).map_err(|errno| failed(path, "mapped", errno))?;
    let words = Words::new(Memory::Mapped(mapping));
    let state = check(&words, layout, &surroundings).map_err(|fault| {
        let offset = u64::try_from(fault.word).ok().and_then(|word| word.checked_mul(8));
        Error::SharedFile { path: path.to_owned(), offset, reason: fault.reason }
    })?;
    if state == State::Unmade {
        claim_space(path, &file, bytes)?; // its maker may have died before
        make(&words, layout, &surroundings);
    }
    let view = View { words, layout, place: Place::new() };
    Ok(Opened { view, world: Box::new(Linux), guard: Alone(file) })
}

/// Gives the file its size and, where the file system can, its space: a full one must not kill whoever writes later.
fn claim_space(path: &Path, file: &File, bytes: u64) -> Result<()> {
    ftruncate(file, bytes).map_err(|errno| failed(path, "made", errno))?;
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(errno) => {
            let _ = ftruncate(file, 0);
            Err(failed(path, "made", errno))
        }
    }
}

/// Opens the file that `path` names at the end of the call, locked against others who open it.
fn open_alone(path: &Path) -> Result<(File, Stat)> {
    let started = Instant::now();
    loop {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match sys::open(path, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => File::from(file),
            Err(Errno::LOOP) => return Err(fault(path, "a symbolic link, which is not followed")),
            Err(Errno::ISDIR | Errno::NXIO) => return Err(fault(path, "not a regular file")),
            Err(errno) => return Err(failed(path, "opened", errno)),
        };
        check_owner(path, &fstat(&file).map_err(|errno| failed(path, "examined", errno))?)?;
        while let Err(errno) = sys::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if !matches!(errno, Errno::WOULDBLOCK | Errno::INTR) {
                return Err(failed(path, "locked", errno));
            }
            if started.elapsed() > PATIENCE {
                let waited_s = started.elapsed().as_secs_f64();
                return Err(Error::SharedBusy { path: path.to_owned(), pid: None, waited_s });
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        let stat = fstat(&file).map_err(|errno| failed(path, "examined", errno))?;
        let named = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
        if named.is_ok_and(|named| (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino)) {
            return Ok((file, stat));
        }
        if started.elapsed() > PATIENCE {
            return Err(fault(path, "removed again and again while it was opened"));
        }
    }
}

/// Refuses a file that is not this user's alone.
fn check_owner(path: &Path, stat: &Stat) -> Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(fault(path, "not a regular file"));
    }
    let own = geteuid().as_raw();
    if stat.st_uid != own {
        return Err(fault(path, format!("belongs to user {}, not to {own}", stat.st_uid)));
    }
    let mode = stat.st_mode & 0o7777;
    if mode & 0o077 != 0 {
        return Err(fault(path, format!("its permissions are {mode:o}; 600 keeps others out")));
    }
    if stat.st_nlink > 1 {
        return Err(fault(path, format!("has {} names; one is expected", stat.st_nlink)));
    }
    Ok(())
}

/// Removes the file; false if there is none. One named by its path must be a ledger.
pub(in super::super) fn unlink(path: &Path, is_path: bool) -> Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match sys::open(path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(false),
        Err(Errno::LOOP) => return Err(fault(path, "a symbolic link, which is not followed")),
        Err(errno) => return Err(failed(path, "opened", errno)),
    };
    check_owner(path, &fstat(&file).map_err(|errno| failed(path, "examined", errno))?)?;
    let mut start = [0; 8];
    let read = rustix::io::pread(&file, &mut start, 0);
    let is_ledger = read == Ok(8) && [MAGIC, MAKING].contains(&u64::from_ne_bytes(start));
    if is_path && !is_ledger {
        return Err(fault(path, "not a shared ledger; it is not removed"));
    }
    match unlinkat(CWD, path, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(failed(path, "removed", errno)),
    }
}
