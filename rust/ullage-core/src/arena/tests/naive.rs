//! The least height by trying everything, and the greedy heuristics as their definitions say.

use super::{Bytes, Problem, Row};

fn align(offset: u64, alignment: u64) -> u64 {
    offset.div_ceil(alignment) * alignment
}

fn alive_together(a: Row, b: Row) -> bool {
    a.0 < b.1 && b.0 < a.1
}

/// The least height: the best over all orders of placing each buffer at the lowest offset where it meets nobody, which
/// for some order is a best layout.
pub(super) fn least_height(rows: &[Row], alignments: &[u64]) -> u64 {
    fn place(rows: &[Row], alignments: &[u64], placed: &mut Vec<(usize, u64)>, height: u64, least: &mut u64) {
        if height >= *least {
            return;
        }
        if placed.len() == rows.len() {
            *least = height;
            return;
        }
        for next in 0..rows.len() {
            if placed.iter().any(|&(index, _)| index == next) {
                continue;
            }
            let offset = lowest(rows, alignments[next], next, placed);
            placed.push((next, offset));
            place(rows, alignments, placed, height.max(offset + rows[next].2), least);
            placed.pop();
        }
    }
    let mut least = u64::MAX;
    place(rows, alignments, &mut Vec::new(), 0, &mut least);
    least
}

/// The lowest offset at which `next` meets nobody: 0, or the end of somebody.
fn lowest(rows: &[Row], alignment: u64, next: usize, placed: &[(usize, u64)]) -> u64 {
    let neighbours: Vec<(u64, u64)> = placed
        .iter()
        .filter(|&&(index, _)| alive_together(rows[index], rows[next]) && rows[index].2 > 0)
        .map(|&(index, offset)| (offset, offset + rows[index].2))
        .collect();
    if rows[next].2 == 0 {
        return 0;
    }
    let ends = neighbours.iter().map(|&(_, end)| align(end, alignment));
    let mut offsets: Vec<u64> = std::iter::once(0).chain(ends).collect();
    offsets.sort_unstable();
    let meets_nobody =
        |&offset: &u64| neighbours.iter().all(|&(low, high)| high <= offset || offset + rows[next].2 <= low);
    offsets.into_iter().find(meets_nobody).unwrap()
}

/// The height of placing the buffers in `order`, each at the lowest offset where it meets nobody.
pub(super) fn lowest_in_order(rows: &[Row], order: &[usize]) -> u64 {
    let mut placed = Vec::new();
    for &next in order {
        let offset = lowest(rows, 1, next, &placed);
        placed.push((next, offset));
    }
    placed.into_iter().map(|(index, offset)| offset + rows[index].2).max().unwrap_or(0)
}

/// The highest load, by looking at every instant at which something begins.
pub(super) fn highest_load(rows: &[Row]) -> u64 {
    let load = |at: i64| rows.iter().filter(|row| row.0 <= at && at < row.1).map(|row| row.2).sum();
    rows.iter().map(|row| load(row.0)).max().unwrap_or(0)
}

/// Blocks of a problem with conditions: groups of buffers, and when each uses its bytes.
pub(super) struct Blocks(Vec<Block>);

struct Block {
    /// The buffers; at last the blocks before it that it meets.
    members: Vec<usize>,
    size: u64,
    alignments: Vec<u64>,
    fixed: Option<u64>,
}

impl Blocks {
    pub(super) fn of(problem: &Problem) -> Self {
        let conditions = problem.conditions();
        let group = |index: usize| conditions.groups.get(index).copied().flatten();
        let mut blocks: Vec<Block> = Vec::new();
        for (index, buffer) in problem.buffers().iter().enumerate() {
            let fixed = conditions.fixed.get(index).copied().flatten().map(Bytes::get);
            let known =
                blocks.iter_mut().find(|b| group(index).is_some() && group(b.members[0]) == group(index));
            if let Some(block) = known {
                block.members.push(index);
                block.size = block.size.max(buffer.size.get());
                block.alignments.push(buffer.alignment);
                block.fixed = block.fixed.or(fixed);
            } else {
                let alignments = vec![buffer.alignment];
                blocks.push(Block { members: vec![index], size: buffer.size.get(), alignments, fixed });
            }
        }
        blocks.retain(|block| block.size > 0);
        let alive = |index: usize, at: i64| {
            let buffer = &problem.buffers()[index];
            let gaps = conditions.gaps.get(index).map_or(&[][..], Vec::as_slice);
            buffer.lower <= at && at < buffer.upper && !gaps.iter().any(|gap| gap.0 <= at && at < gap.1)
        };
        // Whom each meets, by looking at every instant.
        let meets = |one: &Block, other: &Block| {
            (-20..40).any(|at| {
                one.members.iter().any(|&i| alive(i, at)) && other.members.iter().any(|&i| alive(i, at))
            })
        };
        let near = |index: usize| (0..index).filter(|&other| meets(&blocks[index], &blocks[other])).collect();
        let near: Vec<Vec<usize>> = (0..blocks.len()).map(near).collect();
        for (block, near) in blocks.iter_mut().zip(near) {
            block.members = near;
        }
        Self(blocks)
    }

    /// The least height for which any offsets at all will do, each tried.
    pub(super) fn least_height(&self) -> u64 {
        (0..1 << 10).find(|&height| self.fits(height, &mut Vec::new())).unwrap()
    }

    fn fits(&self, height: u64, offsets: &mut Vec<u64>) -> bool {
        let Some(block) = self.0.get(offsets.len()) else { return true };
        let Some(last) = height.checked_sub(block.size) else { return false };
        (0..=last).any(|offset| {
            let is_free = block.members.iter().all(|&other| {
                offset >= offsets[other] + self.0[other].size || offsets[other] >= offset + block.size
            });
            let is_allowed = block.alignments.iter().all(|&alignment| offset % alignment == 0)
                && block.fixed.is_none_or(|fixed| fixed == offset);
            is_free && is_allowed && {
                offsets.push(offset);
                let fits = self.fits(height, offsets);
                offsets.pop();
                fits
            }
        })
    }
}
