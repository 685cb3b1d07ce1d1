//! [`Model`]: a problem as the solvers see it.
//!
//! What must stay together is one [`Unit`], devices that nothing tells apart are one [`Class`]. Replicas and apart rules
//! are one thing: groups, of which a device holds no two members.

use std::collections::{BTreeMap, BTreeSet};

use crate::placement::active::Active;
use crate::placement::conflict::Demand;
use crate::placement::derived;
use crate::placement::problem::{Keep, Problem, Rule, Spot};

/// A capacity without a limit. Demands of a problem sum to no more.
const UNLIMITED: u64 = u64::MAX;

/// Where items stand before a repack, and how many replicas may move.
#[derive(Clone, Debug)]
pub(super) struct Homes {
    /// For each item the devices it is on, none for a new one.
    pub(super) of: Vec<Vec<(usize, u64)>>,
    pub(super) most_moves: Option<u64>,
}

/// Items that go together, with all their replicas.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) items: Vec<usize>,
    pub(super) demand: Vec<u64>,
    pub(super) value: u64,
    /// Devices that it needs, each for one replica.
    pub(super) copies: usize,
    /// Which of [`Model::allowed`] says where it may go; `None` for anywhere.
    pub(super) allowed: Option<usize>,
    /// Groups of which it is a member, ascending.
    pub(super) groups: Vec<u32>,
    /// What a replica costs to move onto a device that held none of it: bytes and number of items.
    pub(super) away: (u64, u64),
    /// Home bins, and what a replica costs to move there: less than `away`.
    pub(super) home: Vec<(u32, u64, u64)>,
    /// False where rules about its own members contradict each other.
    pub(super) is_possible: bool,
}

/// Devices that nothing tells apart.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// What may be used of every resource.
    pub(super) usable: Vec<u64>,
    pub(super) cost: u64,
    /// How many there are, at most one for every replica.
    pub(super) count: usize,
    /// Which copies of which kinds: kind, first copy, number.
    segments: Vec<(usize, u64, u64)>,
}

impl Class {
    /// The kind and copy of its device number `index`.
    pub(super) fn device(&self, index: usize) -> (usize, u64) {
        let mut rest = index as u64;
        for &(kind, first, number) in &self.segments {
            if rest < number {
                return (kind, first.saturating_add(rest));
            }
            rest = rest.saturating_sub(number);
        }
        (usize::MAX, 0)
    }
}

/// A problem as the solvers see it.
pub(super) struct Model {
    /// Those of the problem; what [`derived`] adds comes after.
    pub(super) resources: usize,
    pub(super) units: Vec<Unit>,
    pub(super) classes: Vec<Class>,
    /// Sets of classes by what may go there.
    pub(super) allowed: Vec<Vec<bool>>,
    /// The classes of the bins that are there from the start, each the only one of its class.
    pub(super) homes: Vec<usize>,
    /// Whether devices were left out in whose place others serve as well.
    pub(super) is_reduced: bool,
    pub(super) may_drop: bool,
    pub(super) most_moves: u64,
    /// Replicas of all units.
    pub(super) copies: usize,
}

impl Model {
    /// The part of `problem` that is `active`.
    pub(super) fn of(problem: &Problem, active: &Active, homes: Option<&Homes>) -> Self {
        let bundles = Bundles::of(problem, active);
        let named = named_copies(problem, active, homes);
        let copies = bundles.copies(problem);
        let atoms = atoms(problem, &named, copies);
        let mut sets: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
        let mut units = bundles.units(problem, active);
        let pins = pins(problem, active);
        for unit in &mut units {
            let rules: Vec<&[Spot]> =
                unit.items.iter().flat_map(|&item| pins[item].iter().copied()).collect();
            if !rules.is_empty() {
                let set: Vec<bool> =
                    atoms.iter().map(|atom| rules.iter().all(|spots| atom.is_one_of(spots))).collect();
                let next = sets.len();
                unit.allowed = Some(*sets.entry(set).or_insert(next));
            }
        }
        let mut by_atom = vec![Vec::new(); sets.len()];
        for (set, index) in sets {
            by_atom[index] = set;
        }
        let home_atoms: BTreeMap<(usize, u64), usize> = homes
            .map(|homes| homes.of.iter().flatten().copied().collect::<BTreeSet<_>>())
            .unwrap_or_default()
            .into_iter()
            .zip(0..)
            .collect();
        let grouped = group_atoms(problem, active, &atoms, &by_atom, &home_atoms, copies);
        let allowed: Vec<Vec<bool>> =
            by_atom.iter().map(|set| grouped.members.iter().map(|&atom| set[atom]).collect()).collect();
        if let Some(homes) = homes {
            set_homes(problem, homes, &home_atoms, &mut units);
        }
        let mut classes = grouped.classes;
        let is_reduced = drop_dominated(&mut classes, &allowed, &grouped.homes, copies);
        derived::append(problem.resources().len(), &mut units, &mut classes);
        let most_moves = homes.and_then(|homes| homes.most_moves).filter(|_| active.has(Demand::Migrations));
        Self {
            resources: problem.resources().len(),
            copies: units.iter().map(|unit| unit.copies).sum(),
            units,
            classes,
            allowed,
            homes: grouped.homes,
            is_reduced,
            may_drop: problem.keep() == Keep::BestValue,
            most_moves: most_moves.unwrap_or(u64::MAX),
        }
    }

    /// Whether `unit` may go onto an empty device of `class`.
    pub(super) fn suits(&self, unit: &Unit, class: usize) -> bool {
        unit.is_possible
            && unit.allowed.is_none_or(|set| self.allowed[set][class])
            && covers(&self.classes[class].usable, &unit.demand)
    }

    /// What moving a replica of `unit` onto `bin` costs: bytes and number of items.
    pub(super) fn moving(&self, unit: &Unit, bin: usize) -> (u64, u64) {
        if bin >= self.homes.len() {
            return unit.away;
        }
        let home = unit.home.iter().find(|home| home.0 as usize == bin);
        home.map_or(unit.away, |&(_, bytes, items)| (bytes, items))
    }

    pub(super) fn total_value(&self) -> u64 {
        self.units.iter().fold(0, |sum, unit| sum.saturating_add(unit.value))
    }
}

/// Whether `room` is enough for `demand` in every resource.
pub(super) fn covers(room: &[u64], demand: &[u64]) -> bool {
    room.iter().zip(demand).all(|(room, demand)| room >= demand)
}

/// Items joined by the rules of togetherness.
struct Bundles(Vec<Vec<usize>>);

impl Bundles {
    fn of(problem: &Problem, active: &Active) -> Self {
        let mut leader: Vec<usize> = (0..problem.items().len()).collect();
        for (index, rule) in problem.rules().iter().enumerate() {
            let Rule::Together(members) = rule else { continue };
            if !active.has(Demand::Rule(index)) {
                continue;
            }
            let mut present = members.iter().filter(|&&item| active.has(Demand::Item(item)));
            let Some(&first) = present.next() else { continue };
            for &other in present {
                let (a, b) = (find(&mut leader, first), find(&mut leader, other));
                leader[a.max(b)] = a.min(b);
            }
        }
        let mut bundles: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for item in 0..leader.len() {
            if active.has(Demand::Item(item)) {
                bundles.entry(find(&mut leader, item)).or_default().push(item);
            }
        }
        Self(bundles.into_values().collect())
    }

    /// Replicas of all items: no placement uses more devices.
    fn copies(&self, problem: &Problem) -> usize {
        self.0.iter().flatten().map(|&item| problem.items()[item].replicas as usize).sum()
    }

    fn units(self, problem: &Problem, active: &Active) -> Vec<Unit> {
        let mut groups_of: Vec<Vec<u32>> = vec![Vec::new(); problem.items().len()];
        let mut next = 0_u32;
        for (index, rule) in problem.rules().iter().enumerate() {
            if let Rule::Apart(members) = rule
                && active.has(Demand::Rule(index))
            {
                for &item in members {
                    groups_of[item].push(next);
                }
                next = next.saturating_add(1);
            }
        }
        let mut units = Vec::with_capacity(self.0.len());
        for items in self.0 {
            let copies = replicas(problem, &items);
            let is_distinct = items.iter().any(|&item| active.has(Demand::Replicas(item)));
            let mut groups: Vec<u32> =
                items.iter().flat_map(|&item| groups_of[item].iter().copied()).collect();
            groups.sort_unstable();
            let is_possible = groups.windows(2).all(|pair| pair[0] != pair[1]);
            if copies > 1 && is_distinct {
                groups.push(next);
                next = next.saturating_add(1);
            }
            let (number, copies) = if is_distinct { (1, copies) } else { (copies, 1) };
            let unit = unit_of(problem, active, items, copies, groups, is_possible);
            units.extend(std::iter::repeat_n(unit, number));
        }
        units
    }
}

fn unit_of(
    problem: &Problem,
    active: &Active,
    items: Vec<usize>,
    copies: usize,
    groups: Vec<u32>,
    is_possible: bool,
) -> Unit {
    let demand = (0..problem.resources().len()).map(|resource| {
        let stands = active.has(Demand::Resource(resource));
        let demands = items.iter().map(|&item| problem.items()[item].demand[resource]);
        if stands { demands.fold(0, u64::saturating_add) } else { 0 }
    });
    Unit {
        demand: demand.collect(),
        value: items.iter().fold(0, |sum: u64, &item| sum.saturating_add(problem.items()[item].value)),
        items,
        copies,
        allowed: None,
        groups,
        away: (0, 0),
        home: Vec::new(),
        is_possible,
    }
}

fn replicas(problem: &Problem, items: &[usize]) -> usize {
    items.first().map_or(0, |&item| problem.items()[item].replicas as usize)
}

fn find(leader: &mut [usize], item: usize) -> usize {
    let mut root = item;
    while leader[root] != root {
        root = leader[root];
    }
    let mut step = item;
    while leader[step] != root {
        step = std::mem::replace(&mut leader[step], root);
    }
    root
}

/// Copies of kinds that are alike as far as rules and homes go: one of them by number, or a stretch of them.
struct Atom {
    kind: usize,
    first: u64,
    number: u64,
    is_named: bool,
}

impl Atom {
    fn is_one_of(&self, spots: &[Spot]) -> bool {
        let is = |spot: &Spot| {
            spot.kind == self.kind && spot.copy.is_none_or(|copy| self.is_named && copy == self.first)
        };
        spots.iter().any(is)
    }
}

/// The copies of each kind that a rule or a home names.
fn named_copies(problem: &Problem, active: &Active, homes: Option<&Homes>) -> Vec<BTreeSet<u64>> {
    let mut named = vec![BTreeSet::new(); problem.kinds().len()];
    for (index, rule) in problem.rules().iter().enumerate() {
        let Rule::Only { spots, .. } = rule else { continue };
        if active.has(Demand::Rule(index)) {
            let copies = spots.iter().filter_map(|spot| Some((spot.kind, spot.copy?)));
            for (kind, copy) in copies {
                named[kind].insert(copy);
            }
        }
    }
    for &(kind, copy) in homes.iter().flat_map(|homes| homes.of.iter().flatten()) {
        named[kind].insert(copy);
    }
    named
}

/// All copies that a placement of so many replicas may need.
fn atoms(problem: &Problem, named: &[BTreeSet<u64>], copies: usize) -> Vec<Atom> {
    let mut atoms = Vec::new();
    for (kind, named) in named.iter().enumerate() {
        let end = problem.kinds()[kind].count.unwrap_or(u64::MAX);
        let mut left = copies as u64;
        let mut next = 0_u64;
        for edge in named.iter().copied().chain([end]) {
            let number = edge.saturating_sub(next).min(left);
            if number > 0 {
                atoms.push(Atom { kind, first: next, number, is_named: false });
                left = left.saturating_sub(number);
            }
            if edge < end {
                atoms.push(Atom { kind, first: edge, number: 1, is_named: true });
            }
            next = edge.saturating_add(1);
        }
    }
    atoms
}

/// For each item the lists of spots that it is kept in.
fn pins<'a>(problem: &'a Problem, active: &Active) -> Vec<Vec<&'a [Spot]>> {
    let mut pins = vec![Vec::new(); problem.items().len()];
    for (index, rule) in problem.rules().iter().enumerate() {
        if let Rule::Only { item, spots } = rule
            && active.has(Demand::Rule(index))
        {
            pins[*item].push(spots.as_slice());
        }
    }
    pins
}

struct Grouped {
    classes: Vec<Class>,
    /// An atom of each class.
    members: Vec<usize>,
    homes: Vec<usize>,
}

/// What tells devices apart: usable amounts, cost, the sets they are in, and which home they are.
type Signature = (Vec<u64>, u64, Vec<bool>, Option<usize>);

fn group_atoms(
    problem: &Problem,
    active: &Active,
    atoms: &[Atom],
    sets: &[Vec<bool>],
    homes: &BTreeMap<(usize, u64), usize>,
    copies: usize,
) -> Grouped {
    let mut seen: BTreeMap<Signature, usize> = BTreeMap::new();
    let mut grouped = Grouped { classes: Vec::new(), members: Vec::new(), homes: vec![0; homes.len()] };
    for (index, atom) in atoms.iter().enumerate() {
        let kind = &problem.kinds()[atom.kind];
        let usable: Vec<u64> = (0..problem.resources().len())
            .map(|resource| {
                let whole = kind.capacity[resource];
                let usable = if active.has(Demand::Reserve) { kind.usable(resource) } else { whole };
                usable.unwrap_or(UNLIMITED)
            })
            .collect();
        let home = homes.get(&(atom.kind, atom.first)).copied().filter(|_| atom.is_named);
        let signature = (usable, kind.cost, sets.iter().map(|set| set[index]).collect::<Vec<_>>(), home);
        let class = *seen.entry(signature.clone()).or_insert(grouped.classes.len());
        if class == grouped.classes.len() {
            let (usable, cost, ..) = signature;
            grouped.classes.push(Class { usable, cost, count: 0, segments: Vec::new() });
            grouped.members.push(index);
        }
        let class_entry = &mut grouped.classes[class];
        class_entry.segments.push((atom.kind, atom.first, atom.number));
        let number = usize::try_from(atom.number).unwrap_or(usize::MAX);
        class_entry.count = class_entry.count.saturating_add(number).min(copies.max(1));
        if let Some(home) = home {
            grouped.homes[home] = class;
        }
    }
    grouped
}

/// Tells the units where their items stand.
fn set_homes(problem: &Problem, homes: &Homes, bins: &BTreeMap<(usize, u64), usize>, units: &mut [Unit]) {
    for unit in units {
        let mut at: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        let mut away = (0_u64, 0_u64);
        for &item in &unit.items {
            let places = &homes.of[item];
            if places.is_empty() {
                continue;
            }
            let bytes = problem.items()[item].demand.first().copied().unwrap_or(0);
            away = (away.0.saturating_add(bytes), away.1.saturating_add(1));
            for bin in places.iter().filter_map(|place| bins.get(place)) {
                let saved = at.entry(u32::try_from(*bin).unwrap_or(u32::MAX)).or_default();
                *saved = (saved.0.saturating_add(bytes), saved.1.saturating_add(1));
            }
        }
        let less = |(bin, saved): (u32, (u64, u64))| {
            (bin, away.0.saturating_sub(saved.0), away.1.saturating_sub(saved.1))
        };
        unit.home = at.into_iter().map(less).collect();
        unit.away = away;
    }
}

/// Takes away the classes in whose place another, of which there are enough, serves as well for no more; whether there
/// are such.
fn drop_dominated(classes: &mut [Class], allowed: &[Vec<bool>], homes: &[usize], copies: usize) -> bool {
    let serves = |a: usize, b: usize, classes: &[Class]| {
        let (one, other) = (&classes[a], &classes[b]);
        let is_better = (other.cost, &one.usable) != (one.cost, &other.usable) || b < a;
        other.count >= copies
            && other.cost <= one.cost
            && covers(&other.usable, &one.usable)
            && is_better
            && allowed.iter().all(|set| set[b] || !set[a])
    };
    let mut is_reduced = false;
    for a in 0..classes.len() {
        if !homes.contains(&a) && (0..classes.len()).any(|b| b != a && serves(a, b, classes)) {
            classes[a].count = 0;
            is_reduced = true;
        }
    }
    is_reduced
}
