//! [`Spans`]: the buffers as solvers take them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::arena::problem::Problem;
use crate::units::Bytes;

/// What takes room, in the order of the beginnings, of equal ones the larger first. A group of buffers at one offset is
/// one span.
pub(crate) struct Spans {
    pub(crate) all: Vec<Span>,
    /// When each uses its bytes, in instants, one after the other.
    lives: Vec<(u32, u32)>,
    /// Where the lives of each begin in `lives`, and where the last ends.
    first_lives: Vec<usize>,
    /// A buffer of the problem and its span.
    buffers: Vec<(u32, u32)>,
    /// Buffers that are in no span and have an offset all the same: fixed ones of size zero.
    elsewhere: Vec<(u32, u64)>,
    /// Whether every life is in one piece.
    is_whole: bool,
    /// How many have a fixed offset.
    pub(crate) fixed: usize,
    /// The instants, in the time of the problem.
    instants: Vec<i64>,
}

/// A buffer; instants are positions among all that begin or end a life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) lower: u32,
    pub(crate) upper: u32,
    /// Never zero.
    pub(crate) size: u64,
    pub(crate) alignment: u64,
    /// Those that begin before this one ends are the first so many.
    pub(crate) begun: u32,
    /// Where it lies in any case.
    pub(crate) fixed: Option<u64>,
    /// Where it had better lie.
    pub(crate) hint: Option<u64>,
}

impl Span {
    /// The lowest offset from `floor` on that suits the alignment.
    pub(crate) fn align(&self, floor: u64) -> u64 {
        if self.alignment == 1 {
            floor
        } else {
            floor.checked_next_multiple_of(self.alignment).unwrap_or(u64::MAX)
        }
    }

    /// How long it lives, in instants.
    pub(crate) fn length(&self) -> u64 {
        u64::from(self.upper.saturating_sub(self.lower))
    }

    /// Bytes times instants.
    pub(crate) fn area(&self) -> u128 {
        u128::from(self.size).saturating_mul(u128::from(self.length()))
    }
}

/// A buffer or a group of them, with its times as given. Most have one life and one buffer: the lists of more are empty.
struct Block {
    first_life: (i64, i64),
    later_lives: Vec<(i64, i64)>,
    size: u64,
    alignment: u64,
    fixed: Option<u64>,
    hint: Option<u64>,
    first_buffer: u32,
    other_buffers: Vec<u32>,
}

impl Block {
    fn lives(&self) -> impl Iterator<Item = (i64, i64)> {
        std::iter::once(self.first_life).chain(self.later_lives.iter().copied())
    }

    fn buffers(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.first_buffer).chain(self.other_buffers.iter().copied())
    }

    fn lower(&self) -> i64 {
        self.first_life.0
    }

    fn upper(&self) -> i64 {
        self.later_lives.last().map_or(self.first_life.1, |life| life.1)
    }

    /// Sorts the lives of a group, and makes one of those that touch or overlap.
    fn join_lives(&mut self) {
        let mut lives: Vec<(i64, i64)> = self.lives().collect();
        lives.sort_unstable();
        self.later_lives.clear();
        let mut lives = lives.into_iter();
        self.first_life = lives.next().unwrap_or(self.first_life);
        for (lower, upper) in lives {
            let last = self.later_lives.last_mut().unwrap_or(&mut self.first_life);
            if lower <= last.1 {
                last.1 = last.1.max(upper);
            } else {
                self.later_lives.push((lower, upper));
            }
        }
    }
}

impl Spans {
    #[expect(clippy::cast_possible_truncation, reason = "a problem has fewer than 2^30 buffers")]
    pub(crate) fn of(problem: &Problem) -> Self {
        let (mut blocks, empty): (Vec<Block>, Vec<Block>) =
            blocks(problem).into_iter().partition(|block| block.size > 0);
        blocks.sort_by_key(|block| (block.lower(), Reverse(block.size)));
        let mut instants: Vec<i64> =
            blocks.iter().flat_map(Block::lives).flat_map(|(lower, upper)| [lower, upper]).collect();
        instants.sort_unstable();
        instants.dedup();
        let rank = |instant: i64| instants.partition_point(|&other| other < instant) as u32;
        let begins: Vec<i64> = blocks.iter().map(Block::lower).collect();
        let all = blocks
            .iter()
            .map(|block| Span {
                lower: rank(block.lower()),
                upper: rank(block.upper()),
                size: block.size,
                alignment: block.alignment,
                begun: begins.partition_point(|&lower| lower < block.upper()) as u32,
                fixed: block.fixed,
                hint: block
                    .hint
                    .map(|hint| hint.saturating_sub(hint.checked_rem(block.alignment).unwrap_or(0))),
            })
            .collect();
        let lives: Vec<(u32, u32)> =
            blocks.iter().flat_map(Block::lives).map(|(lower, upper)| (rank(lower), rank(upper))).collect();
        let counts = blocks.iter().map(|block| block.later_lives.len().saturating_add(1));
        let sums = counts.scan(0_usize, |sum, count| {
            *sum = sum.saturating_add(count);
            Some(*sum)
        });
        let owners = (0_u32..).zip(&blocks);
        Self {
            all,
            is_whole: lives.len() == blocks.len(),
            lives,
            first_lives: std::iter::once(0).chain(sums).collect(),
            buffers: owners.flat_map(|(span, b)| b.buffers().map(move |buffer| (buffer, span))).collect(),
            elsewhere: empty
                .iter()
                .flat_map(|b| b.buffers().map(|buffer| (buffer, b.fixed.unwrap_or(0))))
                .collect(),
            fixed: blocks.iter().filter(|block| block.fixed.is_some()).count(),
            instants,
        }
    }

    /// When span `index` uses its bytes.
    pub(crate) fn lives(&self, index: usize) -> &[(u32, u32)] {
        let range = self.first_lives.get(index).zip(self.first_lives.get(index.saturating_add(1)));
        range.and_then(|(&first, &end)| self.lives.get(first..end)).unwrap_or_default()
    }

    /// An instant in the time of the problem.
    pub(crate) fn instant(&self, rank: u32) -> i64 {
        self.instants.get(rank as usize).copied().unwrap_or(0)
    }

    /// Whether two spans, of which each begins before the other ends, use their bytes at the same instant.
    pub(crate) fn meet(&self, one: usize, other: usize) -> bool {
        if self.is_whole {
            return true;
        }
        let (mut a, mut b) = (self.lives(one).iter().peekable(), self.lives(other).iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            if x.0 < y.1 && y.0 < x.1 {
                return true;
            }
            if x.1 <= y.1 {
                a.next();
            } else {
                b.next();
            }
        }
        false
    }

    /// Offsets of spans as offsets of the problem's buffers.
    pub(crate) fn to_buffers(&self, offsets: &[u64], count: usize) -> Vec<Bytes> {
        let mut all = vec![Bytes::ZERO; count];
        let placed = self
            .buffers
            .iter()
            .filter_map(|&(buffer, span)| offsets.get(span as usize).map(|&offset| (buffer, offset)));
        for (buffer, offset) in placed.chain(self.elsewhere.iter().copied()) {
            if let Some(place) = all.get_mut(buffer as usize) {
                *place = Bytes::new(offset);
            }
        }
        all
    }

    /// Where the highest ends.
    pub(crate) fn height(&self, offsets: &[u64]) -> u64 {
        self.all
            .iter()
            .zip(offsets)
            .map(|(span, &offset)| offset.saturating_add(span.size))
            .max()
            .unwrap_or(0)
    }

    /// Two buffers that are fixed and share bytes.
    pub(crate) fn fixed_clash(&self) -> Option<(u32, u32)> {
        let mut events: Vec<(u32, bool, u64, u64, usize)> = Vec::new();
        for (index, span) in self.all.iter().enumerate() {
            for &(lower, upper) in self.lives(index) {
                if let Some(offset) = span.fixed {
                    let end = offset.saturating_add(span.size);
                    events.push((lower, true, offset, end, index));
                    events.push((upper, false, offset, end, index));
                }
            }
        }
        events.sort_unstable();
        let mut alive: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
        let clash = events.into_iter().find_map(|(_, begins, offset, end, index)| {
            if !begins {
                alive.remove(&offset);
                return None;
            }
            let clash = alive.range(..end).next_back().filter(|&(_, &(top, _))| top > offset);
            let clash = clash.map(|(_, &(_, other))| (other, index));
            alive.insert(offset, (end, index));
            clash
        });
        let owner = |span: usize| {
            self.buffers.iter().find(|&&(_, other)| other as usize == span).map(|&(buffer, _)| buffer)
        };
        clash.and_then(|(one, other)| Some((owner(one)?, owner(other)?)))
    }

    /// Where the highest of those ends whose offset is fixed.
    pub(crate) fn fixed_height(&self) -> u64 {
        let ends = self.all.iter().filter_map(|span| Some(span.fixed?.saturating_add(span.size)));
        ends.max().unwrap_or(0)
    }
}

/// The buffers of `problem`, those of a group as one.
fn blocks(problem: &Problem) -> Vec<Block> {
    let conditions = problem.conditions();
    let mut all: Vec<Block> = Vec::with_capacity(problem.buffers().len());
    let mut groups: BTreeMap<u32, usize> = BTreeMap::new();
    for (number, (index, buffer)) in (0_u32..).zip(problem.buffers().iter().enumerate()) {
        let known = conditions.group(index).map(|group| *groups.entry(group).or_insert(all.len()));
        if let Some(block) = known.and_then(|place| all.get_mut(place)) {
            block.later_lives.extend(conditions.lives(index, buffer));
            block.size = block.size.max(buffer.size.get());
            block.alignment = common_multiple(block.alignment, buffer.alignment);
            block.fixed = block.fixed.or(conditions.fixed(index));
            block.hint = block.hint.or(conditions.hint(index));
            block.other_buffers.push(number);
        } else {
            let mut lives = conditions.lives(index, buffer);
            all.push(Block {
                first_life: lives.next().unwrap_or((buffer.lower, buffer.upper)),
                later_lives: lives.collect(),
                size: buffer.size.get(),
                alignment: buffer.alignment,
                fixed: conditions.fixed(index),
                hint: conditions.hint(index),
                first_buffer: number,
                other_buffers: Vec::new(),
            });
        }
    }
    all.iter_mut().filter(|block| !block.other_buffers.is_empty()).for_each(Block::join_lives);
    all
}

/// The least common multiple; saturates, which a [`Problem`] has ruled out.
fn common_multiple(a: u64, b: u64) -> u64 {
    a.checked_div(crate::arena::bound::divisor(a, b)).unwrap_or(1).saturating_mul(b)
}
