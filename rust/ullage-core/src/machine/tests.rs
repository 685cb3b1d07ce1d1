use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const MEMINFO: &str = "MemTotal:       64 kB\nMemFree:        10 kB\nMemAvailable:   40 kB\n";

fn group(folder: &Path, limit: &str, usage: &str, stat: &str) -> GroupFiles {
    fs::create_dir_all(folder).unwrap();
    let file = |name: &str, content: &str| {
        fs::write(folder.join(name), content).unwrap();
        folder.join(name)
    };
    GroupFiles {
        limit: file("limit", limit),
        usage: file("usage", usage),
        stat: file("stat", stat),
        inactive: "inactive_file".to_owned(),
        active: "active_file".to_owned(),
        held: vec!["file_mapped".to_owned(), "file_dirty".to_owned()],
        inherited: Some("hierarchical_memory_limit".to_owned()),
    }
}

/// 64 KiB of which 40 are available, pages of 4 bytes, 5 of 9 resident.
fn plan(folder: &Path, groups: Vec<GroupFiles>) -> WatchPlan {
    fs::write(folder.join("statm"), "9 5 1 1 0 1 0\n").unwrap();
    fs::write(folder.join("meminfo"), MEMINFO).unwrap();
    WatchPlan {
        statm: folder.join("statm"),
        meminfo: folder.join("meminfo"),
        page: Bytes::new(4),
        groups,
        address_space: None,
        settings: Vec::new(),
        recheck: Duration::ZERO,
    }
}

fn reading(rss: u64, limit: u64, used: u64, available: u64) -> Reading {
    let [rss, limit, used, available] = [rss, limit, used, available].map(Bytes::new);
    Reading { rss, limit, used, available }
}

#[test]
fn the_host_alone() {
    let folder = TempDir::new().unwrap();
    let watch = Watch::open(plan(folder.path(), Vec::new())).unwrap();
    assert_eq!(watch.read(), Some(reading(20, 64 << 10, 24 << 10, 40 << 10)));
}

#[test]
fn what_changes_is_read_anew_and_droppable_cache_is_not_used() {
    let folder = TempDir::new().unwrap();
    let stat = "anon 3\ninactive_file 100\nactive_file 50\nfile_mapped 20\nfile_dirty 10\n";
    let job = group(&folder.path().join("job"), "3000\n", "1000\n", stat);
    let (limit, usage) = (job.limit.clone(), job.usage.clone());
    let watch = Watch::open(plan(folder.path(), vec![job])).unwrap();
    assert_eq!(watch.read(), Some(reading(20, 3000, 880, 2120)));
    fs::write(usage, "2999\n").unwrap();
    assert_eq!(watch.read(), Some(reading(20, 3000, 2879, 121)));
    fs::write(&limit, "2000\n").unwrap();
    assert_eq!(watch.read(), Some(reading(20, 2000, 2879, 0)));
    fs::write(&limit, "max\n").unwrap();
    assert_eq!(watch.read(), Some(reading(20, 64 << 10, 24 << 10, 40 << 10)));
}

#[test]
fn the_least_limit_binds_and_the_least_left_is_available() {
    let folder = TempDir::new().unwrap();
    let inner = group(&folder.path().join("inner"), "3000", "10", "");
    let outer = group(&folder.path().join("outer"), "4000", "3900", "");
    let watch = Watch::open(plan(folder.path(), vec![inner, outer])).unwrap();
    assert_eq!(watch.read(), Some(reading(20, 3000, 10, 100)));
}

#[test]
fn a_limit_from_out_of_sight_binds() {
    let folder = TempDir::new().unwrap();
    let stat = "hierarchical_memory_limit 500\n";
    let job = group(&folder.path().join("job"), "9223372036854771712", "100", stat);
    let watch = Watch::open(plan(folder.path(), vec![job])).unwrap();
    assert_eq!(watch.read(), Some(reading(20, 500, 100, 400)));
}

#[test]
fn mapped_bytes_count_against_the_limit_on_address_space() {
    let folder = TempDir::new().unwrap();
    let mut wanted = plan(folder.path(), Vec::new());
    wanted.address_space = Some(Bytes::new(50));
    assert_eq!(Watch::open(wanted).unwrap().read(), Some(reading(20, 50, 36, 14)));
}

#[test]
fn a_changed_setting_is_noticed_when_due() {
    let folder = TempDir::new().unwrap();
    let setting = folder.path().join("cgroup");
    fs::write(&setting, "0::/a\n").unwrap();
    let mut wanted = plan(folder.path(), Vec::new());
    wanted.settings = vec![(setting.clone(), b"0::/a\n".to_vec())];
    let prompt = Watch::open(wanted.clone()).unwrap();
    wanted.recheck = Duration::from_hours(1);
    let patient = Watch::open(wanted).unwrap();
    assert!(prompt.read().is_some());
    fs::write(&setting, "0::/b\n").unwrap();
    assert_eq!(prompt.read(), None);
    assert!(patient.read().is_some(), "not due for an hour");
}

#[test]
fn what_is_no_plain_file_cannot_be_kept() {
    let folder = TempDir::new().unwrap();
    let mut wanted = plan(folder.path(), Vec::new());
    wanted.meminfo = folder.path().to_owned();
    assert!(Watch::open(wanted.clone()).is_err());
    wanted.meminfo = folder.path().join("nowhere");
    assert!(Watch::open(wanted).is_err());
}

#[test]
fn a_file_that_never_ends_is_no_answer() {
    let folder = TempDir::new().unwrap();
    let wanted = plan(folder.path(), Vec::new());
    let watch = Watch::open(wanted).unwrap();
    fs::write(folder.path().join("meminfo"), vec![b' '; 1 << 20]).unwrap();
    assert_eq!(watch.read(), None);
}

#[cfg(unix)]
#[test]
fn a_number_that_stands_for_another_file_is_left_alone() {
    use std::os::fd::AsRawFd;

    let folder = TempDir::new().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    fs::write(&ours, "1").unwrap();
    fs::write(&theirs, "2").unwrap();
    let theirs = std::fs::File::open(theirs).unwrap();
    let swapped = KeptFile::of_another(theirs.try_clone().unwrap(), &ours).unwrap();
    assert!(!swapped.is_mine());
    let number = swapped.number().unwrap();
    drop(swapped);
    let path = format!("/proc/self/fd/{number}");
    assert!(!cfg!(target_os = "linux") || fs::read_link(path).unwrap().ends_with("theirs"), "still open");
    assert_ne!(theirs.as_raw_fd(), number);
}

proptest! {
    #[test]
    fn no_content_makes_it_panic_or_pass_the_host(
        contents in proptest::collection::vec("[0-9a-z_ :\n]{0,80}|[0-9]{1,25}|max|.{0,40}", 5),
        named in any::<bool>(),
    ) {
        let folder = TempDir::new().unwrap();
        let job = group(&folder.path().join("job"), &contents[0], &contents[1], &contents[2]);
        let watch = Watch::open(plan(folder.path(), vec![job])).unwrap();
        if named {
            let stat = format!("inactive_file {}\nactive_file {}", contents[3], contents[4]);
            fs::write(folder.path().join("job/stat"), stat).unwrap();
        }
        if let Some(found) = watch.read() {
            prop_assert!(found.limit <= Bytes::new(64 << 10));
            prop_assert!(found.available <= Bytes::new(40 << 10));
        }
    }

    #[test]
    fn bytes_of_any_kind_in_the_files_of_the_host(statm: Vec<u8>, meminfo: Vec<u8>, cut in 0..MEMINFO.len()) {
        let folder = TempDir::new().unwrap();
        let watch = Watch::open(plan(folder.path(), Vec::new())).unwrap();
        fs::write(folder.path().join("statm"), statm).unwrap();
        let _ = watch.read();
        fs::write(folder.path().join("statm"), "9 5").unwrap();
        fs::write(folder.path().join("meminfo"), meminfo).unwrap();
        let _ = watch.read();
        fs::write(folder.path().join("meminfo"), &MEMINFO[..cut]).unwrap();
        if let Some(found) = watch.read() {
            prop_assert!(found.available <= found.limit);
        }
    }

    #[test]
    fn a_count_is_what_the_standard_parser_reads(text in "[ \n]{0,2}[0-9]{0,22}[ \n]{0,2}|.{0,8}") {
        let digits = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let expected = digits.parse::<u64>().ok().filter(|_| !digits.starts_with('+'));
        prop_assert_eq!(count(&text), expected);
    }
}
