//! [`Pricer`]: patterns of the highest price, exactly.
//!
//! A table over types and room holds, for each, the most that the types from there on can be worth in that room. Room
//! and sizes are divided by a grain and rounded down where the table would be too large: it is then an upper bound, and
//! exact at grain one. A depth-first search guided by the table finds patterns. Prices are whole numbers whose sums stay
//! below 2^24, so that the table's single-precision numbers, half the memory traffic of double, hold them exactly.

use crate::pack::columns::stock::Pattern;

/// Cells of the largest exact table, and of a rounded one.
const EXACT_CELLS: u64 = 1 << 24;
const ROUNDED_CELLS: u64 = 1 << 22;
/// Nodes of the search for one pattern.
const DIVE_NODES: u64 = 4000;
const LARGEST_SUM: f64 = 16_000_000.0;
const FINEST: f64 = 8_388_608.0; // 2^23

/// Prices in whole numbers, and what a bin costs in the same unit.
#[derive(Clone, Debug)]
pub(super) struct Prices {
    pub(super) one: i64,
    pub(super) of: Vec<i64>,
}

/// The types that a pattern may hold, and the room it has.
#[derive(Clone, Debug)]
pub(super) struct Knapsack {
    /// Strictly decreasing.
    pub(super) sizes: Vec<u64>,
    /// The most copies of each; zero forbids a type.
    pub(super) caps: Vec<u32>,
    pub(super) capacity: u64,
    /// The most room that a pattern may leave.
    pub(super) waste: u64,
}

pub(super) struct Pricer {
    knapsack: Knapsack,
    grain: u64,
    width: usize,
    /// Layers of `width` cells; the last stands for no types.
    table: Vec<f32>,
    /// The layer of the types from each on.
    layer: Vec<u32>,
    spare: Vec<f32>,
    prices: Prices,
    /// For each type those that may not share a pattern with it.
    apart: Vec<Vec<u32>>,
}

/// A pattern and its price.
#[derive(Clone, Debug)]
pub(super) struct Priced {
    pub(super) price: i64,
    pub(super) pattern: Pattern,
}

impl Knapsack {
    pub(super) fn fills(&self) -> bool {
        self.waste < self.capacity
    }
}

impl Pricer {
    pub(super) fn new(knapsack: Knapsack) -> Self {
        let layers = knapsack.sizes.len() as u64 + 1;
        let cells = u128::from(layers) * (u128::from(knapsack.capacity) + 1);
        let grain = if cells <= u128::from(EXACT_CELLS) {
            1
        } else {
            u64::try_from(cells.div_ceil(u128::from(ROUNDED_CELLS))).unwrap_or(u64::MAX)
        };
        let width = (knapsack.capacity / grain) as usize + 1;
        let types = knapsack.sizes.len();
        let mut new = Self {
            knapsack,
            grain,
            width,
            table: Vec::new(),
            layer: vec![0; types + 1],
            spare: Vec::new(),
            prices: Prices { one: 1, of: vec![0; types] },
            apart: vec![Vec::new(); types],
        };
        new.fill();
        new
    }

    pub(super) fn is_exact(&self) -> bool {
        self.grain == 1
    }

    pub(super) fn knapsack(&self) -> &Knapsack {
        &self.knapsack
    }

    /// Allows patterns to leave at most `waste` from the next prices on.
    pub(super) fn set_waste(&mut self, waste: u64) {
        self.knapsack.waste = waste;
    }

    /// Allows `caps` copies of each type from the next prices on.
    pub(super) fn set_caps(&mut self, caps: &[u32]) {
        self.knapsack.caps.copy_from_slice(caps);
    }

    /// Forbids patterns that hold both types of a pair.
    pub(super) fn set_apart(&mut self, pairs: &[(u32, u32)]) {
        self.apart.iter_mut().for_each(Vec::clear);
        for &(a, b) in pairs {
            self.apart[a as usize].push(b);
            self.apart[b as usize].push(a);
        }
    }

    /// Rounds `y` down to whole prices whose sums over any pattern the table can hold.
    pub(super) fn scaled(&self, y: &[f64]) -> Prices {
        let Knapsack { sizes, caps, capacity, .. } = &self.knapsack;
        let mut most = 1.0_f64;
        let mut loose = 0.0_f64;
        for ((&size, &limit), &price) in sizes.iter().zip(caps).zip(y) {
            if limit > 0 {
                let copies = *capacity as f64 / size as f64;
                most = most.max(price.abs() * copies);
                if size < self.grain {
                    loose += price.abs() * f64::from(limit);
                }
            }
        }
        // Rounding sizes down at most doubles what fits.
        let sum = if self.grain == 1 { most } else { 2.0 * most + loose };
        let scale = (LARGEST_SUM / sum).min(FINEST).floor().max(1.0);
        let of = y.iter().map(|&price| (price * scale).floor() as i64).collect();
        Prices { one: scale as i64, of }
    }

    /// Takes `prices` for what follows. Returns an upper bound on the price of every pattern, exact at grain one.
    pub(super) fn set_prices(&mut self, prices: Prices) -> i64 {
        self.prices = prices;
        self.fill();
        let best = self.bound(0, self.knapsack.capacity);
        if best.is_finite() { best as i64 } else { i64::MIN }
    }

    pub(super) fn prices(&self) -> &Prices {
        &self.prices
    }

    fn fill(&mut self) {
        let (types, width) = (self.knapsack.sizes.len(), self.width);
        self.table.resize((types + 1) * width, 0.0);
        let fills = self.grain == 1 && self.knapsack.fills();
        let base = &mut self.table[types * width..];
        base.fill(0.0);
        if fills {
            let waste = usize::try_from(self.knapsack.waste).unwrap_or(usize::MAX);
            base[(waste + 1).min(width)..].fill(f32::NEG_INFINITY);
        }
        self.layer[types] = types as u32;
        for kind in (0..types).rev() {
            let above = self.layer[kind + 1] as usize;
            let (cap, price) = (self.knapsack.caps[kind], self.prices.of[kind]);
            let steps = (self.knapsack.sizes[kind] / self.grain) as usize;
            if cap == 0 || steps >= width || (price <= 0 && !fills) {
                self.layer[kind] = above as u32;
                continue;
            }
            self.layer[kind] = kind as u32;
            let (low, high) = self.table.split_at_mut(above * width);
            let (layer, next) = (&mut low[kind * width..(kind + 1) * width], &high[..width]);
            let most = (width - 1) / steps.max(1);
            if steps == 0 {
                let gain = price as f32 * cap as f32;
                layer.iter_mut().zip(next).for_each(|(cell, old)| *cell = old + gain);
            } else if cap as usize >= most {
                add_any(layer, next, steps, price as f32);
            } else {
                add_some(layer, next, &mut self.spare, steps, price, cap as usize);
            }
        }
    }

    fn bound(&self, kind: usize, room: u64) -> f32 {
        self.table[self.layer[kind] as usize * self.width + (room / self.grain) as usize]
    }

    /// For each type the pattern of the highest price that starts with it, if it exceeds `above`: the best `count`.
    pub(super) fn best(&self, above: i64, count: usize) -> Vec<Priced> {
        let types = self.knapsack.sizes.len();
        let mut found = Vec::new();
        for kind in 0..types {
            if self.layer[kind] as usize != kind || self.knapsack.sizes[kind] > self.knapsack.capacity {
                continue;
            }
            let mut dive = Dive::new(self, above, DIVE_NODES);
            dive.first(kind);
            found.extend(dive.best);
        }
        found.sort_by_key(|priced| std::cmp::Reverse(priced.price));
        found.truncate(count);
        found
    }

    /// The highest price of all patterns if it exceeds `above`, else `above`; `None` if `budget` nodes do not tell.
    pub(super) fn highest(&self, above: i64, budget: u64) -> Option<i64> {
        let mut dive = Dive::new(self, above, budget);
        dive.descend(0, self.knapsack.capacity, 0);
        (dive.nodes < budget).then_some(dive.above)
    }

    /// All patterns of a price of at least `least`; `None` if they are more than `count` or take more than `nodes` nodes.
    pub(super) fn all(&self, least: i64, count: usize, nodes: u64) -> Option<Vec<Priced>> {
        let mut all = All { pricer: self, least, path: Vec::new(), found: Vec::new(), count, nodes };
        all.descend(0, self.knapsack.capacity, 0)?;
        Some(all.found)
    }
}

/// Any number of copies.
fn add_any(layer: &mut [f32], next: &[f32], steps: usize, gain: f32) {
    layer[..steps].copy_from_slice(&next[..steps]);
    let mut start = steps;
    while start < layer.len() {
        let end = (start + steps).min(layer.len());
        let (done, rest) = layer.split_at_mut(start);
        raise(&mut rest[..end - start], &next[start..end], &done[start - steps..], gain);
        start = end;
    }
}

/// Up to `cap` copies, in runs of one, two, four, … and the rest.
fn add_some(layer: &mut [f32], next: &[f32], spare: &mut Vec<f32>, steps: usize, price: i64, cap: usize) {
    layer[..steps].copy_from_slice(&next[..steps]);
    raise(&mut layer[steps..], &next[steps..], next, price as f32);
    let (mut left, mut run) = (cap - 1, 2);
    while left > 0 {
        let copies = run.min(left);
        let shift = copies * steps;
        if shift >= layer.len() {
            break;
        }
        spare.clear();
        spare.extend_from_slice(layer);
        raise(&mut layer[shift..], &spare[shift..], spare, price as f32 * copies as f32);
        left -= copies;
        run *= 2;
    }
}

fn raise(cells: &mut [f32], without: &[f32], with: &[f32], gain: f32) {
    for ((cell, &without), &with) in cells.iter_mut().zip(without).zip(with) {
        let with = with + gain;
        *cell = if with > without { with } else { without };
    }
}

/// Looks for one pattern of the highest price.
struct Dive<'a> {
    pricer: &'a Pricer,
    /// Only patterns above this count; raised to the best found.
    above: i64,
    path: Vec<(u32, u32)>,
    best: Option<Priced>,
    nodes: u64,
    budget: u64,
    /// How many types of the path forbid each type.
    blocked: Vec<u16>,
}

impl<'a> Dive<'a> {
    fn new(pricer: &'a Pricer, above: i64, budget: u64) -> Self {
        let blocked = vec![0; pricer.knapsack.sizes.len()];
        Self { pricer, above, path: Vec::new(), best: None, nodes: 0, budget, blocked }
    }

    fn first(&mut self, kind: usize) {
        let knapsack = &self.pricer.knapsack;
        let most = u64::from(knapsack.caps[kind]).min(knapsack.capacity / knapsack.sizes[kind]);
        let mut options = self.options(kind, knapsack.capacity, 1, most);
        options.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, copies) in options {
            self.take(kind, knapsack.capacity, 0, copies);
        }
    }

    fn options(&self, kind: usize, room: u64, least: u64, most: u64) -> Vec<(f32, u64)> {
        let (size, price) = (self.pricer.knapsack.sizes[kind], self.pricer.prices.of[kind]);
        (least..=most)
            .map(|copies| {
                let rest = self.pricer.bound(kind + 1, room - copies * size);
                (rest + (price * copies as i64) as f32, copies)
            })
            .collect()
    }

    fn take(&mut self, kind: usize, room: u64, price: i64, copies: u64) {
        let gain = self.pricer.prices.of[kind] * copies as i64;
        let room = room - copies * self.pricer.knapsack.sizes[kind];
        if self.blocked[kind] > 0 || !self.may_exceed(price + gain, kind + 1, room) {
            return;
        }
        self.path.push((kind as u32, copies as u32));
        for &other in &self.pricer.apart[kind] {
            self.blocked[other as usize] += 1;
        }
        self.descend(kind + 1, room, price + gain);
        for &other in &self.pricer.apart[kind] {
            self.blocked[other as usize] -= 1;
        }
        self.path.pop();
    }

    fn may_exceed(&self, price: i64, kind: usize, room: u64) -> bool {
        let bound = self.pricer.bound(kind, room);
        bound.is_finite() && price + bound as i64 > self.above
    }

    fn descend(&mut self, mut kind: usize, room: u64, price: i64) {
        let knapsack = &self.pricer.knapsack;
        let types = knapsack.sizes.len();
        loop {
            self.nodes += 1;
            if self.nodes >= self.budget || !self.may_exceed(price, kind, room) {
                return;
            }
            // Types that are too large, or that the table passes over.
            kind = (self.pricer.layer[kind] as usize).min(types);
            if kind == types {
                if price > self.above && room <= knapsack.waste {
                    self.above = price;
                    self.best = Some(Priced { price, pattern: self.path.clone().into() });
                }
                return;
            }
            let size = knapsack.sizes[kind];
            if size > room {
                let fitting = knapsack.sizes[kind..].partition_point(|&size| size > room);
                kind += fitting;
                continue;
            }
            let without = self.pricer.bound(kind + 1, room);
            let most = u64::from(knapsack.caps[kind]).min(room / size);
            let mut options = self.options(kind, room, 1, most);
            options.sort_by(|a, b| b.0.total_cmp(&a.0));
            for &(_, copies) in options.iter().filter(|option| option.0 > without) {
                self.take(kind, room, price, copies);
            }
            if options
                .iter()
                .any(|option| option.0 <= without && price.saturating_add(option.0 as i64) > self.above)
            {
                self.descend(kind + 1, room, price);
                for &(_, copies) in options.iter().filter(|option| option.0 <= without) {
                    self.take(kind, room, price, copies);
                }
                return;
            }
            kind += 1;
        }
    }
}

/// Lists patterns, without regard to pairs that are apart.
struct All<'a> {
    pricer: &'a Pricer,
    least: i64,
    path: Vec<(u32, u32)>,
    found: Vec<Priced>,
    count: usize,
    nodes: u64,
}

impl All<'_> {
    /// `None` once there are too many.
    fn descend(&mut self, mut kind: usize, room: u64, price: i64) -> Option<()> {
        let knapsack = &self.pricer.knapsack;
        loop {
            self.nodes = self.nodes.checked_sub(1)?;
            let bound = self.pricer.bound(kind, room);
            if !bound.is_finite() || price + (bound as i64) < self.least {
                return Some(());
            }
            let Some(&size) = knapsack.sizes.get(kind) else {
                if room <= knapsack.waste && !self.path.is_empty() {
                    self.count = self.count.checked_sub(1)?;
                    self.found.push(Priced { price, pattern: self.path.clone().into() });
                }
                return Some(());
            };
            if size > room {
                kind += knapsack.sizes[kind..].partition_point(|&size| size > room);
                continue;
            }
            for copies in 1..=u64::from(knapsack.caps[kind]).min(room / size) {
                self.path.push((kind as u32, copies as u32));
                let gain = self.pricer.prices.of[kind] * copies as i64;
                self.descend(kind + 1, room - copies * size, price + gain)?;
                self.path.pop();
            }
            kind += 1;
        }
    }
}
