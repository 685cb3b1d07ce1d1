//! [`explain`](fn@explain): a conflict as a sentence.

use crate::placement::conflict::Demand;
use crate::placement::problem::{Item, Problem, Rule, Spot};
use crate::units::clip;

/// The most names in a list.
const MOST_NAMES: usize = 8;

/// Why `demands` cannot be met together, in the words of whoever asked for them. `most_moves` is what a repack may move.
#[must_use]
pub fn explain(problem: &Problem, demands: &[Demand], most_moves: Option<u64>) -> String {
    let story = Story::of(problem, demands, most_moves);
    story.of_one_item().unwrap_or_else(|| story.of_many())
}

/// What a conflict is about, sorted by its kind.
struct Story<'a> {
    problem: &'a Problem,
    items: Vec<usize>,
    resources: Vec<usize>,
    replicated: Vec<usize>,
    rules: Vec<&'a Rule>,
    is_reserved: bool,
    most_moves: Option<u64>,
}

impl<'a> Story<'a> {
    fn of(problem: &'a Problem, demands: &[Demand], most_moves: Option<u64>) -> Self {
        let mut story = Self {
            problem,
            items: Vec::new(),
            resources: Vec::new(),
            replicated: Vec::new(),
            rules: Vec::new(),
            is_reserved: false,
            most_moves: None,
        };
        for demand in demands {
            match *demand {
                Demand::Item(item) => story.items.push(item),
                Demand::Replicas(item) => story.replicated.push(item),
                Demand::Resource(resource) => story.resources.push(resource),
                Demand::Rule(rule) => story.rules.extend(problem.rules().get(rule)),
                Demand::Reserve => story.is_reserved = true,
                Demand::Migrations => story.most_moves = most_moves,
            }
        }
        story
    }

    /// One item that is too large, or has too few devices that hold it.
    fn of_one_item(&self) -> Option<String> {
        let (&[index], None) = (self.items.as_slice(), self.most_moves) else { return None };
        let item = self.problem.items().get(index)?;
        let name = clip(&item.name);
        let needs = self.needs(item);
        let times = match (item.replicas, self.replicated.is_empty()) {
            (1, _) => String::new(),
            (replicas, true) => format!(" for each of its {replicas} replicas"),
            (replicas, false) => format!(" on each of {replicas} different devices"),
        };
        let places = self.rules.iter().map(|rule| self.rule(rule)).collect::<Vec<_>>();
        let allowed = if places.is_empty() { String::new() } else { format!("; {}", places.join("; ")) };
        let holding = self.holding(index, item);
        let verdict = match holding.as_slice() {
            [] => "no device".to_owned(),
            [one] => format!("only {one}"),
            some => format!("only {}", listed(some)),
        };
        let reserve = if self.is_reserved { " beside its reserve" } else { "" };
        let among = if places.is_empty() { "" } else { " of these" };
        let holds = if holding.len() > 1 { "hold" } else { "holds" };
        Some(match (needs.is_empty(), holding.is_empty()) {
            (true, _) => format!("{name:?} is asked{times}{allowed}, and {verdict}{among} may take it"),
            (false, _) => {
                format!("{name:?} needs {needs}{times}{allowed}, and {verdict}{among} {holds} that{reserve}")
            }
        })
    }

    /// `40 GB of memory and 3 of slots`.
    fn needs(&self, item: &Item) -> String {
        let part = |&resource: &usize| {
            let name = &self.problem.resources()[resource].name;
            format!("{} of {name}", self.problem.amount(resource, item.demand[resource]))
        };
        self.resources.iter().map(part).collect::<Vec<_>>().join(" and ")
    }

    /// The kinds that hold a replica of `item` as far as the conflict goes, with the number of copies of several.
    fn holding(&self, index: usize, item: &Item) -> Vec<String> {
        let kinds = self.problem.kinds().iter().enumerate().filter(|(kind, found)| {
            let is_enough = self.resources.iter().all(|&resource| {
                let room = if self.is_reserved { found.usable(resource) } else { found.capacity[resource] };
                room.is_none_or(|room| room >= item.demand[resource])
            });
            let is_allowed = self.rules.iter().all(|rule| match rule {
                Rule::Only { item, spots } => *item != index || spots.iter().any(|spot| spot.kind == *kind),
                Rule::Together(_) | Rule::Apart(_) => true,
            });
            is_enough && is_allowed
        });
        let named = kinds.map(|(_, kind)| match kind.count {
            Some(1) => format!("{:?}", clip(&kind.name)),
            Some(count) => format!("{:?} ({count} of it)", clip(&kind.name)),
            None => format!("{:?} (as many as needed)", clip(&kind.name)),
        });
        named.collect()
    }

    fn of_many(&self) -> String {
        let mut facts = vec![self.who()];
        facts.extend(self.rules.iter().map(|rule| self.rule(rule)));
        facts.extend(self.replicated.iter().filter_map(|&item| {
            let item = self.problem.items().get(item)?;
            Some(format!(
                "the {} replicas of {:?} go onto different devices",
                item.replicas,
                clip(&item.name)
            ))
        }));
        facts.extend(self.most_moves.map(|moves| format!("at most {moves} may move")));
        facts.extend(self.resources.iter().map(|&resource| self.room(resource)));
        facts.join("; ")
    }

    /// The items, with what they need.
    fn who(&self) -> String {
        let each = |&item: &usize| {
            let item = &self.problem.items()[item];
            let times = if item.replicas > 1 { format!("{} x ", item.replicas) } else { String::new() };
            let needs =
                self.resources.iter().map(|&resource| self.problem.amount(resource, item.demand[resource]));
            let needs = needs.collect::<Vec<_>>().join(", ");
            let size = if needs.is_empty() { needs } else { format!(" ({times}{needs})") };
            format!("{:?}{size}", clip(&item.name))
        };
        let names: Vec<String> = self.items.iter().map(each).collect();
        format!("there is no place for all of {}", listed(&names))
    }

    /// What there is of a resource: in all, or the largest device where that is endless.
    fn room(&self, resource: usize) -> String {
        let name = &self.problem.resources()[resource].name;
        let kinds = self.problem.kinds().iter();
        let rooms = kinds.map(|kind| {
            let room = if self.is_reserved { kind.usable(resource) } else { kind.capacity[resource] };
            let room = room.map_or_else(|| "no limit".to_owned(), |room| self.problem.amount(resource, room));
            let count = match kind.count {
                Some(1) => String::new(),
                Some(count) => format!("{count} x "),
                None => "any number of ".to_owned(),
            };
            format!("{:?} {count}{room}", clip(&kind.name))
        });
        let rooms: Vec<String> = rooms.collect();
        let reserve = if self.is_reserved { " beside the reserves" } else { "" };
        format!("of {name} there is{reserve}: {}", listed(&rooms))
    }

    fn rule(&self, rule: &Rule) -> String {
        let names = |items: &[usize]| {
            let names: Vec<String> =
                items.iter().map(|&item| format!("{:?}", clip(self.problem.item_name(item)))).collect();
            listed(&names)
        };
        match rule {
            Rule::Only { item, spots } => {
                let spots: Vec<String> =
                    spots.iter().map(|&spot: &Spot| format!("{:?}", self.problem.spot_name(spot))).collect();
                format!("{} goes only onto {}", names(&[*item]), listed(&spots))
            }
            Rule::Together(members) => format!("{} stay together", names(members)),
            Rule::Apart(members) => format!("{} stay apart", names(members)),
        }
    }
}

/// Names in a row, the last after an `and`; of many, their number.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= MOST_NAMES => format!("{} and {last}", first.join(", ")),
        _ => {
            let (shown, rest) = names.split_at(MOST_NAMES);
            format!("{} and {} more", shown.join(", "), rest.len())
        }
    }
}
