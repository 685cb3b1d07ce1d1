//! The set with the least loss that frees enough in every domain at once, where a member may go, or shrink if it can.
//!
//! [`policy::select`](super::policy::select) chooses for one domain. What a model on two domains frees counts in both, and
//! what shrinks frees less than what goes but loses less, too; neither can be had by choosing domain after domain, or
//! first who goes and then who of these may shrink. So this is a covering problem, solved by branch and bound: offers in
//! the order of their loss by the use of what they free, each taken or not. The rest of what is missing in a domain costs
//! at least what it costs by the best ratio that is left there, and what cannot be had at all is not looked for.

/// Among so many offers the search is exact, where one that can shrink counts twice.
pub(super) const EXACT_UP_TO: usize = super::policy::EXACT_UP_TO;

/// Steps of a search among more; it then ends with the best so far, which is no worse than to let all go in order.
const MOST_STEPS: u32 = 2_000;

/// Bytes by domain, all offers and needs alike. Less than none is a use.
pub(super) type Sizes = Vec<i128>;

/// What comes of taking an offer.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) frees: Sizes,
    /// What is lost; not negative, not NaN.
    pub(super) loss: f64,
}

/// One who may go.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) goes: Part,
    /// If it can shrink instead: what that frees in the end, and what it takes while both forms are there.
    pub(super) shrinks: Option<(Part, Sizes)>,
}

impl Offer {
    /// The least loss for a byte of `domain` that it can free, and the most bytes.
    fn best(&self, domain: usize) -> (f64, i128) {
        let mut best = (f64::INFINITY, 0);
        for part in std::iter::once(&self.goes).chain(self.shrinks.iter().map(|(part, _)| part)) {
            let frees = part.frees[domain];
            if frees > 0 {
                best = (best.0.min(part.loss / float(frees)), best.1.max(frees));
            }
        }
        best
    }
}

/// What becomes of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Goes,
    Shrinks,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Need {
    /// What has to be freed; where that is negative, there is so much to spare.
    pub(super) missing: Sizes,
    /// What there is for second forms until the first are gone.
    pub(super) room: Sizes,
}

/// The fate of each offer, with the least loss that frees what is needed, and that loss; `None` where all of them together
/// do not.
pub(super) fn strike(need: &Need, offers: &[Offer]) -> Option<(Vec<Fate>, f64)> {
    let mut order: Vec<usize> = (0..offers.len()).collect();
    let ratios: Vec<f64> = offers.iter().map(|offer| ratio(need, offer)).collect();
    order.sort_by(|&a, &b| ratios[a].total_cmp(&ratios[b]).then(a.cmp(&b)));
    let mut search = Search::new(need, offers, &order);
    search.begin();
    search.go(0, 0.0);
    let (loss, fates) = search.best?;
    let mut by_offer = vec![Fate::Stays; offers.len()];
    for (&place, fate) in order.iter().zip(fates) {
        by_offer[place] = fate;
    }
    Some((by_offer, loss))
}

/// The loss of an offer by the share of what is missing that it frees.
fn ratio(need: &Need, offer: &Offer) -> f64 {
    let useful = |part: &Part| {
        let shares = need.missing.iter().zip(&part.frees);
        let share = |(&missing, &frees): (&i128, &i128)| {
            if missing > 0 { float(frees.clamp(0, missing)) / float(missing) } else { 0.0 }
        };
        let useful: f64 = shares.map(share).sum();
        if useful > 0.0 { part.loss / useful } else { f64::INFINITY }
    };
    offer.shrinks.iter().map(|(part, _)| useful(part)).fold(useful(&offer.goes), f64::min)
}

struct Search<'a> {
    offers: Vec<&'a Offer>,
    /// For each place in the order and each domain, of the offers from there on: the least loss for a byte, and all bytes.
    rest: Vec<Vec<(f64, i128)>>,
    missing: Sizes,
    room: Sizes,
    fates: Vec<Fate>,
    best: Option<(f64, Vec<Fate>)>,
    steps: u32,
}

impl<'a> Search<'a> {
    fn new(need: &Need, offers: &'a [Offer], order: &[usize]) -> Self {
        let offers: Vec<&Offer> = order.iter().map(|&place| &offers[place]).collect();
        let mut rest: Vec<Vec<(f64, i128)>> = vec![vec![(f64::INFINITY, 0); need.missing.len()]];
        for offer in offers.iter().rev() {
            let behind = rest.last().into_iter().flatten().enumerate();
            let with_own = behind.map(|(domain, &(ratio, bytes))| {
                let own = offer.best(domain);
                (ratio.min(own.0), bytes.saturating_add(own.1))
            });
            let row = with_own.collect();
            rest.push(row);
        }
        rest.reverse();
        let ways = offers.iter().map(|offer| 1_usize.saturating_add(offer.shrinks.iter().count()));
        let steps = if ways.sum::<usize>() <= EXACT_UP_TO { u32::MAX } else { MOST_STEPS };
        let (missing, room) = (need.missing.clone(), need.room.clone());
        Self { offers, rest, missing, room, fates: Vec::new(), best: None, steps }
    }

    /// An answer to begin with, which is there if any is: all that are of use go, in order, until enough is free.
    fn begin(&mut self) {
        let (mut left, mut loss) = (self.missing.clone(), 0.0);
        let mut fates = vec![Fate::Stays; self.offers.len()];
        for (offer, fate) in self.offers.iter().zip(&mut fates) {
            let is_useful = left.iter().zip(&offer.goes.frees).any(|(&left, &frees)| left > 0 && frees > 0);
            if is_useful {
                shift(&mut left, &offer.goes.frees, -1);
                loss += offer.goes.loss;
                *fate = Fate::Goes;
            }
        }
        if left.iter().all(|&left| left <= 0) {
            self.best = Some((loss, fates));
        }
    }

    /// What the rest of what is missing costs at the least, from a place in the order on; `None` if it cannot be had.
    fn lacks(&self, at: usize) -> Option<f64> {
        let mut most = 0.0;
        for (&missing, &(ratio, bytes)) in self.missing.iter().zip(&self.rest[at]) {
            if missing > bytes {
                return None;
            }
            if missing > 0 {
                most = f64::max(most, ratio * float(missing));
            }
        }
        Some(most)
    }

    fn go(&mut self, at: usize, loss: f64) {
        if self.missing.iter().all(|&missing| missing <= 0) {
            if self.best.as_ref().is_none_or(|best| loss < best.0) {
                let mut fates = self.fates.clone();
                fates.resize(self.offers.len(), Fate::Stays);
                self.best = Some((loss, fates));
            }
            return;
        }
        if self.steps == 0 {
            return;
        }
        let Some(more) = self.lacks(at) else { return };
        if self.best.as_ref().is_some_and(|best| loss + more >= best.0) {
            return;
        }
        let Some(&offer) = self.offers.get(at) else { return };
        self.steps = self.steps.saturating_sub(1);
        if let Some((part, takes)) = &offer.shrinks
            && self.room.iter().zip(takes).all(|(room, takes)| takes <= room)
        {
            shift(&mut self.room, takes, -1);
            self.take(at, part, Fate::Shrinks, loss);
            shift(&mut self.room, takes, 1);
        }
        self.take(at, &offer.goes, Fate::Goes, loss);
        self.fates.push(Fate::Stays);
        self.go(at.saturating_add(1), loss);
        self.fates.pop();
    }

    fn take(&mut self, at: usize, part: &Part, fate: Fate, loss: f64) {
        shift(&mut self.missing, &part.frees, -1);
        self.fates.push(fate);
        self.go(at.saturating_add(1), loss + part.loss);
        self.fates.pop();
        shift(&mut self.missing, &part.frees, 1);
    }
}

/// Adds `change` so many times.
fn shift(sizes: &mut [i128], change: &[i128], times: i128) {
    for (size, change) in sizes.iter_mut().zip(change) {
        *size = size.saturating_add(change.saturating_mul(times));
    }
}

#[allow(clippy::cast_precision_loss, reason = "losses are weighed, not counted")]
fn float(bytes: i128) -> f64 {
    bytes as f64
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "test arithmetic on small numbers"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The least loss by trying everything.
    fn brute(need: &Need, offers: &[Offer]) -> Option<f64> {
        let mut best: Option<f64> = None;
        for code in 0..3_usize.pow(u32::try_from(offers.len()).unwrap()) {
            let (mut missing, mut room, mut loss, mut left) =
                (need.missing.clone(), need.room.clone(), 0.0, code);
            let mut can = true;
            for offer in offers {
                match (left % 3, &offer.shrinks) {
                    (1, _) => {
                        shift(&mut missing, &offer.goes.frees, -1);
                        loss += offer.goes.loss;
                    }
                    (2, Some((part, takes))) => {
                        shift(&mut missing, &part.frees, -1);
                        shift(&mut room, takes, -1);
                        loss += part.loss;
                    }
                    (2, None) => can = false,
                    _ => {}
                }
                left /= 3;
            }
            can &= missing.iter().all(|&missing| missing <= 0) && room.iter().all(|&room| room >= 0);
            if can && best.is_none_or(|best| loss < best) {
                best = Some(loss);
            }
        }
        best
    }

    fn offer() -> impl Strategy<Value = Offer> {
        let form = prop::option::of((0_i128..5, 0_i128..3, 0_u8..=4));
        (0_i128..9, 0_i128..9, 0_u16..40, form).prop_map(|(first, second, loss, form)| {
            let loss = f64::from(loss);
            let shrinks = form.map(|(here, there, share)| {
                let part =
                    Part { frees: vec![first - here, second - there], loss: loss * f64::from(share) / 4.0 };
                (part, vec![here, there])
            });
            Offer { goes: Part { frees: vec![first, second], loss }, shrinks }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// As good as trying everything, and what it says is so.
        #[test]
        fn nothing_is_better(
            offers in prop::collection::vec(offer(), 0..8), missing in (-3_i128..20, -3_i128..20),
            room in (0_i128..8, 0_i128..8),
        ) {
            let need = Need { missing: vec![missing.0, missing.1], room: vec![room.0, room.1] };
            let found = strike(&need, &offers);
            prop_assert_eq!(found.as_ref().map(|found| found.1), brute(&need, &offers));
            let Some((fates, loss)) = found else { return Ok(()) };
            let (mut left, mut sum) = (need.missing.clone(), 0.0);
            for (offer, fate) in offers.iter().zip(fates) {
                let part = match fate {
                    Fate::Stays => continue,
                    Fate::Goes => &offer.goes,
                    Fate::Shrinks => &offer.shrinks.as_ref().unwrap().0,
                };
                shift(&mut left, &part.frees, -1);
                sum += part.loss;
            }
            prop_assert!(left.iter().all(|&left| left <= 0));
            prop_assert!((sum - loss).abs() < 1e-9);
        }

        /// Where there are too many to try all, the work is bounded, and an answer is found wherever there is one.
        #[test]
        fn many_are_searched_for_a_while(offers in prop::collection::vec(offer(), 21..200), share in 1_i128..=100) {
            let plain: Vec<Offer> = offers.into_iter().map(|offer| Offer { shrinks: None, ..offer }).collect();
            let all = |domain: usize| plain.iter().map(|offer| offer.goes.frees[domain]).sum::<i128>() * share / 100;
            let need = Need { missing: vec![all(0), all(1)], room: vec![0, 0] };
            prop_assert!(strike(&need, &plain).is_some());
        }
    }
}
