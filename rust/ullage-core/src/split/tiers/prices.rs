//! [`Prices`]: a price for every byte of every tier, by which what is left of the problem is bounded.
//!
//! With any prices, the least that the pieces cost when each is placed on its own and pays for its bytes, less the worth
//! of all capacities, is a bound on every placement within them (Everett 1963). All figures are integers, so the bound
//! is safe; the search for good prices bisects one price after another.

use super::classes::{Choice, Class, PerTier, Room};

/// Costs are multiplied by this, so that prices may be fractions of a picosecond a byte.
const SCALE: i128 = 1 << 16;
const ROUNDS: usize = 4;
const HIGHEST: u64 = 1 << 58;

pub(super) struct Prices {
    prices: PerTier,
    /// The worth of all capacities.
    worth: i128,
}

impl Prices {
    /// Prices under which the bound of the whole problem is high.
    pub(super) fn of(classes: &[Class], room: &Room) -> Self {
        let capacities = usable(classes, room);
        let starts = [0, HIGHEST].map(|start| [true, false].map(|is_upward| (start, is_upward)));
        let tried = starts.into_iter().flatten().map(|(start, is_upward)| {
            let prices = Self::cleared(classes, &capacities, start, is_upward);
            (prices.rests(classes)[0].saturating_sub(prices.worth), prices)
        });
        let best = tried.max_by_key(|(bound, _)| *bound);
        best.map_or(Self { prices: [0; 4], worth: 0 }, |(_, prices)| prices)
    }

    /// Prices that all begin as `start` and are cleared one after another, upward or downward, a few times.
    fn cleared(classes: &[Class], capacities: &PerTier, start: u64, is_upward: bool) -> Self {
        let mut prices = Self { prices: [start; 4], worth: 0 };
        let last = capacities.len().saturating_sub(1);
        for _ in 0..ROUNDS {
            for place in 0..capacities.len() {
                let tier = if is_upward { place } else { last.saturating_sub(place) };
                prices.prices[tier] = prices.clearing(classes, tier, capacities[tier]);
            }
        }
        prices.worth = prices.worth_of(capacities);
        prices
    }

    /// The same prices for another room, where they bound too, if not as well.
    pub(super) fn adapted(&self, classes: &[Class], room: &Room) -> Self {
        Self { prices: self.prices, worth: self.worth_of(&usable(classes, room)) }
    }

    fn worth_of(&self, capacities: &PerTier) -> i128 {
        let each = self.prices.iter().zip(capacities);
        each.map(|(&price, &capacity)| i128::from(price).saturating_mul(capacity.into())).sum()
    }

    /// The least price of `tier` at which no more of it is wanted than there is, all other prices as they are.
    fn clearing(&self, classes: &[Class], tier: usize, capacity: u64) -> u64 {
        let (mut low, mut high) = (0, HIGHEST);
        let wanted = |price: u64| {
            let mut trial = Self { prices: self.prices, worth: 0 };
            trial.prices[tier] = price;
            let of = |class: &Class| {
                let choice =
                    class.choices.iter().min_by_key(|choice| (trial.charged(choice), choice.used[tier]));
                let used = choice.map_or(0, |choice| choice.used[tier]);
                used.saturating_mul(class.pieces.len() as u64)
            };
            classes.iter().map(of).fold(0, u64::saturating_add)
        };
        if wanted(0) <= capacity {
            return 0;
        }
        while low < high {
            let middle = low.midpoint(high);
            if wanted(middle) <= capacity { high = middle } else { low = middle.saturating_add(1) }
        }
        high
    }

    /// What a choice costs with its bytes paid for.
    pub(super) fn charged(&self, choice: &Choice) -> i128 {
        self.paid(choice.cost, &choice.used)
    }

    fn paid(&self, cost: u64, used: &PerTier) -> i128 {
        let bytes = self.prices.iter().zip(used);
        let bytes: i128 = bytes.map(|(&price, &used)| i128::from(price).saturating_mul(used.into())).sum();
        i128::from(cost).saturating_mul(SCALE).saturating_add(bytes)
    }

    /// The least that each class and all behind it cost with their bytes paid for; one more at the end, of nothing.
    pub(super) fn rests(&self, classes: &[Class]) -> Vec<i128> {
        let mut rests = vec![0_i128; classes.len().saturating_add(1)];
        for (index, class) in classes.iter().enumerate().rev() {
            let least = class.choices.iter().map(|choice| self.charged(choice)).min().unwrap_or(0);
            let all = least.saturating_mul(class.pieces.len() as i128);
            rests[index] = rests[index.saturating_add(1)].saturating_add(all);
        }
        rests
    }

    /// A bound on what begins with `cost` and `used`, where what is left costs at least `rest`.
    pub(super) fn bound(&self, cost: u64, used: &PerTier, rest: i128) -> u64 {
        let scaled = self.paid(cost, used).saturating_add(rest).saturating_sub(self.worth);
        let up = scaled.max(0).saturating_add(SCALE.saturating_sub(1)).checked_div(SCALE).unwrap_or(0);
        u64::try_from(up).unwrap_or(u64::MAX)
    }
}

/// The capacities of `room`, as far as they can be used: more would only cost.
fn usable(classes: &[Class], room: &Room) -> PerTier {
    let most = |tier: usize| {
        let of = |class: &Class| {
            let used = class.choices.iter().map(|choice| choice.used[tier]).max().unwrap_or(0);
            used.saturating_mul(class.pieces.len() as u64)
        };
        classes.iter().map(of).fold(0, u64::saturating_add)
    };
    std::array::from_fn(|tier| room.capacities[tier].min(most(tier)))
}
