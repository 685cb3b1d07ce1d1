//! Numbers in files of the kernel.

use std::str;

/// Version 1 of control groups writes "no limit" as 2^63 less one page, whatever the page.
const UNLIMITED: u64 = 1 << 62;

/// A number with blanks around it; `None` for anything else.
pub(super) fn count(text: &str) -> Option<u64> {
    let digits = text.trim_ascii();
    if digits.starts_with('+') { None } else { digits.parse().ok() }
}

/// A limit; `Some(None)` where there is none, `None` where the text makes no sense.
#[expect(clippy::option_option, reason = "senseless and unlimited are two answers")]
pub(super) fn limit(text: &str) -> Option<Option<u64>> {
    if text.trim_ascii() == "max" { Some(None) } else { Some(finite(count(text)?)) }
}

fn finite(limit: u64) -> Option<u64> {
    (limit < UNLIMITED).then_some(limit)
}

/// Memory and available memory of a `meminfo`, in bytes.
pub(super) fn host(text: &str) -> Option<(u64, u64)> {
    let (mut total, mut available) = (None, None);
    for line in text.split('\n') {
        if let Some(value) = line.strip_prefix("MemTotal:") {
            total = Some(kibibytes(value)?);
        } else if let Some(value) = line.strip_prefix("MemAvailable:") {
            available = Some(kibibytes(value)?);
        }
        if let (Some(total), Some(available)) = (total, available) {
            return (total > 0).then_some((total, available));
        }
    }
    None
}

fn kibibytes(value: &str) -> Option<u64> {
    count(value.trim_ascii().strip_suffix("kB")?)?.checked_mul(1024)
}

/// What a version of control groups calls the numbers in its `memory.stat`.
#[derive(Debug)]
pub(super) struct Stat {
    inactive: String,
    active: String,
    held: Vec<String>,
    inherited: Option<String>,
}

/// Numbers of one `memory.stat`.
#[derive(Default)]
pub(super) struct StatNumbers {
    inactive: u64,
    active: u64,
    held: u64,
    /// The least limit of all ancestors, where that counts and there is one.
    pub(super) inherited: Option<u64>,
}

impl Stat {
    pub(super) fn new(
        inactive: String,
        active: String,
        held: Vec<String>,
        inherited: Option<String>,
    ) -> Self {
        Self { inactive, active, held, inherited }
    }

    /// The numbers; what is not there counts as nothing, and `None` is a line that makes no sense.
    pub(super) fn read(&self, text: &str) -> Option<StatNumbers> {
        let mut found = StatNumbers::default();
        for line in text.split('\n') {
            let Some((name, value)) = line.split_once(' ') else { continue };
            if name == self.inactive {
                found.inactive = count(value)?;
            } else if name == self.active {
                found.active = count(value)?;
            } else if self.held.iter().any(|held| held == name) {
                found.held = found.held.saturating_add(count(value)?);
            } else if self.inherited.as_ref().is_some_and(|inherited| inherited == name) {
                found.inherited = finite(count(value)?);
            }
        }
        Some(found)
    }
}

impl StatNumbers {
    /// Page cache that can be dropped at once: never less than the inactive list, which holds no busy page.
    pub(super) fn droppable(&self) -> u64 {
        self.inactive.saturating_add(self.active).saturating_sub(self.held).max(self.inactive)
    }
}
