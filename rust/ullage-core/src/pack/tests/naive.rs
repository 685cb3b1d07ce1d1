//! The solvers as their definitions say, without any data structure.

use std::cmp::Reverse;

use crate::pack::order::Order;

/// Bins as `(capacity, room)` in the order of opening, and the bin of each item.
pub(super) type Naive = (Vec<(u64, u64)>, Vec<Option<usize>>);

/// Which of the open bins takes an item of the given size, if any; rooms in the order of opening. With no bin left to
/// open, the same is asked for the bins that stayed open.
pub(super) type Choice = fn(rooms: &[u64], size: u64, closed: &mut Vec<usize>) -> Option<usize>;

/// Items in order; `choose` picks among the open bins, and a new bin is the largest left, or the smallest that holds the
/// item.
pub(super) fn greedy(order: &Order, mut bins_left: Vec<u64>, tightest: bool, choose: Choice) -> Naive {
    bins_left.sort_unstable();
    let mut open: Vec<(u64, u64)> = Vec::new();
    let mut bin_of = vec![None; order.items.len()];
    let mut closed = Vec::new();
    for (&size, &item) in order.sizes.iter().zip(&order.items) {
        let rooms: Vec<u64> = open.iter().map(|bin| bin.1).collect();
        let new =
            if tightest { bins_left.iter().position(|&c| c >= size) } else { bins_left.len().checked_sub(1) };
        let new = new.filter(|&new| bins_left[new] >= size);
        let mut closing = closed.clone();
        let chosen = choose(&rooms, size, &mut closing);
        let bin = match (chosen, new) {
            (Some(bin), _) => bin,
            (None, None) => continue,
            (None, Some(new)) => {
                closed = closing;
                let capacity = bins_left.remove(new);
                open.push((capacity, capacity));
                open.len() - 1
            }
        };
        open[bin].1 -= size;
        bin_of[item as usize] = Some(bin);
    }
    (open, bin_of)
}

/// The bin opened last.
pub(super) fn next(rooms: &[u64], size: u64, _: &mut Vec<usize>) -> Option<usize> {
    rooms.len().checked_sub(1).filter(|&last| rooms[last] >= size)
}

/// The earliest opened.
pub(super) fn first(rooms: &[u64], size: u64, _: &mut Vec<usize>) -> Option<usize> {
    rooms.iter().position(|&room| room >= size)
}

/// The one with the least room, the earliest opened of equals.
pub(super) fn best(rooms: &[u64], size: u64, _: &mut Vec<usize>) -> Option<usize> {
    (0..rooms.len()).filter(|&bin| rooms[bin] >= size).min_by_key(|&bin| (rooms[bin], bin))
}

/// The one with the most room, the earliest opened of equals.
pub(super) fn worst(rooms: &[u64], size: u64, _: &mut Vec<usize>) -> Option<usize> {
    (0..rooms.len()).filter(|&bin| rooms[bin] >= size).max_by_key(|&bin| (rooms[bin], Reverse(bin)))
}

/// Best fit among three; the fullest is closed for a new one.
pub(super) fn best_of_3(rooms: &[u64], size: u64, closed: &mut Vec<usize>) -> Option<usize> {
    let open: Vec<usize> = (0..rooms.len()).filter(|bin| !closed.contains(bin)).collect();
    let best = open.iter().copied().filter(|&bin| rooms[bin] >= size).min_by_key(|&bin| (rooms[bin], bin));
    if best.is_none() && open.len() == 3 {
        closed.extend(open.into_iter().min_by_key(|&bin| (rooms[bin], bin)));
    }
    best
}

/// The fewest bins, by trying every bin for every item; `None` if there is no complete plan.
pub(in crate::pack) fn fewest(sizes: &[u64], bins: &[u64]) -> Option<usize> {
    fn place(sizes: &[u64], capacities: &[u64], room: &mut [u64], used: &mut [u32]) -> Option<usize> {
        let Some((&size, rest)) = sizes.split_first() else {
            return Some(used.iter().filter(|&&items| items > 0).count());
        };
        let mut fewest = None;
        for bin in 0..room.len() {
            // Of untouched bins of one capacity the first will do: the only shortcut taken.
            let twin =
                (0..bin).any(|other| used[other] + used[bin] == 0 && capacities[other] == capacities[bin]);
            if room[bin] < size || twin {
                continue;
            }
            room[bin] -= size;
            used[bin] += 1;
            let bins = place(rest, capacities, room, used);
            room[bin] += size;
            used[bin] -= 1;
            fewest = [fewest, bins].into_iter().flatten().min();
        }
        fewest
    }
    place(sizes, bins, &mut bins.to_vec(), &mut vec![0; bins.len()])
}
