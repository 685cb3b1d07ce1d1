//! Making a file, and refusing one that makes no sense.

use std::collections::HashSet;

use super::identity::Surroundings;
use super::layout::{
    ACCOUNT_EPOCH, ACCOUNTS_WORD, BOOT_WORD, CHECKSUM_WORD, COUNT, EPOCH, LENGTH_WORD, LIMIT, Layout, MAGIC,
    MAGIC_WORD, MAKING, MEMBERS_WORD, NAME, NAME_BYTES, NAME_LIMIT, NAMESPACE_WORD, NO_LIMIT, NO_PARENT,
    PARENT, VERSION, VERSION_WORD, WAITERS_WORD,
};
use super::words::Words;
use crate::ledger::path::segments;

/// What is wrong with a file, and at which word.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) word: usize,
    pub(super) reason: String,
}

impl Fault {
    fn new(word: usize, reason: impl Into<String>) -> Self {
        Self { word, reason: reason.into() }
    }
}

/// What a file of the right length is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Made, by this boot.
    Ready,
    /// Nothing yet: new, or its maker died; or made by an earlier boot, of which no process lives.
    Unmade,
}

/// FNV-1a over the words that never change.
fn checksum(words: &Words) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for index in VERSION_WORD..CHECKSUM_WORD {
        for byte in words.load(index).to_le_bytes() {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    sum
}

fn constants(layout: Layout, surroundings: &Surroundings) -> [(usize, u64); 9] {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let [boot, boot_end] = surroundings.boot;
    let [processes, time] = surroundings.namespaces;
    [
        (VERSION_WORD, VERSION),
        (LENGTH_WORD, count(layout.words())),
        (MEMBERS_WORD, count(layout.members)),
        (ACCOUNTS_WORD, count(layout.accounts)),
        (WAITERS_WORD, count(layout.waiters)),
        (BOOT_WORD, boot),
        (BOOT_WORD + 1, boot_end),
        (NAMESPACE_WORD, processes),
        (NAMESPACE_WORD + 1, time),
    ]
}

/// Makes an empty ledger of words that no process uses, the magic number last.
pub(super) fn make(words: &Words, layout: Layout, surroundings: &Surroundings) {
    words.store(MAGIC_WORD, MAKING);
    for index in 1..words.len() {
        if words.load(index) != 0 {
            words.store(index, 0); // a page never touched stays so
        }
    }
    for (index, value) in constants(layout, surroundings) {
        words.store(index, value);
    }
    words.store(layout.account(0, PARENT), NO_PARENT);
    words.store(layout.account(0, LIMIT), NO_LIMIT);
    words.store(COUNT, 1);
    words.store(CHECKSUM_WORD, checksum(words));
    words.store(MAGIC_WORD, MAGIC);
}

/// Reads what never changes. The length of the file has been checked.
pub(super) fn check(words: &Words, layout: Layout, surroundings: &Surroundings) -> Result<State, Fault> {
    match words.load(MAGIC_WORD) {
        MAGIC => {}
        MAKING => return Ok(State::Unmade),
        0 if (0..=CHECKSUM_WORD).all(|index| words.load(index) == 0) => return Ok(State::Unmade),
        _ => return Err(Fault::new(MAGIC_WORD, "not a shared ledger")),
    }
    let version = words.load(VERSION_WORD);
    if version != VERSION {
        return Err(Fault::new(VERSION_WORD, format!("of version {version}, and only {VERSION} is known")));
    }
    if words.load(CHECKSUM_WORD) != checksum(words) {
        return Err(Fault::new(CHECKSUM_WORD, "the header does not match its checksum"));
    }
    let boot = [words.load(BOOT_WORD), words.load(BOOT_WORD + 1)];
    if boot != surroundings.boot {
        return Ok(State::Unmade);
    }
    let mismatch =
        constants(layout, surroundings).into_iter().find(|&(index, value)| words.load(index) != value);
    match mismatch {
        None => Ok(State::Ready),
        Some((index, _)) if index >= NAMESPACE_WORD => Err(Fault::new(
            index,
            "made in another process or time namespace, whose process ids mean nothing here",
        )),
        Some((index, value)) => {
            Err(Fault::new(index, format!("{} stands where {value} is known", words.load(index))))
        }
    }
}

/// Checks the tables that are read later. Nobody may be writing to them.
pub(super) fn check_tables(words: &Words, layout: Layout) -> Result<(), Fault> {
    let count = words.load(COUNT);
    let Some(accounts) = usize::try_from(count).ok().filter(|count| (1..=layout.accounts).contains(count))
    else {
        return Err(Fault::new(
            COUNT,
            format!("{count} accounts, and there is room for 1 to {}", layout.accounts),
        ));
    };
    let root = layout.account(0, PARENT);
    if words.load(root) != NO_PARENT {
        return Err(Fault::new(root, "the root account has a parent"));
    }
    let mut known = HashSet::new();
    for account in 0..accounts {
        let epoch = layout.account(account, ACCOUNT_EPOCH);
        if words.load(epoch) > words.load(EPOCH) {
            return Err(Fault::new(epoch, "an account from the future"));
        }
        if account > 0 {
            let named = check_account(words, layout, account)?;
            if !known.insert(named) {
                return Err(Fault::new(layout.account(account, NAME), "an account stands there twice"));
            }
        }
    }
    Ok(())
}

fn check_account(words: &Words, layout: Layout, account: usize) -> Result<(usize, String), Fault> {
    let at = layout.account(account, PARENT);
    let parent = words.load(at);
    let Some(parent) = usize::try_from(parent).ok().filter(|&parent| parent < account) else {
        return Err(Fault::new(at, format!("account {account} stands before its parent {parent}")));
    };
    let at = layout.account(account, NAME_BYTES);
    let Some(name) = name(words, layout, account) else {
        return Err(Fault::new(at, format!("the name of account {account} is no text")));
    };
    match segments(&name) {
        Ok(parts) if parts == [name.as_str()] => Ok((parent, name)),
        _ => Err(Fault::new(at, format!("account {account} is called {name:?}, which no account can be"))),
    }
}

/// The last part of an account's path.
pub(super) fn name(words: &Words, layout: Layout, account: usize) -> Option<String> {
    let bytes = usize::try_from(words.load(layout.account(account, NAME_BYTES))).ok()?;
    if bytes > NAME_LIMIT {
        return None;
    }
    let mut text = Vec::with_capacity(bytes.next_multiple_of(8));
    for word in 0..bytes.div_ceil(8) {
        text.extend(words.load(layout.account(account, NAME).saturating_add(word)).to_le_bytes());
    }
    text.truncate(bytes);
    String::from_utf8(text).ok()
}

/// Writes the name that [`name`] reads. At most [`NAME_LIMIT`] bytes.
pub(super) fn set_name(words: &Words, layout: Layout, account: usize, name: &str) {
    for (word, chunk) in name.as_bytes().chunks(8).enumerate() {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        words.store(layout.account(account, NAME).saturating_add(word), u64::from_le_bytes(bytes));
    }
    words.store(layout.account(account, NAME_BYTES), u64::try_from(name.len()).unwrap_or(u64::MAX));
}
