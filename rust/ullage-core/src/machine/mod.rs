//! One look at memory, made cheap: files of the kernel that stay open and are read again from their start.
//!
//! Which files those are, whoever opens a [`Watch`] has found out: the walk over mounts and control groups is long and
//! its result rarely changes. What is kept can turn stale (the process forks or moves, a descriptor is closed by others,
//! a group is removed, a limit appears further up); a stale watch says so, and a new one is opened.

mod file;
mod text;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Bytes;
use file::{Buffer, KeptFile};
use text::{Stat, count};

/// A control group with a limit: its files, and what its `memory.stat` calls things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFiles {
    /// Holds the limit in bytes, or a word for none.
    pub limit: PathBuf,
    /// Holds the bytes that are charged.
    pub usage: PathBuf,
    /// Holds lines `name number`, such as the next four.
    pub stat: PathBuf,
    /// Name of the page cache that nobody used lately.
    pub inactive: String,
    /// Name of the page cache that was used lately.
    pub active: String,
    /// Names of page cache that cannot be dropped at once.
    pub held: Vec<String>,
    /// Name of the least limit of all ancestors, where that counts too.
    pub inherited: Option<String>,
}

/// Which files to keep, and what was found in those that hardly change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchPlan {
    /// `/proc/self/statm`.
    pub statm: PathBuf,
    /// `/proc/meminfo`.
    pub meminfo: PathBuf,
    /// Bytes of a page, the unit of `statm`.
    pub page: Bytes,
    /// Groups with limits, innermost first.
    pub groups: Vec<GroupFiles>,
    /// The limit on address space.
    pub address_space: Option<Bytes>,
    /// Files on which this plan rests, with what they said.
    pub settings: Vec<(PathBuf, Vec<u8>)>,
    /// How long a change of a setting may go unnoticed.
    pub recheck: Duration,
}

/// Memory at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Resident memory of this process.
    pub rss: Bytes,
    /// The least limit above this process, or the host's memory.
    pub limit: Bytes,
    /// Used under `limit`, without page cache that can be dropped at once.
    pub used: Bytes,
    /// What can still be had: the least of what each limit and the host have left.
    pub available: Bytes,
}

/// Files of the kernel, kept open. Usable from any thread: reading moves no cursor.
#[derive(Debug)]
pub struct Watch {
    pid: u32,
    opened: Instant,
    recheck_ns: u64,
    /// Nanoseconds after `opened` at which the settings are looked at again.
    due_ns: AtomicU64,
    page: u64,
    statm: KeptFile,
    meminfo: KeptFile,
    groups: Vec<Group>,
    address_space: Option<u64>,
    settings: Vec<(KeptFile, Vec<u8>)>,
}

#[derive(Debug)]
struct Group {
    limit: KeptFile,
    usage: KeptFile,
    stat: KeptFile,
    names: Stat,
}

/// What bounds a process from one side.
#[derive(Clone, Copy)]
struct Bound {
    limit: u64,
    used: u64,
}

impl Watch {
    /// Opens every file of `plan`.
    ///
    /// # Errors
    /// What the system says of a file that is missing, unreadable or no plain file; `Unsupported` on systems other than
    /// Unix.
    pub fn open(plan: WatchPlan) -> io::Result<Self> {
        let group = |files: GroupFiles| {
            let GroupFiles { limit, usage, stat, inactive, active, held, inherited } = files;
            let names = Stat::new(inactive, active, held, inherited);
            let (limit, usage) = (KeptFile::open(&limit)?, KeptFile::open(&usage)?);
            Ok(Group { limit, usage, stat: KeptFile::open(&stat)?, names })
        };
        let recheck_ns = u64::try_from(plan.recheck.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            pid: std::process::id(),
            opened: Instant::now(),
            recheck_ns,
            due_ns: AtomicU64::new(recheck_ns),
            page: plan.page.get(),
            statm: KeptFile::open(&plan.statm)?,
            meminfo: KeptFile::open(&plan.meminfo)?,
            groups: plan.groups.into_iter().map(group).collect::<io::Result<_>>()?,
            address_space: plan.address_space.map(Bytes::get),
            settings: (plan.settings.into_iter())
                .map(|(path, said)| Ok((KeptFile::open(&path)?, said)))
                .collect::<io::Result<_>>()?,
        })
    }

    /// Reads every file from its start; `None` where this watch is stale or a file makes no sense.
    pub fn read(&self) -> Option<Reading> {
        if std::process::id() != self.pid || !self.is_current() {
            return None;
        }
        let mut buffer = Buffer::new();
        let mut pages = self.statm.text(&mut buffer)?.split(' ').map(count);
        let (mapped, resident) = (pages.next()??, pages.next()??);
        let (total, available) = text::host(self.meminfo.text(&mut buffer)?)?;
        let mut binding = Bound { limit: total, used: total.saturating_sub(available) };
        let mut left = available.min(total);
        let mut take = |bound: Bound| {
            left = left.min(bound.limit.saturating_sub(bound.used));
            if bound.limit < binding.limit {
                binding = bound;
            }
        };
        for group in &self.groups {
            group.read(&mut buffer)?.map(&mut take);
        }
        if let Some(limit) = self.address_space {
            take(Bound { limit, used: mapped.checked_mul(self.page)? });
        }
        let rss = Bytes::new(resident.checked_mul(self.page)?);
        let (limit, used) = (Bytes::new(binding.limit), Bytes::new(binding.used));
        Some(Reading { rss, limit, used, available: Bytes::new(left) })
    }

    /// Whether nothing moved since this was opened; once that was looked into, it holds for a while.
    fn is_current(&self) -> bool {
        let now = u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if now < self.due_ns.load(Ordering::Relaxed) {
            return true;
        }
        self.due_ns.store(now.saturating_add(self.recheck_ns), Ordering::Relaxed);
        let in_groups = self.groups.iter().flat_map(|group| [&group.limit, &group.usage, &group.stat]);
        let settings = self.settings.iter().map(|(file, _)| file);
        let mut kept = [&self.statm, &self.meminfo].into_iter().chain(in_groups).chain(settings);
        let mut buffer = Buffer::new();
        kept.all(KeptFile::is_mine)
            && self.settings.iter().all(|(file, said)| file.read(&mut buffer) == Some(said.as_slice()))
    }
}

impl Group {
    /// The limit and what counts against it; `Some(None)` where no limit stands any more.
    #[expect(clippy::option_option, reason = "unreadable and unlimited are two answers")]
    fn read(&self, buffer: &mut Buffer) -> Option<Option<Bound>> {
        let own = text::limit(self.limit.text(buffer)?)?;
        let charged = count(self.usage.text(buffer)?)?;
        let stat = self.names.read(self.stat.text(buffer)?)?;
        let limit = own.into_iter().chain(stat.inherited).min();
        let used = charged.saturating_sub(stat.droppable());
        Some(limit.map(|limit| Bound { limit, used }))
    }
}
