//! What credit leaves buy, give out through the lock, and give back.

use super::books::{Books, Denied, change};
use super::credit::{Settlement, Word};
use super::slab::{SlotId, Tenure};
use super::tree::{NOBODY, Node, ROOT, Stamp};
use crate::units::Bytes;

/// Label of what a credit leaf has bought; the events of its quanta stand under it.
pub(super) const CREDIT: &str = "credit";

/// The tightest limit above a credit leaf is worth this many of its quanta, within bounds.
const QUANTA: u64 = 256;
const USUAL_QUANTUM: (u64, u64) = (64 << 10, 8 << 20);

/// How often words are read before the leaves are made to stand still.
const WORDS_TRIES: usize = 32;

/// Identity of a credit leaf's quanta in the timeline; reservations never reach it.
const CREDIT_ID: u64 = 1 << 63;

impl Books {
    /// Takes idle credit below `node` back and freezes its leaves, so that what is found then holds at one instant.
    pub(super) fn drain_below(&mut self, node: Node) {
        for place in 0..self.tree.credit_nodes.len() {
            let leaf = self.tree.credit_nodes[place];
            if self.tree.is_below(leaf, node) {
                self.drain(leaf);
            }
        }
    }

    fn drain(&mut self, node: Node) {
        let Some(leaf) = self.tree.account(node).credit.clone() else { return };
        let charged = self.tree.charged(node);
        let before = leaf.settle(|word| {
            let left = charged.saturating_sub(word.credit());
            Some(Settlement { charged: left, credit: 0, is_frozen: true })
        });
        let idle = before.map_or(0, Word::credit);
        if idle > 0 {
            self.charge_credit(node, idle.cast_signed().wrapping_neg());
        }
    }

    /// Makes an account without reservations a credit leaf.
    pub(super) fn open_credit(&mut self, node: Node, quantum: Option<u64>) {
        let tightest = self.tree.tightest_limit(node).unwrap_or(Bytes::MAX).get();
        let usual = (tightest / QUANTA).clamp(USUAL_QUANTUM.0, USUAL_QUANTUM.1);
        self.tree.make_credit(node, quantum.unwrap_or(usual));
        let tag = self.tag(node, CREDIT);
        self.tags.pin(tag);
    }

    /// Charges a leaf's quanta, which it has been told of, to it and to all above it.
    fn charge_credit(&mut self, node: Node, growth: i64) {
        let (at, bytes) = (self.stamp(), growth.unsigned_abs());
        let tag = self.tag(node, CREDIT);
        if growth >= 0 {
            self.tree.add(node, NOBODY, bytes, at);
            self.tags.change(tag, 0, bytes);
        } else {
            self.tree.subtract(node, NOBODY, bytes);
            self.tags.change(tag, bytes, 0);
        }
        self.note(tag, CREDIT_ID | u64::from(node), growth, at);
    }

    /// Whether a leaf may not have idle credit now: somebody waits for memory, or a limit was lowered below the use.
    fn keeps_no_credit(&self, node: Node) -> bool {
        !self.queue.is_empty() || self.tree.path_to_root(node).any(|level| self.tree.is_over(level))
    }

    /// The words of all leaves at one instant, each with its account.
    pub(super) fn words(&mut self) -> Vec<(Node, Word)> {
        for _ in 0..WORDS_TRIES {
            let (first, second) = (self.read_words(), self.read_words());
            // Counts only grow while the lock is held: the same word twice means that nothing happened in between.
            if first == second {
                return first;
            }
        }
        self.drain_below(ROOT);
        self.read_words()
    }

    fn read_words(&self) -> Vec<(Node, Word)> {
        let leaves = self.tree.credit_nodes.iter();
        let read = |&node: &Node| {
            let leaf = self.tree.account(node).credit.as_ref()?;
            let word = leaf.word();
            leaf.saw(self.tree.charged(node), word);
            Some((node, word))
        };
        leaves.filter_map(read).collect()
    }

    /// Credit at and below `node` that nobody has drawn, at one instant.
    pub(super) fn idle_below(&mut self, node: Node) -> u64 {
        let words = self.words();
        let below = words.iter().filter(|&&(leaf, _)| self.tree.is_below(leaf, node));
        below.fold(0, |sum, (_, word)| word.credit().saturating_add(sum))
    }

    /// Draws `bytes` from a leaf whose credit does not hold them, buying what is missing and a quantum more.
    pub(super) fn draw(&mut self, node: Node, bytes: u64) -> Result<(), Box<Denied>> {
        let Some(leaf) = self.tree.account(node).credit.clone() else { return Ok(()) };
        self.fold_counts(node);
        let idle = leaf.word().credit();
        if idle < bytes || !self.queue.is_empty() {
            // Credit may be drawn meanwhile, so that all of it may have to be bought; a refusal drains it first.
            self.admit(node, NOBODY, bytes)?;
        }
        let charged = self.tree.charged(node);
        let is_frozen = self.keeps_no_credit(node);
        let quantum = if is_frozen { 0 } else { leaf.quantum };
        let room = self.tree.path_to_root(node).map(|level| self.tree.headroom(level)).min().unwrap_or(0);
        let mut growth = 0;
        let settled = leaf.settle(|word| {
            let missing = bytes.saturating_sub(word.credit());
            growth = if missing == 0 { 0 } else { missing.saturating_add(quantum).min(room) };
            (missing <= growth).then(|| Settlement {
                charged: charged.saturating_add(growth),
                credit: word.credit().saturating_add(growth).saturating_sub(bytes),
                is_frozen,
            })
        });
        if settled.is_none() {
            // The credit that was there has been drawn by others: decide again, knowing that nothing is left.
            self.drain(node);
            return self.draw(node, bytes);
        }
        let account = self.tree.account_mut(node);
        account.draws = account.draws.wrapping_add(1);
        if growth > 0 {
            self.charge_credit(node, growth.cast_signed());
        }
        Ok(())
    }

    /// Gives `bytes` back to a leaf that holds enough credit already, or may hold none now.
    pub(super) fn put(&mut self, node: Node, bytes: u64) {
        let Some(leaf) = self.tree.account(node).credit.clone() else { return };
        self.fold_counts(node);
        let charged = self.tree.charged(node);
        let is_frozen = self.keeps_no_credit(node);
        let keep_most = if is_frozen { 0 } else { leaf.quantum };
        let mut surplus = 0;
        leaf.settle(|word| {
            let credit = word.credit().saturating_add(bytes);
            surplus = credit.saturating_sub(keep_most);
            Some(Settlement {
                charged: charged.saturating_sub(surplus),
                credit: credit.saturating_sub(surplus),
                is_frozen,
            })
        });
        let account = self.tree.account_mut(node);
        account.puts = account.puts.wrapping_add(1);
        if surplus > 0 {
            self.charge_credit(node, surplus.cast_signed().wrapping_neg());
            self.serve();
        }
    }

    fn fold_counts(&mut self, node: Node) {
        let account = self.tree.account_mut(node);
        if let Some(leaf) = &account.credit {
            let (draws, puts) = leaf.take_counts();
            account.draws = account.draws.wrapping_add(draws);
            account.puts = account.puts.wrapping_add(puts);
        }
    }

    /// Makes a drawn reservation one with a place of its own; nothing is charged anew.
    pub(super) fn materialise(&mut self, node: Node, bytes: u64) -> SlotId {
        let at = self.stamp();
        let credit = self.tag(node, CREDIT);
        self.tags.change(credit, bytes, 0);
        self.note(credit, CREDIT_ID | u64::from(node), change(bytes, 0), at);
        let tag = self.tag(node, "");
        let slot = self.enter(tag, bytes, Tenure::Owned, Stamp { event: at.event.wrapping_add(1), ..at });
        let account = self.tree.account_mut(node);
        account.draws = account.draws.wrapping_sub(1); // counted as made once more by `enter`
        slot
    }
}
