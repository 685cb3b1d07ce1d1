//! Every placement of a tiny problem, one by one.

use super::*;

/// What is least of all placements: value left over, bytes moved, cost.
pub(super) type Least = (u64, u64, u64);

/// Demands, and where items stand before.
pub(super) struct World<'a> {
    pub(super) problem: &'a Problem,
    pub(super) demands: Vec<Demand>,
    /// Devices of each item, none for a new one.
    pub(super) homes: Vec<Vec<(usize, u64)>>,
    pub(super) most_moves: u64,
}

impl<'a> World<'a> {
    pub(super) fn of(problem: &'a Problem) -> Self {
        Self {
            problem,
            demands: Demand::all(problem, true),
            homes: vec![Vec::new(); problem.items().len()],
            most_moves: u64::MAX,
        }
    }

    fn has(&self, demand: Demand) -> bool {
        self.demands.contains(&demand)
    }

    fn devices(&self) -> Vec<(usize, u64)> {
        let kinds = self.problem.kinds().iter().enumerate();
        kinds.flat_map(|(kind, found)| (0..found.count.unwrap()).map(move |copy| (kind, copy))).collect()
    }

    /// The best placement; `None` where not all demands can be met.
    pub(super) fn best(&self) -> Option<Least> {
        let devices = self.devices();
        let mut places = vec![Vec::new(); self.problem.items().len()];
        let mut best = None;
        self.place(0, &devices, &mut places, &mut best);
        best
    }

    fn place(
        &self,
        at: usize,
        devices: &[(usize, u64)],
        places: &mut Vec<Vec<usize>>,
        best: &mut Option<Least>,
    ) {
        let Some(item) = self.problem.items().get(at) else {
            if self.keeps_rules(devices, places)
                && let Some(score) = self.score(devices, places)
                && best.is_none_or(|least| score < least)
            {
                *best = Some(score);
            }
            return;
        };
        if !self.has(Demand::Item(at)) {
            return self.place(at + 1, devices, places, best);
        }
        let distinct = self.has(Demand::Replicas(at));
        for choice in choices(devices.len(), item.replicas as usize, distinct) {
            places[at].clone_from(&choice);
            if choice.iter().all(|&device| self.fits(devices, places, device)) {
                self.place(at + 1, devices, places, best);
            }
        }
        places[at] = Vec::new();
        if self.problem.keep() == Keep::BestValue {
            self.place(at + 1, devices, places, best);
        }
    }

    fn fits(&self, devices: &[(usize, u64)], places: &[Vec<usize>], device: usize) -> bool {
        let kind = &self.problem.kinds()[devices[device].0];
        (0..self.problem.resources().len()).all(|resource| {
            let mut load = if self.has(Demand::Reserve) { kind.reserve[resource] } else { 0 };
            for (item, places) in self.problem.items().iter().zip(places) {
                for _ in places.iter().filter(|&&place| place == device) {
                    load += item.demand[resource];
                }
            }
            !self.has(Demand::Resource(resource))
                || kind.capacity[resource].is_none_or(|capacity| load <= capacity)
        })
    }

    fn keeps_rules(&self, devices: &[(usize, u64)], places: &[Vec<usize>]) -> bool {
        let rules = self.problem.rules().iter().enumerate();
        rules.filter(|(index, _)| self.has(Demand::Rule(*index))).all(|(_, rule)| match rule {
            Rule::Only { item, spots } => places[*item].iter().all(|&place| {
                let (kind, copy) = devices[place];
                spots.iter().any(|spot| spot.kind == kind && spot.copy.is_none_or(|only| only == copy))
            }),
            Rule::Together(members) => {
                let standing: Vec<usize> =
                    members.iter().copied().filter(|&member| self.has(Demand::Item(member))).collect();
                standing.windows(2).all(|pair| sorted(&places[pair[0]]) == sorted(&places[pair[1]]))
            }
            Rule::Apart(members) => (0..devices.len()).all(|device| {
                let here =
                    members.iter().flat_map(|&member| &places[member]).filter(|&&place| place == device);
                here.count() <= 1
            }),
        })
    }

    fn score(&self, devices: &[(usize, u64)], places: &[Vec<usize>]) -> Option<Least> {
        let items = self.problem.items();
        let left = (0..items.len()).filter(|&item| self.has(Demand::Item(item)) && places[item].is_empty());
        let dropped = left.map(|item| items[item].value).sum();
        let (mut moved, mut migrations) = (0, 0);
        for (item, places) in places.iter().enumerate() {
            for &place in places {
                if !self.homes[item].is_empty() && !self.homes[item].contains(&devices[place]) {
                    moved += items[item].demand[0];
                    migrations += 1;
                }
            }
        }
        let used = (0..devices.len()).filter(|device| places.iter().any(|places| places.contains(device)));
        let cost = used.map(|device| self.problem.kinds()[devices[device].0].cost).sum();
        (!self.has(Demand::Migrations) || migrations <= self.most_moves).then_some((dropped, moved, cost))
    }
}

fn sorted(places: &[usize]) -> Vec<usize> {
    let mut places = places.to_vec();
    places.sort_unstable();
    places
}

/// All ways to choose `count` of `devices`, once each, or as often as wanted.
fn choices(devices: usize, count: usize, distinct: bool) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in choices(devices, count - 1, distinct) {
        let from = shorter.last().map_or(0, |last| last + usize::from(distinct));
        all.extend((from..devices).map(|device| shorter.iter().copied().chain([device]).collect()));
    }
    all
}
