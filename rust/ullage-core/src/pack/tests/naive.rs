//! The solvers as their definitions say, without any data structure.

use std::cmp::Reverse;

/// Bins as `(capacity, room)` in the order of opening, and the bin of each item.
pub(super) type Naive = (Vec<(u64, u64)>, Vec<Option<usize>>);

/// Items by decreasing size, equal ones as given; `choose` picks among the open bins with enough room, and a new bin
/// is the largest left, or the smallest that holds the item.
pub(super) fn decreasing(
    sizes: &[u64],
    mut bins_left: Vec<u64>,
    tightest: bool,
    choose: impl Fn(&[(usize, u64)]) -> usize,
) -> Naive {
    bins_left.sort_unstable();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&item| Reverse(sizes[item]));
    let mut open: Vec<(u64, u64)> = Vec::new();
    let mut bin_of = vec![None; sizes.len()];
    for item in order {
        let size = sizes[item];
        let fitting: Vec<(usize, u64)> =
            (0..open.len()).filter(|&bin| open[bin].1 >= size).map(|bin| (bin, open[bin].1)).collect();
        let bin = if fitting.is_empty() {
            let new = if tightest {
                bins_left.iter().position(|&c| c >= size)
            } else {
                bins_left.len().checked_sub(1)
            };
            let Some(new) = new.filter(|&new| bins_left[new] >= size) else { continue };
            let capacity = bins_left.remove(new);
            open.push((capacity, capacity));
            open.len() - 1
        } else {
            choose(&fitting)
        };
        open[bin].1 -= size;
        bin_of[item] = Some(bin);
    }
    (open, bin_of)
}

/// The earliest opened.
pub(super) fn first(fitting: &[(usize, u64)]) -> usize {
    fitting[0].0
}

/// The one with the least room, the earliest opened of equals.
pub(super) fn best(fitting: &[(usize, u64)]) -> usize {
    fitting.iter().min_by_key(|&&(bin, room)| (room, bin)).unwrap().0
}

/// The fewest bins, by trying every bin for every item; `None` if there is no complete plan.
pub(super) fn fewest(sizes: &[u64], bins: &[u64]) -> Option<usize> {
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
