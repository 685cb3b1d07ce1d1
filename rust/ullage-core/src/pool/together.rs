//! Victims for several domains together, and those who may shrink instead of others who would go.

use super::bargain::{EXACT_UP_TO, Fate, Need, Offer, Part, Sizes, strike};
use super::brain::Pool;
use super::demand::{Demand, DomainId};
use super::instance::InstanceId;
use super::policy::{Selection, count};
use super::room::Room;
use super::tier::shared;
use super::victims::{Chosen, Class, Reach};

/// Who goes and who shrinks.
#[derive(Clone, Debug, Default)]
pub(super) struct Trade {
    pub(super) go: Vec<InstanceId>,
    pub(super) shrink: Vec<InstanceId>,
}

/// One of a class that may go.
struct Weighty {
    id: InstanceId,
    /// What keeping it is worth for each byte of it, wherever that is; its latest use.
    order: (f64, u64),
    loss: f64,
    frees: Sizes,
}

impl Weighty {
    fn is_useful(&self, left: &[i128]) -> bool {
        self.frees.iter().zip(left).any(|(&frees, &left)| frees > 0 && left > 0)
    }
}

impl Pool {
    /// Adds to `chosen` those that go for what is `missing` in several domains, each counted once for all that it frees;
    /// gives how many classes that took, `None` where all of them are not enough.
    pub(super) fn together(
        &self,
        chosen: &mut Chosen,
        missing: &[(DomainId, u128)],
        classes: &[(Class, InstanceId)],
    ) -> Option<u32> {
        let mut left: Sizes = missing.iter().map(|&(_, bytes)| signed(bytes)).collect();
        let mut groups = 0_u32;
        for group in classes.chunk_by(|(a, _), (b, _)| a == b) {
            if left.iter().all(|&left| left <= 0) {
                break;
            }
            groups = groups.saturating_add(1);
            for row in self.chosen_of(group, missing, &left) {
                if row.is_useful(&left) {
                    chosen.cost += row.loss;
                    chosen.ids.push(row.id);
                    left.iter_mut()
                        .zip(row.frees)
                        .for_each(|(left, frees)| *left = left.saturating_sub(frees));
                }
            }
        }
        left.iter().all(|&left| left <= 0).then_some(groups)
    }

    /// The members of a class that go for what is `left`, the least worth first: all, where all are not enough, or where a
    /// rule gives an order and no losses. Whoever is not needed is found out later.
    fn chosen_of(
        &self,
        group: &[(Class, InstanceId)],
        missing: &[(DomainId, u128)],
        left: &[i128],
    ) -> Vec<Weighty> {
        let weighty = |(id, worth): (InstanceId, f64)| {
            let bytes = missing.iter().map(|&(domain, _)| self.instance(id).bytes_in(domain).get().into());
            let loss = worth * count(self.goes_with(id).total());
            Weighty { id, order: (worth, self.entry_of(id).turn), loss, frees: bytes.collect() }
        };
        let worths = self.worths(group.iter().map(|&(_, id)| id));
        let mut rows: Vec<Weighty> =
            worths.into_iter().map(weighty).filter(|row| row.is_useful(left)).collect();
        rows.sort_by(|a, b| {
            a.order.0.total_cmp(&b.order.0).then_with(|| (a.order.1, a.id).cmp(&(b.order.1, b.id)))
        });
        let is_enough = left.iter().enumerate().all(|(at, &left)| {
            rows.iter().fold(0_i128, |sum, row| sum.saturating_add(row.frees[at])) >= left
        });
        if is_enough && let Selection::Least { .. } = self.policy.selection() {
            let offer = |row: &Weighty| Offer {
                goes: Part { frees: row.frees.clone(), loss: row.loss },
                shrinks: None,
            };
            let offers: Vec<Offer> = rows.iter().map(offer).collect();
            let need = Need { missing: left.to_vec(), room: vec![0; left.len()] };
            if let Some((fates, _)) = strike(&need, &offers) {
                let mut fates = fates.into_iter();
                rows.retain(|_| fates.next() != Some(Fate::Stays));
            }
        }
        rows
    }

    /// Some of `ids`, who are all to go for what is `missing`, or others, who shrink instead: together they free enough, and
    /// that loses less. `None` where nobody can shrink, or where somebody would have to wait for it, or where the rule
    /// tells no losses.
    pub(super) fn trade(
        &self,
        ids: &[InstanceId],
        to: InstanceId,
        missing: &[(DomainId, u128)],
        needed: &Demand,
        room: &Room,
    ) -> Option<Trade> {
        let is_weighed = matches!(self.policy.selection(), Selection::Least { .. });
        let can_shrink = |&id: &InstanceId| self.form(id).is_some();
        if !is_weighed
            || missing.is_empty()
            || self.forms == 0
            || !self.lists.evictable.iter().any(can_shrink)
        {
            return None;
        }
        let classes = self.classes(Reach::Idle, Some(to), room);
        let own = self.instance(to).model;
        let is_fair = |row: &&(Class, InstanceId)| {
            let instance = self.instance(row.1);
            instance.model != own && instance.is_unused() && !self.is_awaited(row.1)
        };
        let fair: Vec<(Class, InstanceId)> = classes.iter().filter(is_fair).copied().collect();
        let class_of = |id: &InstanceId| fair.iter().find(|(_, other)| other == id).map(|(class, _)| *class);
        let last = ids.iter().map(class_of).collect::<Option<Vec<Class>>>()?.into_iter().max()?;
        let others = fair.iter().filter(|(class, id)| *class <= last && !ids.contains(id));
        let mut others = self.worths(others.map(|&(_, id)| id));
        others.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let mut offered: Vec<InstanceId> = Vec::new();
        let mut ways = 0_usize;
        for id in ids.iter().copied().chain(others.into_iter().map(|(id, _)| id)) {
            ways = ways.saturating_add(1).saturating_add(usize::from(can_shrink(&id)));
            if ways > EXACT_UP_TO {
                break;
            }
            offered.push(id);
        }
        if offered.len() < ids.len() {
            return None;
        }
        let offers: Vec<Offer> = offered.iter().map(|&id| self.offer(id)).collect();
        let (fates, loss) = strike(&need(missing, needed, room), &offers)?;
        // The first offers are those of `ids`.
        let before: f64 = offers.iter().take(ids.len()).map(|offer| offer.goes.loss).sum();
        let with = |wanted: Fate| {
            let all = offered.iter().zip(&fates).filter(move |(_, fate)| **fate == wanted);
            all.map(|(&id, _)| id).collect::<Vec<InstanceId>>()
        };
        let trade = Trade { go: with(Fate::Goes), shrink: with(Fate::Shrinks) };
        (loss < before && !trade.shrink.is_empty()).then_some(trade)
    }

    /// What comes of an idle instance going, or shrinking.
    fn offer(&self, id: InstanceId) -> Offer {
        let domains = || (0..).map(DomainId::new).take(self.accounts.len());
        let instance = self.instance(id);
        let frees: Sizes = domains().map(|domain| instance.bytes_in(domain).get().into()).collect();
        let loss = self.loss(id);
        let shrinks = self.form(id).map(|form| {
            let takes: Sizes = domains().map(|domain| form.bytes_in(domain).get().into()).collect();
            let left = frees.iter().zip(&takes).map(|(&frees, &takes)| frees.saturating_sub(takes)).collect();
            let loss = loss * (1.0 - self.saved_share(instance.model));
            (Part { frees: left, loss }, takes)
        });
        Offer { goes: Part { frees, loss }, shrinks }
    }

    /// What keeping each of `ids` is worth. As in [`select`](super::policy::select), where one worth is NaN none counts, and
    /// the least recently used goes.
    pub(super) fn worths(&self, ids: impl Iterator<Item = InstanceId>) -> Vec<(InstanceId, f64)> {
        let mut worths: Vec<_> = ids.map(|id| (id, self.worth(id))).collect();
        if worths.iter().any(|(_, worth)| worth.is_nan()) {
            for (_, worth) in &mut worths {
                *worth = 0.0;
            }
        }
        worths
    }

    /// What is lost with an instance, by the policy's reckoning.
    fn loss(&self, id: InstanceId) -> f64 {
        self.worth(id) * count(self.goes_with(id).total())
    }

    /// What keeping an instance is worth for each byte of it, wherever that is.
    pub(super) fn worth(&self, id: InstanceId) -> f64 {
        let worth = self.policy.worth(&self.candidate(id, self.goes_with(id).total()), self.now);
        self.saved(id).map_or(worth, |share| shared(worth, share))
    }
}

/// What is missing in each domain of the pool, negative where there is some to spare, and what is free there.
fn need(missing: &[(DomainId, u128)], needed: &Demand, room: &Room) -> Need {
    let mut need = Need { missing: Vec::new(), room: Vec::new() };
    for (domain, space) in (0..).map(DomainId::new).zip(&room.spaces) {
        let wanted = space.claimed.saturating_add(needed.bytes_in(domain).get().into());
        let spare = signed(space.free.saturating_add(space.incoming)).saturating_sub(signed(wanted));
        let told = missing.iter().find(|(other, _)| *other == domain);
        need.missing.push(told.map_or(spare.saturating_neg().min(0), |&(_, bytes)| signed(bytes)));
        need.room.push(signed(space.free));
    }
    need
}

fn signed(bytes: u128) -> i128 {
    i128::try_from(bytes).unwrap_or(i128::MAX)
}
