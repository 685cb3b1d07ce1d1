//! Minimum bin slack: bin by bin, the items that fill it best.
//!
//! MBS looks at every choice of items for a bin (Gupta and Ho, "A new heuristic algorithm for the one-dimensional
//! bin-packing problem", Production Planning & Control 10, 1999); MBS' puts the largest item left first, which is faster
//! and better, and their perturbation packs a few bins anew (Fleszar and Hindi, "New heuristics for one-dimensional
//! bin-packing", Computers & Operations Research 29, 2002). Here the choices of one bin end after [`MOST_STEPS`], with the
//! best so far; and the perturbation draws bins at random, with its own rule: what it keeps has no more bins and, among as
//! many, loads less even.

use crate::pack::subsets::fullest;
use crate::pack::supply::Supply;
use crate::pack::types::{Contents, Types};
use crate::solving::{Random, Watch};

/// Steps of a choice for one bin.
const MOST_STEPS: usize = 1 << 14;
/// Bins that a perturbation packs anew.
const DISSOLVED: u64 = 6;
/// Perturbations in a row that bring nothing, for each bin.
const PATIENCE: usize = 50;

/// Packs `types`, the largest bins of `supply` first; `None` if bins or time run out. `is_seeded` is MBS'.
pub(crate) fn minimum_slack(
    types: &Types,
    supply: &Supply,
    is_seeded: bool,
    watch: &mut Watch<'_>,
) -> Option<Contents> {
    let mut rest = types.clone();
    let mut contents = Contents::new();
    let capacities =
        supply.classes.iter().flat_map(|class| std::iter::repeat_n(class.capacity, class.copies));
    for capacity in capacities {
        if rest.items() == 0 || watch.spent(MOST_STEPS) {
            break;
        }
        contents.push(fill(&mut rest, capacity, is_seeded));
        rest.drop_empty();
    }
    (rest.items() == 0).then_some(contents)
}

/// Takes the fullest content of a bin out of `rest`.
fn fill(rest: &mut Types, capacity: u64, is_seeded: bool) -> Vec<u64> {
    let seed = is_seeded.then(|| rest.size(0)).filter(|&seed| seed <= capacity);
    if seed.is_some() {
        rest.take(0);
    }
    let chosen = fullest(rest, capacity.saturating_sub(seed.unwrap_or(0)), MOST_STEPS);
    for &index in &chosen {
        rest.take(index);
    }
    seed.into_iter().chain(chosen.iter().map(|&index| rest.size(index))).collect()
}

/// Betters `contents` of bins of one `capacity` until there are `enough` bins, or time or patience ends.
pub(crate) fn perturb(
    contents: &mut Contents,
    capacity: u64,
    enough: usize,
    seed: u64,
    watch: &mut Watch<'_>,
) {
    let mut random = Random(seed);
    let mut stale = 0_usize;
    while contents.len() > enough && stale < PATIENCE.saturating_mul(contents.len()) {
        let count = random.below(DISSOLVED).saturating_add(2).min(contents.len() as u64);
        let drawn: Contents =
            (0..count).map(|_| contents.swap_remove(random.position(contents.len()))).collect();
        let renewed = renew(&drawn, capacity, &mut random);
        let (new, old) = ((renewed.len(), unevenness(&drawn)), (drawn.len(), unevenness(&renewed)));
        stale = if new < old { 0 } else { stale.saturating_add(1) };
        contents.extend(if new <= old { renewed } else { drawn });
        watch.found(Some(contents.len() as u64), 0);
        if watch.spent(MOST_STEPS) {
            break;
        }
    }
}

/// Packs the items of `bins` anew, each bin from an item drawn at random.
fn renew(bins: &Contents, capacity: u64, random: &mut Random) -> Contents {
    let mut sizes: Vec<u64> = bins.iter().flatten().copied().collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let mut rest = Types::of(&sizes);
    let mut contents = Contents::new();
    while rest.items() > 0 {
        rest.drop_empty();
        let seed = random.position(rest.len());
        let size = rest.size(seed);
        rest.take(seed);
        let chosen = fullest(&rest, capacity.saturating_sub(size), MOST_STEPS);
        let mut content = vec![size];
        for index in chosen {
            content.push(rest.size(index));
            rest.take(index);
        }
        contents.push(content);
    }
    contents
}

/// The sum of the squares of the loads, rounded: large where some bins are full and others all but empty.
#[expect(clippy::cast_precision_loss, reason = "a measure to compare by")]
fn unevenness(contents: &Contents) -> f64 {
    contents
        .iter()
        .map(|content| (content.iter().map(|&size| u128::from(size)).sum::<u128>() as f64).powi(2))
        .sum()
}
