//! [`Route`]: the ways of passing places, as a graph without circles.

use super::problem::{Links, Order, Place, Problem};

/// A step of a way: a place that takes the next pieces.
pub(super) struct Stop {
    /// A place like the one taken; which of several alike is told at the end.
    pub(super) place: usize,
    /// Stops that may come before; none of them means that only the start does.
    pub(super) before: Vec<usize>,
    /// Whether a way may begin here.
    pub(super) is_first: bool,
}

/// All stops, each after those that may come before it.
pub(super) struct Route {
    pub(super) stops: Vec<Stop>,
    /// Places that are alike in every respect, each list ascending; empty where the order is given.
    alike: Vec<Vec<usize>>,
}

impl Route {
    /// The ways that the order of `problem` allows; `None` where they have more than `most` stops.
    pub(super) fn of(problem: &Problem, most: usize) -> Option<Self> {
        match problem.order() {
            Order::Given => Self::through(&(0..problem.places().len()).collect::<Vec<_>>(), most),
            Order::Any => Self::anyhow(kinds(problem), most),
        }
    }

    /// The ways through `places` in this order, any of which may be left out.
    pub(super) fn through(places: &[usize], most: usize) -> Option<Self> {
        let stop =
            |(index, &place): (usize, &usize)| Stop { place, before: (0..index).collect(), is_first: true };
        let route = Self { stops: places.iter().enumerate().map(stop).collect(), alike: Vec::new() };
        (places.len() <= most).then_some(route)
    }

    /// The ways through any selection in any order: a stop is how many of each kind have been taken, and the last kind.
    fn anyhow(alike: Vec<Vec<usize>>, most: usize) -> Option<Self> {
        let mut strides = Vec::with_capacity(alike.len());
        let mut states: usize = 1;
        for kind in &alike {
            strides.push(states);
            states = states.checked_mul(kind.len().checked_add(1)?)?;
        }
        if states.checked_mul(alike.len())? > most {
            return None;
        }
        let mut stops: Vec<Stop> = Vec::new();
        // The stops of each state by last kind; a state comes after all that have less.
        let mut found: Vec<Vec<usize>> = Vec::with_capacity(states);
        for state in 0..states {
            let mut here = Vec::new();
            for (kind, (members, &stride)) in alike.iter().zip(&strides).enumerate() {
                let taken = state.checked_div(stride)?.checked_rem(members.len().checked_add(1)?)?;
                if taken == 0 {
                    continue;
                }
                let earlier = state.checked_sub(stride)?;
                let before = found.get(earlier)?.clone();
                here.push(stops.len());
                stops.push(Stop { place: *alike[kind].first()?, before, is_first: earlier == 0 });
            }
            found.push(here);
        }
        Some(Self { stops, alike })
    }

    /// Which place each stop of a way means: of places alike, the first that is left.
    pub(super) fn named(&self, way: &[usize]) -> Vec<usize> {
        let mut taken = vec![0_usize; self.alike.len()];
        let mut place_at = |stop: &usize| {
            let place = self.stops[*stop].place;
            let Some(kind) = self.alike.iter().position(|members| members.first() == Some(&place)) else {
                return place;
            };
            let member = self.alike[kind].get(taken[kind]).copied().unwrap_or(place);
            taken[kind] = taken[kind].saturating_add(1);
            member
        };
        way.iter().map(&mut place_at).collect()
    }
}

/// Places that are alike, in order of first appearance.
fn kinds(problem: &Problem) -> Vec<Vec<usize>> {
    let by_node = matches!(problem.links(), Links::Nodes { .. });
    let key =
        |place: &Place| (place.usable(), place.bandwidth, place.flops, if by_node { place.node } else { 0 });
    let mut kinds: Vec<(_, Vec<usize>)> = Vec::new();
    for (index, place) in problem.places().iter().enumerate() {
        match kinds.iter_mut().find(|(known, _)| *known == key(place)) {
            Some((_, members)) => members.push(index),
            None => kinds.push((key(place), vec![index])),
        }
    }
    kinds.into_iter().map(|(_, members)| members).collect()
}
