//! Every failure of the crate, with its numbers as fields.
//!
//! Messages are made when they are read, never before; whoever catches an error can act on the fields instead of
//! parsing text.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error as ThisError;

use crate::units::{Bytes, UnitError};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and where.
#[derive(Debug, ThisError)]
pub enum Error {
    /// A text that is not a byte count.
    #[error("{input:?} is not a byte count: {reason}")]
    Quantity {
        /// The text as given, clipped.
        input: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// An argument outside its domain.
    #[error("{name}: {reason}")]
    Argument {
        /// The argument's name.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// A byte count beyond 2^64 − 1.
    #[error("{what} is larger than 2^64 - 1 bytes")]
    Overflow {
        /// The quantity that was being computed.
        what: &'static str,
    },

    /// A reservation that does not fit under a limit.
    #[error(transparent)]
    BudgetExceeded(#[from] Box<Refusal>),

    /// An account path that is not one.
    #[error("account path {path:?}: {reason}")]
    AccountPath {
        /// The path as given, clipped.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// An operation on a reservation that was already released.
    #[error("the reservation {label:?} of account {account:?} was released already")]
    Released {
        /// The account it was made on.
        account: String,
        /// The label it was given.
        label: String,
    },

    /// A reservation of a shared ledger in a process that did not make it, such as a forked child.
    #[error("the reservation {label:?} of account {account:?} belongs to process {pid}, which made it")]
    Inherited {
        /// The account it was made on.
        account: String,
        /// The label it was given.
        label: String,
        /// The process that made it.
        pid: u32,
    },

    /// A shared ledger that cannot be opened, or whose file makes no sense.
    #[error("shared ledger {}{}: {reason}", path.display(), at(*offset))]
    SharedFile {
        /// Its file.
        path: PathBuf,
        /// The byte offset of the fault, where one is known.
        offset: Option<u64>,
        /// What is wrong.
        reason: String,
    },

    /// The lock of a shared ledger that a living process holds and does not give back: it is stopped, say.
    #[error("shared ledger {}: locked for {waited_s:.1} s by {}", path.display(), locker(*pid))]
    SharedBusy {
        /// Its file.
        path: PathBuf,
        /// The process that holds the lock, where it is known.
        pid: Option<u32>,
        /// Seconds waited.
        waited_s: f64,
    },

    /// An operation on a shared ledger that this process has closed.
    #[error("shared ledger {}: closed in this process", path.display())]
    SharedClosed {
        /// Its file.
        path: PathBuf,
    },

    /// A handle that names no live reservation of the ledger it was given to.
    #[error("handles[{index}] {fault}")]
    Handle {
        /// Its place among the handles given.
        index: usize,
        /// What is wrong with it.
        fault: HandleFault,
    },

    /// A model file that is damaged, hostile or of another format.
    #[error("{}{}{}: {reason}", path.display(), at(*offset), named(field.as_deref()))]
    ModelFile {
        /// The file.
        path: PathBuf,
        /// The byte offset of the fault, where one is known.
        offset: Option<u64>,
        /// The tensor or key at fault, where one is known.
        field: Option<String>,
        /// What is wrong.
        reason: String,
    },

    /// Stored weights that contradict themselves, or are not what their scheme and shape say.
    #[error("stored weights are damaged ({piece}): {reason}")]
    Damaged {
        /// The piece at fault, such as `mask`; `pieces` where it is all of them.
        piece: &'static str,
        /// What is wrong with it.
        reason: String,
    },

    /// A file or directory that cannot be read.
    #[error("{}: {}", path.display(), plain(source))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },

    /// A packing problem that makes no sense.
    #[error("{field}: {reason}")]
    Problem {
        /// The part at fault, such as `items[3]`.
        field: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A plan that breaks one of its facts.
    #[error("invalid plan: {fact}")]
    Violation {
        /// The first violated fact, with the numbers.
        fact: String,
    },

    /// A model that the pool does not know.
    #[error("no model {name:?} is registered in this pool")]
    UnknownModel {
        /// The name asked for.
        name: String,
    },

    /// An event that does not fit the state of the pool: a second release, a load nobody asked for.
    #[error("{event} for {subject}: {reason}")]
    Protocol {
        /// The event as named in the pool's vocabulary.
        event: &'static str,
        /// The model, request or lease it speaks of.
        subject: String,
        /// Why it cannot be taken.
        reason: String,
    },
}

impl From<UnitError> for Error {
    fn from(error: UnitError) -> Self {
        match error {
            UnitError::Quantity { input, reason } => Self::Quantity { input, reason },
            UnitError::Overflow { what } => Self::Overflow { what },
            UnitError::Argument { name, reason } => Self::Argument { name, reason },
        }
    }
}

/// Why a reservation was refused: the account that is full, and who fills it.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[error(
    "{requested} requested of account {account:?}, {available} available under its limit of {limit}{}",
    held_by(holders)
)]
pub struct Refusal {
    /// Path of the account whose limit refused; the root is `/`.
    pub account: String,
    /// Bytes asked for.
    pub requested: Bytes,
    /// Bytes that were free under that limit at the instant of the decision.
    pub available: Bytes,
    /// The limit.
    pub limit: Bytes,
    /// The largest reservations below that account, largest first, at most [`Refusal::HOLDERS`].
    pub holders: Vec<Holder>,
}

impl Refusal {
    /// The most holders that a refusal names.
    pub const HOLDERS: usize = 5;
}

/// All that is held under one label of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Path of the account.
    pub account: String,
    /// The label.
    pub label: String,
    /// The sum.
    pub bytes: Bytes,
    /// Live reservations; 0 where they are not counted one by one.
    pub reservations: u64,
    /// How long something has been held without a break.
    pub age: Duration,
}

/// Why a handle names no live reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum HandleFault {
    /// Double free, or use after free.
    #[error("was released already")]
    Released,
    /// It belongs to another ledger.
    #[error("belongs to another ledger")]
    Foreign,
    /// No ledger ever gave it.
    #[error("was never given out")]
    Unknown,
}

/// The operating system's words, without the number that Rust puts behind them.
fn plain(source: &std::io::Error) -> String {
    let text = source.to_string();
    text.split(" (os error ").next().unwrap_or(&text).to_owned()
}

fn at(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at byte {offset}"))
}

fn locker(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}, which lives"))
}

fn named(field: Option<&str>) -> String {
    field.map_or_else(String::new, |field| format!(" ({field})"))
}

fn held_by(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return String::new();
    }
    let list: Vec<String> = holders
        .iter()
        .map(|holder| format!("{} {} ({})", holder.account, holder.label, holder.bytes))
        .collect();
    format!("; held by {}", list.join(", "))
}
