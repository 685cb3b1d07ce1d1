//! Processes by id and start time, from `/proc`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};
use rustix::time::{ClockId, clock_gettime};

use super::super::identity::{Surroundings, World, id, identity, start};
use crate::error::{Error, Result};

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    threads: u64,
    start: u64,
}

impl Stat {
    fn of(process: &str) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{process}/stat")).ok()?)
    }

    /// The name, the second field, may hold anything, even parentheses: the fields are counted from its last one.
    fn parse(text: &[u8]) -> Option<Self> {
        let name_end = text.iter().rposition(|&byte| byte == b')')?;
        let rest = str::from_utf8(text.get(name_end.checked_add(1)?..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            state: *fields.first()?.as_bytes().first()?,
            threads: fields.get(17)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether no thread runs any more. A zombie that is not alone has threads that do, even after `kill -9`.
    fn is_over(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }
}

/// The machine this runs on.
pub(in super::super) struct Linux;

impl World for Linux {
    fn own_identity(&self) -> Result<u64> {
        let pid = u32::try_from(getpid().as_raw_nonzero().get()).unwrap_or_default();
        let stat = Stat::of("self").ok_or_else(|| unreadable("/proc/self/stat"))?;
        Ok(identity(pid, stat.start))
    }

    fn is_alive(&self, whose: u64) -> bool {
        let Some(pid) = i32::try_from(id(whose)).ok().and_then(Pid::from_raw) else { return false };
        match Stat::of(&pid.as_raw_nonzero().to_string()) {
            Some(stat) => stat.start == start(whose) && !stat.is_over(),
            // Nothing to read: gone, or hidden from this user, or no file can be opened just now.
            None => test_kill_process(pid) != Err(Errno::SRCH),
        }
    }

    fn now_ns(&self) -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or_default())
    }
}

/// Those of this process.
pub(in super::super) fn surroundings() -> Result<Surroundings> {
    const BOOT: &str = "/proc/sys/kernel/random/boot_id";
    const NAMESPACE: &str = "/proc/self/ns/pid";
    let text = fs::read_to_string(BOOT).map_err(|_| unreadable(BOOT))?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let boot = u128::from_str_radix(&digits, 16).map_err(|_| unreadable(BOOT))?;
    let [high, low] =
        [boot >> 64, boot & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or_default());
    let process = fs::metadata(NAMESPACE).map_err(|_| unreadable(NAMESPACE))?.ino();
    let time = fs::metadata("/proc/self/ns/time").map_or(0, |entry| entry.ino()); // none before Linux 5.6
    Ok(Surroundings { boot: [high, low], namespaces: [process, time] })
}

fn unreadable(path: &str) -> Error {
    let reason = "cannot be read, and without it no process is told from another".to_owned();
    Error::SharedFile { path: Path::new(path).to_owned(), offset: None, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_and_spaces_hides_no_field() {
        let text =
            b"42 (a) Z 1 (b\xff) R 1 42 42 0 -1 4194304 101 0 0 0 0 0 0 0 20 0 3 0 1233843 3133440 383";
        assert_eq!(Stat::parse(text), Some(Stat { state: b'R', threads: 3, start: 1_233_843 }));
        for length in 0..text.len() {
            Stat::parse(&text[..length]);
        }
    }

    #[test]
    fn a_zombie_is_over_once_its_last_thread_is() {
        for (state, threads, is_over) in
            [(b'Z', 1, true), (b'Z', 2, false), (b'R', 1, false), (b'D', 1, false)]
        {
            assert_eq!(Stat { state, threads, start: 1 }.is_over(), is_over);
        }
    }

    #[test]
    fn this_process_lives_and_its_id_with_another_start_does_not() {
        let own = Linux.own_identity().unwrap();
        assert_eq!(id(own), std::process::id());
        assert!(Linux.is_alive(own));
        assert!(!Linux.is_alive(identity(id(own), start(own) ^ 1)));
        assert!(!Linux.is_alive(0));
    }

    #[test]
    fn a_child_is_alive_until_killed_even_before_it_is_waited_for() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let stat = Stat::of(&child.id().to_string()).unwrap();
        let whose = identity(child.id(), stat.start);
        assert!(Linux.is_alive(whose));
        child.kill().unwrap();
        while Linux.is_alive(whose) {
            std::thread::yield_now();
        }
        assert_eq!(Stat::of(&child.id().to_string()).map(|stat| stat.state), Some(b'Z'));
        child.wait().unwrap();
        assert!(!Linux.is_alive(whose));
    }
}
