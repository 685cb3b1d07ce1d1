//! [`Problem`]: what is to be placed, on which devices, and under which rules.

use crate::error::{Error, Result};
use crate::pack::unique;
use crate::units::{Bytes, clip};

/// A resource that demands and capacities are counted in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name, unique in a problem.
    pub name: String,
    /// Whether it is shown as bytes (`40 GB`) or as a plain number.
    pub is_bytes: bool,
}

/// Something that goes onto one device, or as equal replicas onto several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name, unique in a problem.
    pub name: String,
    /// What each replica needs, a figure for every resource of the problem; the first is what a move moves, in bytes.
    pub demand: Vec<u64>,
    /// What it is worth to keep it, with all its replicas; positive.
    pub value: u64,
    /// How many of it there are, each on another device; at least one.
    pub replicas: u32,
}

/// Devices that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name, unique in a problem.
    pub name: String,
    /// What each copy has, a figure for every resource of the problem; `None` for no limit.
    pub capacity: Vec<Option<u64>>,
    /// What of that stays free on each copy; at most the capacity.
    pub reserve: Vec<u64>,
    /// What each copy costs that holds anything.
    pub cost: u64,
    /// The copies there are, at least one; `None` means as many as needed.
    pub count: Option<u64>,
}

impl Kind {
    /// What may be used of `resource` on each copy: the capacity less the reserve; `None` for no limit.
    #[must_use]
    pub fn usable(&self, resource: usize) -> Option<u64> {
        let reserve = self.reserve.get(resource).copied().unwrap_or(0);
        self.capacity.get(resource).copied().flatten().map(|capacity| capacity.saturating_sub(reserve))
    }
}

/// A kind of devices, or one copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Position of the kind in the problem.
    pub kind: usize,
    /// One copy, from zero; `None` for any of them.
    pub copy: Option<u64>,
}

/// What a placement must keep to. Items are positions in the problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `item` goes only onto one of `spots`: a pin where there is one.
    Only {
        /// The item.
        item: usize,
        /// Where it may go.
        spots: Vec<Spot>,
    },
    /// A device that holds one of these holds them all. They have equally many replicas.
    Together(Vec<usize>),
    /// No device holds two of these, replicas counted one by one.
    Apart(Vec<usize>),
}

/// What is asked where not everything fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Keep {
    /// All items: anything else is no answer.
    #[default]
    All,
    /// Those that are worth most together.
    BestValue,
}

impl Keep {
    /// The name as written by users.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::BestValue => "best_value",
        }
    }
}

impl std::str::FromStr for Keep {
    type Err = Error;

    /// Reads a name.
    ///
    /// # Errors
    /// [`Error::Argument`] listing the names there are.
    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::All, Self::BestValue].into_iter().find(|keep| keep.name() == text).ok_or_else(|| {
            Error::Argument { name: "keep", reason: format!("{:?} is none of all, best_value", clip(text)) }
        })
    }
}

/// Items to be placed on devices under rules. Checked at construction and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    resources: Vec<Resource>,
    items: Vec<Item>,
    kinds: Vec<Kind>,
    rules: Vec<Rule>,
    keep: Keep,
}

impl Problem {
    /// The most replicas of all items together, and the most kinds.
    pub const LARGEST: usize = 1 << 20;
    /// The most resources.
    pub const RESOURCES: usize = 16;

    /// A checked problem.
    ///
    /// # Errors
    /// [`Error::Problem`] naming the part at fault: no resource or device, a name used twice, a figure missing, a
    /// reserve above the capacity, an item without value or replicas, a rule about what is not there, a group of unequal
    /// replicas, sums beyond 2^64 − 1 or more than [`Problem::LARGEST`] of anything.
    pub fn new(
        resources: Vec<Resource>,
        items: Vec<Item>,
        kinds: Vec<Kind>,
        rules: Vec<Rule>,
        keep: Keep,
    ) -> Result<Self> {
        let problem = Self { resources, items, kinds, rules, keep };
        problem.check_resources()?;
        problem.check_items()?;
        problem.check_kinds()?;
        problem.rules.iter().enumerate().try_for_each(|(index, rule)| problem.check_rule(index, rule))?;
        Ok(problem)
    }

    /// What demands and capacities are counted in.
    #[must_use]
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// What is to be placed.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The kinds of devices.
    #[must_use]
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// What a placement must keep to.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What is asked where not everything fits.
    #[must_use]
    pub fn keep(&self) -> Keep {
        self.keep
    }

    /// The name of item `index`; empty past the end.
    #[must_use]
    pub fn item_name(&self, index: usize) -> &str {
        self.items.get(index).map_or("", |item| item.name.as_str())
    }

    /// The name of a kind, or of one copy of it: the kind's own where there is one copy, else `a100:2`.
    #[must_use]
    pub fn spot_name(&self, spot: Spot) -> String {
        match (self.kinds.get(spot.kind), spot.copy) {
            (None, _) => String::new(),
            (Some(Kind { name, count: Some(1), .. }), _) | (Some(Kind { name, .. }), None) => name.clone(),
            (Some(Kind { name, .. }), Some(copy)) => format!("{name}:{copy}"),
        }
    }

    /// The spot called `name`: a kind, or a copy such as `a100:2`. `None` where nothing is called so.
    #[must_use]
    pub fn spot_named(kinds: &[Kind], name: &str) -> Option<Spot> {
        let kind_of = |name: &str| kinds.iter().position(|kind| kind.name == name);
        if let Some(kind) = kind_of(name) {
            return Some(Spot { kind, copy: None });
        }
        let (name, copy) = name.rsplit_once(':')?;
        let copy = copy.parse().ok()?;
        let kind = kind_of(name)?;
        let exists = kinds.get(kind)?.count.is_none_or(|count| copy < count);
        exists.then_some(Spot { kind, copy: Some(copy) })
    }

    /// An amount of a resource as it is read: `40.00 GB`, or a plain number.
    #[must_use]
    pub fn amount(&self, resource: usize, amount: u64) -> String {
        match self.resources.get(resource) {
            Some(Resource { is_bytes: true, .. }) => Bytes::new(amount).to_string(),
            _ => amount.to_string(),
        }
    }

    /// What all items are worth together.
    #[must_use]
    pub fn total_value(&self) -> u64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(item.value))
    }

    fn check_resources(&self) -> Result<()> {
        if !(1..=Self::RESOURCES).contains(&self.resources.len()) {
            let reason = format!("{} are not between 1 and {}", self.resources.len(), Self::RESOURCES);
            return Err(wrong("resources", reason));
        }
        unique("resources", self.resources.iter().map(|resource| resource.name.as_str()))
    }

    fn check_items(&self) -> Result<()> {
        unique("items", self.items.iter().map(|item| item.name.as_str()))?;
        let mut copies = 0_u64;
        let mut totals = vec![0_u64; self.resources.len()];
        let mut value = 0_u64;
        for item in &self.items {
            let field = format!("items[{:?}]", clip(&item.name));
            if item.demand.len() != self.resources.len() {
                let (given, needed) = (item.demand.len(), self.resources.len());
                return Err(wrong(&field, format!("{given} demands for {needed} resources")));
            }
            if item.value == 0 {
                return Err(wrong(&field, "its value is not positive".to_owned()));
            }
            if item.replicas == 0 {
                return Err(wrong(&field, "there are no replicas of it".to_owned()));
            }
            copies = copies.saturating_add(u64::from(item.replicas));
            if copies > Self::LARGEST as u64 {
                return Err(wrong(&field, format!("more than {} replicas up to here", Self::LARGEST)));
            }
            value = value.checked_add(item.value).ok_or_else(|| too_large(&field, "values"))?;
            for (total, &demand) in totals.iter_mut().zip(&item.demand) {
                let all = demand.checked_mul(u64::from(item.replicas));
                *total = all
                    .and_then(|all| total.checked_add(all))
                    .ok_or_else(|| too_large(&field, "demands of one resource"))?;
            }
        }
        Ok(())
    }

    fn check_kinds(&self) -> Result<()> {
        if self.kinds.is_empty() {
            return Err(wrong("bins", "there is no device to place on".to_owned()));
        }
        if self.kinds.len() > Self::LARGEST {
            let reason =
                format!("{} kinds are more than the largest number, {}", self.kinds.len(), Self::LARGEST);
            return Err(wrong("bins", reason));
        }
        unique("bins", self.kinds.iter().map(|kind| kind.name.as_str()))?;
        let copies: u64 = self.items.iter().map(|item| u64::from(item.replicas)).sum();
        for kind in &self.kinds {
            let field = format!("bins[{:?}]", clip(&kind.name));
            let width = self.resources.len();
            if (kind.capacity.len(), kind.reserve.len()) != (width, width) {
                let (given, reserved) = (kind.capacity.len(), kind.reserve.len());
                let reason = format!("{given} capacities and {reserved} reserves for {width} resources");
                return Err(wrong(&field, reason));
            }
            if kind.count == Some(0) {
                return Err(wrong(&field, "there are no copies of it".to_owned()));
            }
            if kind.cost.checked_mul(copies.max(1)).is_none() {
                return Err(too_large(&field, "costs"));
            }
            self.check_reserve(kind, &field)?;
        }
        Ok(())
    }

    fn check_reserve(&self, kind: &Kind, field: &str) -> Result<()> {
        for (resource, (capacity, &reserve)) in kind.capacity.iter().zip(&kind.reserve).enumerate() {
            if capacity.is_some_and(|capacity| reserve > capacity) {
                let name = self.resources.get(resource).map_or("", |resource| resource.name.as_str());
                let (reserve, capacity) =
                    (self.amount(resource, reserve), self.amount(resource, capacity.unwrap_or(0)));
                return Err(wrong(field, format!("its reserve of {reserve} {name} is above its {capacity}")));
            }
        }
        Ok(())
    }

    fn check_rule(&self, index: usize, rule: &Rule) -> Result<()> {
        let field = format!("rules[{index}]");
        let members: &[usize] = match rule {
            Rule::Only { item, spots } => {
                self.check_spots(&field, spots)?;
                std::slice::from_ref(item)
            }
            Rule::Together(members) | Rule::Apart(members) => members,
        };
        let mut seen = std::collections::BTreeSet::new();
        for &member in members {
            let Some(item) = self.items.get(member) else {
                return Err(wrong(&field, format!("there is no item {member}")));
            };
            if !seen.insert(member) {
                return Err(wrong(&field, format!("{:?} stands there twice", clip(&item.name))));
            }
        }
        let Rule::Together(members) = rule else { return Ok(()) };
        let mut replicas = members.iter().filter_map(|&member| self.items.get(member));
        let Some(first) = replicas.next() else { return Ok(()) };
        let unequal = replicas.find(|item| item.replicas != first.replicas);
        unequal.map_or(Ok(()), |item| {
            let (one, other) = (clip(&first.name), clip(&item.name));
            let reason = format!(
                "{one:?} has {} replicas and {other:?} has {}: what stays together has equally many",
                first.replicas, item.replicas
            );
            Err(wrong(&field, reason))
        })
    }

    fn check_spots(&self, field: &str, spots: &[Spot]) -> Result<()> {
        if spots.is_empty() {
            return Err(wrong(field, "there is no place to go".to_owned()));
        }
        for spot in spots {
            let kind = self.kinds.get(spot.kind);
            let Some(kind) = kind else {
                return Err(wrong(field, format!("there is no kind {}", spot.kind)));
            };
            if let (Some(copy), Some(count)) = (spot.copy, kind.count)
                && copy >= count
            {
                let name = clip(&kind.name);
                return Err(wrong(
                    field,
                    format!("there is no copy {copy} of {name:?}, of which there are {count}"),
                ));
            }
        }
        Ok(())
    }
}

fn wrong(field: &str, reason: String) -> Error {
    Error::Problem { field: field.to_owned(), reason }
}

fn too_large(field: &str, what: &str) -> Error {
    wrong(field, format!("the {what} up to here sum to more than 2^64 - 1"))
}
