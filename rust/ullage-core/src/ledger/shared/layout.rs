//! Where everything stands in the file: 64-bit words in the byte order of the machine.
//!
//! ```text
//!  header   what never changes, with its checksum; the magic number is written last
//!  lock     the identity of the process that holds it, or 0
//!  state    epoch, time of the last sweep, counts
//!  members  one identity for each ledger opened by a living process
//!  accounts parent, epoch, limit | charged, peak, refusals (derived) | name
//!  waiters  identity, ticket, account, bytes, times passed, last poll
//!  cells    bytes, reservations, since when, of each member on each very account: the truth
//! ```

/// First word of a finished file. A file of the other byte order does not show it.
pub(super) const MAGIC: u64 = u64::from_be_bytes(*b"ullage\x00L");
/// First word while the file is being made.
pub(super) const MAKING: u64 = u64::from_be_bytes(*b"ullage\x00m");
pub(super) const VERSION: u64 = 1;

// Header.
pub(super) const MAGIC_WORD: usize = 0;
pub(super) const VERSION_WORD: usize = 1;
pub(super) const LENGTH_WORD: usize = 2;
pub(super) const MEMBERS_WORD: usize = 3;
pub(super) const ACCOUNTS_WORD: usize = 4;
pub(super) const WAITERS_WORD: usize = 5;
/// The two words of the boot that made the file.
pub(super) const BOOT_WORD: usize = 6;
/// Process and time namespace: in another one, process ids and start times mean something else.
pub(super) const NAMESPACE_WORD: usize = 8;
pub(super) const CHECKSUM_WORD: usize = 10;

// A cache line of its own each.
pub(super) const LOCK: usize = 16;
pub(super) const EPOCH: usize = 32;
/// Time of the last sweep, in nanoseconds of the monotonic clock.
pub(super) const SWEPT: usize = 33;
/// Number of accounts.
pub(super) const COUNT: usize = 34;
/// The last ticket given to a waiter.
pub(super) const TICKET: usize = 35;
/// An upper bound of the entries in use among the waiters.
pub(super) const WAITING: usize = 36;

const MEMBERS: usize = 64;
const ACCOUNT_WORDS: usize = 40;
const WAITER_WORDS: usize = 8;
const CELL_WORDS: usize = 3;

// An account.
pub(super) const PARENT: usize = 0;
pub(super) const ACCOUNT_EPOCH: usize = 1;
pub(super) const LIMIT: usize = 2;
pub(super) const CHARGED: usize = 3;
pub(super) const PEAK: usize = 4;
pub(super) const REFUSALS: usize = 5;
pub(super) const NAME_BYTES: usize = 6;
pub(super) const NAME: usize = 8;
/// The longest name of an account, in bytes of UTF-8.
pub(super) const NAME_LIMIT: usize = (ACCOUNT_WORDS - NAME) * 8;
/// The parent of the root.
pub(super) const NO_PARENT: u64 = u64::MAX;
/// The limit of an account without one.
pub(super) const NO_LIMIT: u64 = u64::MAX;

// A waiter.
pub(super) const WAITER: usize = 0;
pub(super) const WAITER_TICKET: usize = 1;
pub(super) const WAITER_ACCOUNT: usize = 2;
pub(super) const WAITER_BYTES: usize = 3;
pub(super) const WAITER_PASSED: usize = 4;
pub(super) const WAITER_SEEN: usize = 5;

// A cell.
pub(super) const CELL_BYTES: usize = 0;
pub(super) const CELL_COUNT: usize = 1;
/// Since when something has been held without a break, in nanoseconds of the monotonic clock.
pub(super) const CELL_SINCE: usize = 2;

/// How much of everything a file has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) members: usize,
    pub(super) accounts: usize,
    pub(super) waiters: usize,
}

impl Layout {
    /// Of every file: 3.3 MB, of which an ordinary use touches some pages.
    pub(super) const STANDARD: Self = Self { members: 256, accounts: 512, waiters: 256 };

    #[expect(clippy::unused_self, reason = "asked as the other places are")]
    pub(super) const fn member(self, member: usize) -> usize {
        MEMBERS.saturating_add(member)
    }

    pub(super) const fn account(self, account: usize, field: usize) -> usize {
        let start = self.member(self.members);
        start.saturating_add(account.saturating_mul(ACCOUNT_WORDS)).saturating_add(field)
    }

    pub(super) const fn waiter(self, entry: usize, field: usize) -> usize {
        let start = self.account(self.accounts, 0);
        start.saturating_add(entry.saturating_mul(WAITER_WORDS)).saturating_add(field)
    }

    pub(super) const fn cell(self, member: usize, account: usize, field: usize) -> usize {
        let start = self.waiter(self.waiters, 0);
        let cell = member.saturating_mul(self.accounts).saturating_add(account);
        start.saturating_add(cell.saturating_mul(CELL_WORDS)).saturating_add(field)
    }

    /// Words of the whole file.
    pub(super) const fn words(self) -> usize {
        self.cell(self.members, 0, 0)
    }
}
