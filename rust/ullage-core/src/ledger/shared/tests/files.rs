//! Real files: which are opened, which are refused, and what opening them leaves.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::ledger::shared::SharedLedger;
use crate::ledger::shared::layout::{BOOT_WORD, CHECKSUM_WORD, COUNT, Layout, NAMESPACE_WORD};
use crate::units::Bytes;

fn bytes(count: u64) -> Bytes {
    Bytes::new(count)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open(path: &Path) -> Result<SharedLedger> {
    SharedLedger::open(path.to_str().unwrap(), None)
}

/// The reason for which a file is refused, and the offset that is named.
fn refused(path: &Path) -> (Option<u64>, String) {
    match open(path) {
        Err(Error::SharedFile { path: named, offset, reason }) => {
            assert_eq!(named, path);
            (offset, reason)
        }
        other => panic!("{other:?} is no refusal"),
    }
}

/// A ledger's file that nobody has open.
fn made(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("ledger");
    let ledger = open(&path).unwrap();
    ledger.account("gpu/model", Some(bytes(7))).unwrap();
    ledger.root().set_limit(Some(bytes(100))).unwrap();
    path
}

fn overwrite(path: &Path, word: usize, value: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&value.to_ne_bytes(), word as u64 * 8).unwrap();
}

#[test]
fn the_file_is_the_user_s_alone_and_has_its_space() {
    let folder = folder();
    let path = made(&folder);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(metadata.len(), Layout::STANDARD.words() as u64 * 8);
    assert!(metadata.blocks() * 512 >= metadata.len(), "a full disk must not kill whoever writes");
}

#[test]
fn names_are_checked_and_lead_to_a_file_of_the_user() {
    for bad in ["", "a/b", "../a", "a b", "\u{e9}", "a\0", &"n".repeat(101)] {
        assert!(matches!(SharedLedger::open(bad, None), Err(Error::SharedFile { .. })), "{bad:?}");
    }
    let name = format!("core-test.{}_-", std::process::id());
    let ledger = SharedLedger::open(&name, Some(bytes(5))).unwrap();
    let file = ledger.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert!(file.starts_with("ullage-") && file.ends_with(&name), "{file}");
    assert_eq!(SharedLedger::open(&name, None).unwrap().root().limit().unwrap(), Some(bytes(5)));
    assert!(matches!(SharedLedger::open(&name, Some(bytes(6))), Err(Error::Argument { name: "limit", .. })));
    assert!(SharedLedger::unlink(&name).unwrap());
    assert!(!SharedLedger::unlink(&name).unwrap());
}

#[test]
fn a_file_that_is_not_the_user_s_alone_is_refused() {
    let folder = folder();
    let path = made(&folder);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(refused(&path).1.contains("permissions are 640"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(refused(&link).1.contains("symbolic link"));
    assert!(SharedLedger::unlink(link.to_str().unwrap()).is_err());
    fs::hard_link(&path, folder.path().join("second name")).unwrap();
    assert!(refused(&path).1.contains("2 names"));
    assert!(refused(folder.path()).1.contains("regular file"));
    assert!(refused(Path::new("/dev/null")).1.contains("regular file"));
    assert!(refused(&folder.path().join("no such folder/ledger")).1.contains("No such file"));
    if std::os::unix::fs::chown(&link, Some(12345), None).is_ok() {
        fs::remove_file(folder.path().join("second name")).unwrap();
        assert!(refused(&path).1.contains("belongs to user 12345"));
    }
}

#[test]
fn a_foreign_file_is_refused_and_left_as_it_is() {
    let folder = folder();
    let path = folder.path().join("thesis");
    for content in [b"once upon a time".to_vec(), vec![7; Layout::STANDARD.words() * 8]] {
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        fs::write(&path, &content).unwrap();
        assert!(refused(&path).1.contains("not a shared ledger"));
        assert!(SharedLedger::unlink(path.to_str().unwrap()).is_err());
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_damaged_header_is_refused_at_its_offset() {
    let folder = folder();
    let path = made(&folder);
    let original = fs::read(&path).unwrap();
    for word in 1..=CHECKSUM_WORD {
        for bit in [0, 17, 63] {
            let mut damaged = original.clone();
            damaged[word * 8 + bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, damaged).unwrap();
            assert!(refused(&path).0.is_some(), "word {word}");
        }
    }
    fs::write(&path, &original[..original.len() - 1]).unwrap();
    assert!(refused(&path).1.contains("bytes"));
    fs::write(&path, &original).unwrap();
    overwrite(&path, COUNT, 1 << 40);
    assert_eq!(refused(&path).0, Some(COUNT as u64 * 8));
    fs::write(&path, &original).unwrap();
    let parent = Layout::STANDARD.account(1, 0);
    overwrite(&path, parent, 2);
    assert_eq!(refused(&path), (Some(parent as u64 * 8), "account 1 stands before its parent 2".to_owned()));
    fs::write(&path, &original).unwrap();
    assert!(open(&path).is_ok());
}

/// The checksum of a header that was changed, as an attacker would make it.
fn sign(path: &Path) {
    let content = fs::read(path).unwrap();
    let sum = content[8..CHECKSUM_WORD * 8]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    overwrite(path, CHECKSUM_WORD, sum);
}

#[test]
fn a_file_of_another_namespace_is_refused_and_one_of_an_earlier_boot_made_anew() {
    let folder = folder();
    let path = made(&folder);
    overwrite(&path, NAMESPACE_WORD, 1);
    sign(&path);
    assert!(refused(&path).1.contains("namespace"));
    overwrite(&path, BOOT_WORD, 1);
    sign(&path);
    let ledger = open(&path).unwrap();
    assert_eq!((ledger.root().limit().unwrap(), ledger.snapshot().unwrap().accounts.len()), (None, 1));
}

#[test]
fn a_file_whose_maker_died_is_made_by_the_next() {
    let folder = folder();
    let path = made(&folder);
    let finished = fs::read(&path).unwrap();
    fs::write(&path, b"").unwrap();
    assert!(open(&path).is_ok());
    fs::write(&path, vec![0; finished.len()]).unwrap();
    assert!(open(&path).is_ok());
    let mut half = finished.clone();
    half[..8].copy_from_slice(&crate::ledger::shared::layout::MAKING.to_ne_bytes());
    half[64 * 8..].fill(0xa5);
    fs::write(&path, half).unwrap();
    let ledger = open(&path).unwrap();
    assert_eq!((ledger.root().used().unwrap(), ledger.root().limit().unwrap()), (Bytes::ZERO, None));
}

#[test]
fn an_unlinked_ledger_goes_on_for_those_who_have_it() {
    let folder = folder();
    let path = made(&folder);
    let old = open(&path).unwrap();
    let _held = old.root().reserve(bytes(9), "x").unwrap();
    assert!(SharedLedger::unlink(path.to_str().unwrap()).unwrap());
    let new = open(&path).unwrap();
    assert_eq!((old.root().used().unwrap(), new.root().used().unwrap()), (bytes(9), Bytes::ZERO));
}

#[test]
fn threads_that_open_and_book_at_once_see_one_budget() {
    let folder = folder();
    let path = folder.path().join("ledger");
    let limit = 5;
    let most = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (path, most) = (&path, &most);
            scope.spawn(move || {
                let ledger = SharedLedger::open(path.to_str().unwrap(), Some(bytes(limit))).unwrap();
                let account = ledger.account(&format!("a/{}", thread % 2), None).unwrap();
                for round in 0..500 {
                    if let Ok(held) = account.reserve(bytes(1 + (round + thread) % 3), "x") {
                        let used = ledger.root().used().unwrap().get();
                        assert!(used <= limit);
                        most.fetch_max(used, std::sync::atomic::Ordering::Relaxed);
                        held.resize(bytes(1)).unwrap();
                    }
                }
            });
        }
    });
    let ledger = open(&path).unwrap();
    assert_eq!(ledger.root().used().unwrap(), Bytes::ZERO);
    assert!(most.load(std::sync::atomic::Ordering::Relaxed) > 0);
}
