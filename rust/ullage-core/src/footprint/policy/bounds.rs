//! A formula for each end of an interval.

use serde::Deserialize;

use super::expression::{Expression, Terms};
use super::variable::Values;
use crate::error::Result;
use crate::footprint::interval::{Interval, Origin};

/// Formulas for the least, the most likely and the most that something takes; one formula where it is exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    lo: Expression,
    best: Expression,
    hi: Expression,
    text: String,
    is_assumed: bool,
}

/// Bounds as a policy file writes them: one formula, or three, of which the outer two may speak of `best`.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Written {
    Exact(String),
    Ends(Ends),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ends {
    lo: String,
    best: String,
    hi: String,
    #[serde(default)]
    assumed: bool,
}

impl Bounds {
    /// The formulas of `written`, in which the names of `terms` stand for them.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] that says what was expected where.
    pub(super) fn parse(written: &Written, terms: &Terms) -> Result<Self> {
        match written {
            Written::Exact(text) => {
                let exact = Expression::parse(text, terms)?;
                let text = text.clone();
                Ok(Self { lo: exact.clone(), best: exact.clone(), hi: exact, text, is_assumed: false })
            }
            Written::Ends(Ends { lo, best, hi, assumed }) => {
                let text = format!("{best} ({lo} ... {hi})");
                let best = Expression::parse(best, terms)?;
                let mut terms = terms.clone();
                terms.insert("best".to_owned(), best.clone());
                let (lo, hi) = (Expression::parse(lo, &terms)?, Expression::parse(hi, &terms)?);
                Ok(Self { lo, best, hi, text, is_assumed: *assumed })
            }
        }
    }

    /// The interval for `values`; `what` names it in an error. A bound on the wrong side of `best` gives way to it.
    ///
    /// # Errors
    /// [`crate::Error::Overflow`] beyond 2^64 − 1.
    pub fn evaluate(&self, values: &Values, what: &'static str) -> Result<Interval> {
        let origin = if self.is_assumed { Origin::Assumed } else { Origin::Formula };
        let best = self.best.evaluate(values, what)?;
        if self.is_exact() {
            return Ok(Interval::exact(best, origin, self.text.clone()));
        }
        let (lo, hi) = (self.lo.evaluate(values, what)?, self.hi.evaluate(values, what)?);
        Ok(Interval::new(lo.min(best), best, hi.max(best), origin, self.text.clone()))
    }

    /// Whether one formula gives all three.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.lo == self.best && self.best == self.hi
    }
}
