//! [`Problem`]: a chain, the places it may go to, and what is to be small.

use super::chain::{Chain, wrong};
use super::pace::{self, Link};
use crate::error::{Error, Result};
use crate::solving::strategy_named;
use crate::units::Bytes;

/// A device that holds and runs pieces, or each device of a tensor-parallel group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Its name, unique in a problem.
    pub name: String,
    /// Its memory.
    pub capacity: Bytes,
    /// Memory that is not for the model.
    pub reserve: Bytes,
    /// Bytes of its memory that it reads a second; `None` for no limit.
    pub bandwidth: Option<u64>,
    /// Operations a second; `None` for no limit.
    pub flops: Option<u64>,
    /// The machine it is in.
    pub node: usize,
}

impl Place {
    /// Memory for the model.
    #[must_use]
    pub const fn usable(&self) -> u64 {
        self.capacity.get().saturating_sub(self.reserve.get())
    }
}

/// What one place hands to another over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Links {
    /// The same link between any two.
    Alike(Link),
    /// One link from each place to the next; between others, all of those on the way, one after another.
    Neighbours(Vec<Link>),
    /// One kind of link within a machine, one between machines.
    Nodes {
        /// Within a machine.
        inside: Link,
        /// Between two machines.
        between: Link,
    },
}

/// The order in which places are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As given; places may be left out.
    Given,
    /// Any.
    Any,
}

/// What is to be small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// The time of one step from the first piece to the last, transfers included; then the number of places.
    Latency,
    /// The time of the slowest stage or transfer, which is the pace of a full pipeline; then the latency.
    Throughput,
    /// The number of places; then the latency.
    Devices,
    /// The share of the fullest place that is taken; then the latency.
    Balance,
}

impl Objective {
    /// Every objective.
    pub const ALL: [Self; 4] = [Self::Latency, Self::Throughput, Self::Devices, Self::Balance];

    /// The name used in Python, on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Throughput => "throughput",
            Self::Devices => "devices",
            Self::Balance => "balance",
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    /// [`Error::Argument`] listing the names there are.
    pub fn named(text: &str) -> Result<Self> {
        strategy_named(Self::ALL, Self::name, text).map_err(|error| match error {
            Error::Argument { reason, .. } => Error::Argument { name: "objective", reason },
            other => other,
        })
    }
}

/// The share of a place that counts as all of it in [`fill`].
pub const WHOLE: u64 = 1_000_000_000_000;

/// How full a place of `usable` bytes is with `load`: in millionths of a millionth, rounded up.
#[must_use]
pub fn fill(load: u64, usable: u64) -> u64 {
    let share = u128::from(load).saturating_mul(u128::from(WHOLE)).div_ceil(u128::from(usable.max(1)));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// A chain to be cut into stages. Checked at construction and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    chain: Chain,
    places: Vec<Place>,
    links: Links,
    order: Order,
    objective: Objective,
}

impl Problem {
    /// The most places.
    pub const MOST_PLACES: usize = 1024;

    /// A problem.
    ///
    /// # Errors
    /// [`Error::Problem`] naming the part at fault: no place, a name used twice, a rate of nothing, links that do not
    /// match the places, links between neighbours where the order is free, times beyond 53 days.
    pub fn new(
        chain: Chain,
        places: Vec<Place>,
        links: Links,
        order: Order,
        objective: Objective,
    ) -> Result<Self> {
        if places.is_empty() || places.len() > Self::MOST_PLACES {
            let reason = format!("{} are not between 1 and {}", places.len(), Self::MOST_PLACES);
            return Err(wrong("devices", reason));
        }
        let mut names = std::collections::HashSet::with_capacity(places.len());
        for (index, place) in places.iter().enumerate() {
            if place.bandwidth == Some(0) || place.flops == Some(0) {
                return Err(wrong(&format!("devices[{index}]"), "a rate of nothing a second".to_owned()));
            }
            if !names.insert(place.name.as_str()) {
                return Err(wrong(
                    &format!("devices[{index}]"),
                    format!("{:?} stands there twice", place.name),
                ));
            }
        }
        check_links(&links, places.len(), order)?;
        let problem = Self { chain, places, links, order, objective };
        problem.check_times()?;
        Ok(problem)
    }

    fn check_times(&self) -> Result<()> {
        let mut whole: u64 = 0;
        for place in &self.places {
            let times = self.chain.pieces().iter().map(|piece| piece.time(place.bandwidth, place.flops));
            whole = whole.max(times.fold(0, u64::saturating_add));
        }
        let links: Vec<Link> = match &self.links {
            Links::Alike(link) => vec![*link],
            Links::Neighbours(links) => links.clone(),
            Links::Nodes { inside, between } => vec![*inside, *between],
        };
        for piece in self.chain.pieces() {
            let ways = links.iter().map(|link| link.time(piece.output.get()));
            whole = whole.saturating_add(ways.fold(0, u64::saturating_add));
        }
        if whole > pace::MOST {
            return Err(wrong("devices", "one step would take more than 53 days".to_owned()));
        }
        Ok(())
    }

    /// What is cut.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Where it may go.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// What places hand over by.
    #[must_use]
    pub const fn links(&self) -> &Links {
        &self.links
    }

    /// Whether places are passed in the order given.
    #[must_use]
    pub const fn order(&self) -> Order {
        self.order
    }

    /// What is to be small.
    #[must_use]
    pub const fn objective(&self) -> Objective {
        self.objective
    }

    /// How long `bytes` take from one place to another: in all, and on the slowest of the links on the way.
    #[must_use]
    pub fn transfer(&self, from: usize, to: usize, bytes: u64) -> (u64, u64) {
        match &self.links {
            Links::Alike(link) => (link.time(bytes), link.time(bytes)),
            Links::Nodes { inside, between } => {
                let node = |place: usize| self.places.get(place).map(|place| place.node);
                let link = if node(from) == node(to) { inside } else { between };
                (link.time(bytes), link.time(bytes))
            }
            Links::Neighbours(links) => {
                let hops = links.get(from..to).unwrap_or_default().iter().map(|link| link.time(bytes));
                hops.fold((0, 0), |(sum, most): (u64, u64), hop| (sum.saturating_add(hop), most.max(hop)))
            }
        }
    }
}

fn check_links(links: &Links, places: usize, order: Order) -> Result<()> {
    let given: &[Link] = match links {
        Links::Alike(link) => std::slice::from_ref(link),
        Links::Nodes { inside, between } => &[*inside, *between],
        Links::Neighbours(links) => {
            if links.len() != places.saturating_sub(1) {
                return Err(wrong("links", format!("{} links between {places} devices", links.len())));
            }
            if order == Order::Any {
                return Err(wrong("links", "links between neighbours need a given order".to_owned()));
            }
            links
        }
    };
    match given.iter().position(|link| link.bandwidth == Some(0)) {
        Some(index) => Err(wrong(&format!("links[{index}]"), "a rate of nothing a second".to_owned())),
        None => Ok(()),
    }
}
