//! Covering programs in fractions, by the simplex method with Bland's rule: slow and exact.

use std::ops::{Add, Div, Mul, Sub};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fraction {
    over: i128,
    under: i128,
}

impl Fraction {
    fn new(over: i128, under: i128) -> Self {
        let (mut a, mut b) = (over.abs(), under.abs());
        while b > 0 {
            (a, b) = (b, a % b);
        }
        let sign = under.signum() * a.max(1);
        Self { over: over / sign, under: under / sign }
    }

    fn whole(number: i128) -> Self {
        Self { over: number, under: 1 }
    }

    pub(super) fn ceil(self) -> i128 {
        self.over.div_euclid(self.under) + i128::from(self.over.rem_euclid(self.under) > 0)
    }

    pub(super) fn as_f64(self) -> f64 {
        self.over as f64 / self.under as f64
    }
}

impl Add for Fraction {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.over * other.under + other.over * self.under, self.under * other.under)
    }
}

impl Sub for Fraction {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + Self::new(-other.over, other.under)
    }
}

impl Mul for Fraction {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self::new(self.over * other.over, self.under * other.under)
    }
}

impl Div for Fraction {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        Self::new(self.over * other.under, self.under * other.over)
    }
}

/// The least sum of x >= 0 with `patterns` x >= `demand`, by its dual: the most `demand` y with y >= 0 where no pattern is
/// worth more than one. There the slack columns are a feasible basis.
pub(super) fn covering(patterns: &[Vec<u32>], demand: &[u32]) -> Fraction {
    let (zero, one) = (Fraction::whole(0), Fraction::whole(1));
    let kinds = demand.len();
    let mut rows: Vec<Vec<Fraction>> = patterns
        .iter()
        .enumerate()
        .map(|(index, pattern)| {
            let mut row: Vec<Fraction> =
                pattern.iter().map(|&copies| Fraction::whole(i128::from(copies))).collect();
            row.extend((0..patterns.len()).map(|slack| if slack == index { one } else { zero }));
            row.push(one);
            row
        })
        .collect();
    let mut basis: Vec<usize> = (kinds..kinds + patterns.len()).collect();
    let mut gain: Vec<Fraction> = demand.iter().map(|&demand| Fraction::whole(i128::from(demand))).collect();
    gain.resize(kinds + patterns.len() + 1, zero);
    while let Some(entering) = gain[..gain.len() - 1].iter().position(|gain| gain.over > 0) {
        let ratio = |row: &[Fraction]| row[row.len() - 1] / row[entering];
        let candidates = (0..rows.len()).filter(|&row| rows[row][entering].over > 0);
        let leaving = candidates.min_by(|&a, &b| {
            let difference = ratio(&rows[a]) - ratio(&rows[b]);
            difference.over.cmp(&0).then(basis[a].cmp(&basis[b]))
        });
        let leaving = leaving.expect("every type is in a pattern");
        let pivot = rows[leaving][entering];
        let scaled: Vec<Fraction> = rows[leaving].iter().map(|&entry| entry / pivot).collect();
        let subtract = |row: &mut Vec<Fraction>| {
            let factor = row[entering];
            if factor.over != 0 {
                row.iter_mut().zip(&scaled).for_each(|(entry, &other)| *entry = *entry - factor * other);
            }
        };
        rows.iter_mut().for_each(subtract);
        subtract(&mut gain);
        rows[leaving] = scaled;
        basis[leaving] = entering;
    }
    zero - gain[gain.len() - 1]
}
