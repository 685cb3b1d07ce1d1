//! The accounts under the lock: limits, sums and peaks, and the arithmetic of charging a path.

use std::collections::HashMap;

use super::credit::{CreditLeaf, Settlement, Word};
use super::scope::Region;
use super::tag::TagId;
use crate::sync::Arc;
use crate::units::Bytes;

/// Index of an account; parents stand before their children.
pub(super) type Node = u32;

/// The account above all others.
pub(super) const ROOT: Node = 0;

/// Above the root.
pub(super) const NOBODY: Node = Node::MAX;

/// When something happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// Nanoseconds since the ledger was made.
    pub(super) now: u64,
    /// Number of the event in the timeline.
    pub(super) event: u64,
}

/// What every reservation touches: one cache line an account.
#[derive(Debug)]
#[repr(align(64))]
struct Level {
    /// Booked here and below, idle credit included.
    charged: u64,
    /// The limit, or all there is.
    ceiling: u64,
    /// The largest `charged` since the last boundary of a scope; older peaks stand with the account.
    mark: u64,
    made: u64,
    released: u64,
    total: u64,
    parent: Node,
    last_tag: TagId,
    is_credit: bool,
}

/// What only questions and rare events touch.
#[derive(Debug)]
pub(super) struct AccountState {
    pub(super) path: Arc<str>,
    pub(super) parent: Option<Node>,
    pub(super) limit: Option<Bytes>,
    pub(super) refusals: u64,
    /// Reservations that were collected while live.
    pub(super) leaked: u64,
    pub(super) credit: Option<Arc<CreditLeaf>>,
    /// Draws and puts folded out of the credit's word.
    pub(super) draws: u64,
    pub(super) puts: u64,
    pub(super) labels: HashMap<Arc<str>, TagId>,
    /// Peak before the last boundary.
    peak: u64,
    peak_at: Stamp,
    mark_at: Stamp,
    /// Open scopes, oldest first.
    regions: Vec<Region>,
}

/// Counts of one account, without those below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) made: u64,
    pub(super) released: u64,
    pub(super) refusals: u64,
    pub(super) total: u64,
}

impl Counts {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            made: self.made.wrapping_add(other.made),
            released: self.released.wrapping_add(other.released),
            refusals: self.refusals.wrapping_add(other.refusals),
            total: self.total.wrapping_add(other.total),
        }
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            made: self.made.wrapping_sub(earlier.made),
            released: self.released.wrapping_sub(earlier.released),
            refusals: self.refusals.wrapping_sub(earlier.refusals),
            total: self.total.wrapping_sub(earlier.total),
        }
    }
}

#[derive(Debug)]
pub(super) struct Tree {
    levels: Vec<Level>,
    accounts: Vec<AccountState>,
    by_path: HashMap<Arc<str>, Node>,
    /// Accounts with credit.
    pub(super) credit_nodes: Vec<Node>,
}

impl Tree {
    pub(super) fn new(limit: Option<Bytes>) -> Self {
        let mut tree = Self {
            levels: Vec::new(),
            accounts: Vec::new(),
            by_path: HashMap::new(),
            credit_nodes: Vec::new(),
        };
        tree.push("/".into(), None);
        tree.set_limit(ROOT, limit);
        tree
    }

    fn push(&mut self, path: Arc<str>, parent: Option<Node>) -> Node {
        // A tree of 2^32 accounts would not fit into any memory: its paths alone take more.
        let node = Node::try_from(self.levels.len()).unwrap_or(NOBODY);
        self.levels.push(Level {
            charged: 0,
            ceiling: u64::MAX,
            mark: 0,
            made: 0,
            released: 0,
            total: 0,
            parent: parent.unwrap_or(NOBODY),
            last_tag: TagId::MAX,
            is_credit: false,
        });
        let never = Stamp { now: 0, event: 0 };
        self.accounts.push(AccountState {
            path,
            parent,
            limit: None,
            refusals: 0,
            leaked: 0,
            credit: None,
            draws: 0,
            puts: 0,
            labels: HashMap::new(),
            peak: 0,
            peak_at: never,
            mark_at: never,
            regions: Vec::new(),
        });
        node
    }

    /// The account at `segments` and how many of them exist: all, if it does.
    pub(super) fn find(&self, segments: &[&str]) -> (Node, usize) {
        let (mut node, mut known, mut path) = (ROOT, 0, String::new());
        for segment in segments {
            extend(&mut path, segment);
            let Some(&next) = self.by_path.get(path.as_str()) else { break };
            node = next;
            known = usize::saturating_add(known, 1);
        }
        (node, known)
    }

    /// Makes what is missing below `node`, the last account known of `segments`.
    pub(super) fn grow(&mut self, mut node: Node, segments: &[&str], known: usize) -> Node {
        let mut path = String::new();
        for (depth, segment) in segments.iter().enumerate() {
            extend(&mut path, segment);
            if depth >= known {
                let shared: Arc<str> = path.as_str().into();
                let fresh = self.push(shared.clone(), Some(node));
                self.by_path.insert(shared, fresh);
                node = fresh;
            }
        }
        node
    }

    pub(super) fn len(&self) -> usize {
        self.accounts.len()
    }

    pub(super) fn nodes(&self) -> std::ops::Range<Node> {
        0..Node::try_from(self.levels.len()).unwrap_or(NOBODY)
    }

    pub(super) fn account(&self, node: Node) -> &AccountState {
        &self.accounts[node as usize]
    }

    pub(super) fn account_mut(&mut self, node: Node) -> &mut AccountState {
        &mut self.accounts[node as usize]
    }

    pub(super) fn path(&self, node: Node) -> &Arc<str> {
        &self.account(node).path
    }

    pub(super) fn limit(&self, node: Node) -> Option<Bytes> {
        self.account(node).limit
    }

    pub(super) fn set_limit(&mut self, node: Node, limit: Option<Bytes>) {
        self.account_mut(node).limit = limit;
        self.levels[node as usize].ceiling = limit.unwrap_or(Bytes::MAX).get();
    }

    pub(super) fn charged(&self, node: Node) -> u64 {
        self.levels[node as usize].charged
    }

    pub(super) fn last_tag(&self, node: Node) -> TagId {
        self.levels[node as usize].last_tag
    }

    pub(super) fn set_last_tag(&mut self, node: Node, tag: TagId) {
        self.levels[node as usize].last_tag = tag;
    }

    /// What still fits under this account's own limit.
    pub(super) fn headroom(&self, node: Node) -> u64 {
        let level = &self.levels[node as usize];
        level.ceiling.saturating_sub(level.charged)
    }

    /// Whether a limit was lowered below what is charged.
    pub(super) fn is_over(&self, node: Node) -> bool {
        let level = &self.levels[node as usize];
        level.charged > level.ceiling
    }

    /// `node` and every account above it.
    pub(super) fn path_to_root(&self, node: Node) -> impl Iterator<Item = Node> {
        std::iter::successors(Some(node), |&level| self.account(level).parent)
    }

    pub(super) fn is_below(&self, node: Node, above: Node) -> bool {
        // Parents stand before children: nothing before `above` can be below it.
        self.path_to_root(node).take_while(|&level| level >= above).any(|level| level == above)
    }

    /// The lowest account that is above both, or one of them.
    pub(super) fn meeting(&self, mut one: Node, mut other: Node) -> Node {
        while one != other {
            let later = if one > other { &mut one } else { &mut other };
            *later = self.levels[*later as usize].parent;
        }
        one
    }

    /// What a reservation on `node` could get now: the least headroom on its path; `None` where no limit stands.
    pub(super) fn available(&self, node: Node) -> Option<Bytes> {
        self.path_to_root(node)
            .filter_map(|level| {
                let used = self.charged(level).saturating_sub(self.idle_below(level));
                Some(self.limit(level)?.saturating_sub(Bytes::new(used)))
            })
            .min()
    }

    /// The tightest limit on the path of `node`; `None` where no limit stands.
    pub(super) fn tightest_limit(&self, node: Node) -> Option<Bytes> {
        self.path_to_root(node).filter_map(|level| self.limit(level)).min()
    }

    /// Credit of `node` that nobody has drawn.
    pub(super) fn idle(&self, node: Node) -> u64 {
        self.account(node).credit.as_ref().map_or(0, |leaf| leaf.word().credit())
    }

    /// Credit at and below `node` that nobody has drawn.
    pub(super) fn idle_below(&self, node: Node) -> u64 {
        self.credit_nodes
            .iter()
            .filter(|&&leaf| self.is_below(leaf, node))
            .fold(0, |sum, &leaf| self.idle(leaf).saturating_add(sum))
    }

    /// The first account from `node` up to, but not including, `until` where `bytes` more do not fit.
    #[inline]
    pub(super) fn first_full(&self, node: Node, until: Node, bytes: u64) -> Option<Node> {
        let mut next = node;
        while next != until {
            let level = &self.levels[next as usize];
            if bytes > level.ceiling.saturating_sub(level.charged) {
                return Some(next);
            }
            next = level.parent;
        }
        None
    }

    /// Adds `bytes`, which fit, from `node` up to, but not including, `until`.
    #[inline]
    pub(super) fn charge(&mut self, node: Node, until: Node, bytes: u64, at: Stamp) {
        self.add(node, until, bytes, at);
        self.publish(node);
    }

    /// As [`Tree::charge`], of which a credit leaf at `node` knows already.
    #[inline]
    pub(super) fn add(&mut self, node: Node, until: Node, bytes: u64, at: Stamp) {
        let mut next = node;
        while next != until {
            let level = &mut self.levels[next as usize];
            level.charged = level.charged.saturating_add(bytes); // cannot saturate: it fits under the ceiling
            if level.charged > level.mark {
                level.mark = level.charged;
                self.accounts[next as usize].mark_at = at;
            }
            next = level.parent;
        }
    }

    /// Takes `bytes`, which were charged, off from `node` up to, but not including, `until`.
    #[inline]
    pub(super) fn discharge(&mut self, node: Node, until: Node, bytes: u64) {
        self.subtract(node, until, bytes);
        self.publish(node);
    }

    /// As [`Tree::discharge`], of which a credit leaf at `node` knows already.
    #[inline]
    pub(super) fn subtract(&mut self, node: Node, until: Node, bytes: u64) {
        let mut next = node;
        while next != until {
            let level = &mut self.levels[next as usize];
            debug_assert!(level.charged >= bytes, "more released than was ever booked");
            level.charged = level.charged.saturating_sub(bytes);
            next = level.parent;
        }
    }

    /// Tells a credit leaf what is charged to it now.
    #[inline]
    fn publish(&mut self, node: Node) {
        let level = &self.levels[node as usize];
        if !level.is_credit {
            return;
        }
        let charged = level.charged;
        if let Some(leaf) = &self.accounts[node as usize].credit {
            leaf.settle(|word| {
                Some(Settlement { charged, credit: word.credit(), is_frozen: word.is_frozen() })
            });
        }
    }

    pub(super) fn make_credit(&mut self, node: Node, quantum: u64) {
        let charged = self.charged(node);
        self.account_mut(node).credit = Some(Arc::new(CreditLeaf::new(quantum, charged)));
        self.levels[node as usize].is_credit = true;
        self.credit_nodes.push(node);
    }

    #[inline]
    pub(super) fn count_made(&mut self, node: Node, bytes: u64) {
        self.count_made_many(node, 1, bytes);
    }

    /// `count` reservations of `bytes` together.
    #[inline]
    pub(super) fn count_made_many(&mut self, node: Node, count: u64, bytes: u64) {
        let level = &mut self.levels[node as usize];
        level.made = level.made.wrapping_add(count);
        level.total = level.total.saturating_add(bytes);
    }

    #[inline]
    pub(super) fn count_more(&mut self, node: Node, bytes: u64) {
        let level = &mut self.levels[node as usize];
        level.total = level.total.saturating_add(bytes);
    }

    #[inline]
    pub(super) fn count_released(&mut self, node: Node) {
        self.count_released_many(node, 1);
    }

    #[inline]
    pub(super) fn count_released_many(&mut self, node: Node, count: u64) {
        let level = &mut self.levels[node as usize];
        level.released = level.released.wrapping_add(count);
    }

    /// A reservation goes from one account to another.
    pub(super) fn count_moved(&mut self, from: Node, to: Node, bytes: u64) {
        self.count_released(from);
        self.count_made(to, bytes);
    }

    pub(super) fn counts(&self, node: Node) -> Counts {
        // Read once: a put may never be counted before its draw.
        self.counts_with(node, self.account(node).credit.as_ref().map(|leaf| leaf.word()))
    }

    /// The counts, with what a credit leaf's word says of them.
    pub(super) fn counts_with(&self, node: Node, word: Option<Word>) -> Counts {
        let (level, account) = (&self.levels[node as usize], self.account(node));
        let (draws, puts) = word.map_or((0, 0), |word| (word.draws(), word.puts()));
        Counts {
            made: level.made.wrapping_add(account.draws).wrapping_add(draws),
            released: level.released.wrapping_add(account.puts).wrapping_add(puts),
            refusals: account.refusals,
            total: level.total,
        }
    }

    pub(super) fn counts_below(&self, node: Node) -> Counts {
        self.nodes()
            .filter(|&below| self.is_below(below, node))
            .fold(Counts::default(), |sum, below| sum.plus(self.counts(below)))
    }

    /// The largest value ever booked on `node`, and when.
    ///
    /// On a credit leaf this is the largest `used`, whose instant nobody notes.
    pub(super) fn peak(&self, node: Node) -> (u64, Option<Stamp>) {
        let (level, account) = (&self.levels[node as usize], self.account(node));
        if let Some(leaf) = &account.credit {
            return (leaf.peak(level.charged), None);
        }
        if level.mark > account.peak {
            (level.mark, Some(account.mark_at))
        } else {
            (account.peak, Some(account.peak_at))
        }
    }

    /// Starts counting peaks anew on `node`, keeping what was reached so far for all who asked before.
    fn draw_boundary(&mut self, node: Node) {
        let (level, account) = (&mut self.levels[node as usize], &mut self.accounts[node as usize]);
        if level.mark > account.peak {
            account.peak = level.mark;
            account.peak_at = account.mark_at;
        }
        if let Some(latest) = account.regions.last_mut() {
            latest.raise(level.mark);
        }
        level.mark = level.charged;
    }

    /// Opens a scope on `node`.
    pub(super) fn open_region(&mut self, node: Node, id: u64) {
        self.draw_boundary(node);
        let charged = self.charged(node);
        self.account_mut(node).regions.push(Region::new(id, charged));
    }

    /// What a scope has seen so far, as (booked at its start, highest booked since); `None` once it is closed.
    pub(super) fn region(&mut self, node: Node, id: u64) -> Option<(u64, u64)> {
        self.draw_boundary(node);
        Region::seen(&self.account(node).regions, id)
    }

    /// Closes a scope; the ones before it keep what it saw.
    pub(super) fn close_region(&mut self, node: Node, id: u64) {
        self.draw_boundary(node);
        Region::close(&mut self.account_mut(node).regions, id);
    }
}

fn extend(path: &mut String, segment: &str) {
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(segment);
}
