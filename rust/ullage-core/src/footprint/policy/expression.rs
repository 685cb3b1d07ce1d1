//! The formulas of a policy: whole numbers, four operations, `min`, `max` and `pad`.
//!
//! Ours, because the parsers that are kept (exmex 0.21) compute in floats, refuse one function call inside another, and
//! pass over overflow; a formula of bytes must be exact or fail.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::variable::{Values, Variable};
use crate::error::{Error, Result};
use crate::units::{Bytes, clip};

/// A formula of whole numbers, such as `4*micro_batch*(vocabulary + 2*hidden)`.
///
/// `a - b` is nothing where `b` is larger, `a / b` is rounded down, `pad(a, step)` is the
/// next multiple of `step`. Division and padding by nothing give nothing. `kB`, `MB`, `GB`, `KiB`,
/// `MiB` and `GiB` are numbers; `min` and `max` take two arguments or more. A name given to an earlier formula stands
/// for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    text: String,
    node: Node,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Number(u128),
    Variable(Variable),
    Apply(Operation, Box<[Node; 2]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Min,
    Max,
    Pad,
}

impl Operation {
    fn apply(self, a: u128, b: u128) -> Option<u128> {
        match self {
            Self::Add => a.checked_add(b),
            Self::Subtract => Some(a.saturating_sub(b)),
            Self::Multiply => a.checked_mul(b),
            Self::Divide => Some(a.checked_div(b).unwrap_or(0)),
            Self::Min => Some(a.min(b)),
            Self::Max => Some(a.max(b)),
            Self::Pad => a.checked_next_multiple_of(b).or((b == 0).then_some(0)),
        }
    }
}

/// Formulas that later ones may name.
pub(super) type Terms = BTreeMap<String, Expression>;

impl Expression {
    /// The formula that `text` writes, in which the names of `terms` stand for them.
    ///
    /// # Errors
    /// [`Error::Argument`] that says what was expected where.
    pub(super) fn parse(text: &str, terms: &Terms) -> Result<Self> {
        let mut parser = Parser { text, rest: text, depth: 0, leaves: 0, terms };
        let node = parser.sum()?;
        if !parser.rest.trim_start().is_empty() {
            return Err(parser.fault("an operator or the end"));
        }
        Ok(Self { text: text.to_owned(), node })
    }

    /// The value for `values`; `what` names it in an error.
    ///
    /// # Errors
    /// [`Error::Overflow`] beyond 2^64 − 1.
    pub fn evaluate(&self, values: &Values, what: &'static str) -> Result<Bytes> {
        let value = self.node.evaluate(values).and_then(|value| u64::try_from(value).ok());
        value.map(Bytes::new).ok_or(Error::Overflow { what })
    }

    /// The formula as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Node {
    /// The numbers and variables in it.
    fn leaves(&self) -> usize {
        match self {
            Self::Number(_) | Self::Variable(_) => 1,
            Self::Apply(_, sides) => sides[0].leaves().saturating_add(sides[1].leaves()),
        }
    }

    fn evaluate(&self, values: &Values) -> Option<u128> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Variable(variable) => Some(u128::from(values.get(*variable))),
            Self::Apply(operation, sides) => {
                operation.apply(sides[0].evaluate(values)?, sides[1].evaluate(values)?)
            }
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Expression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text, &Terms::new())
    }
}

/// Deeper nesting is nobody's formula and would end the stack.
const DEEPEST: u32 = 64;
/// Numbers and variables in one formula, those of its terms counted, at most: a chain of them is as deep as it is long.
const LONGEST: usize = 4_000;

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    depth: u32,
    leaves: usize,
    terms: &'a Terms,
}

impl Parser<'_> {
    fn sum(&mut self) -> Result<Node> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > DEEPEST {
            return Err(self.fault("less nesting"));
        }
        let node = self.chain(&[('+', Operation::Add), ('-', Operation::Subtract)], Self::product)?;
        self.depth = self.depth.saturating_sub(1);
        Ok(node)
    }

    fn product(&mut self) -> Result<Node> {
        self.chain(&[('*', Operation::Multiply), ('/', Operation::Divide)], Self::atom)
    }

    fn chain(
        &mut self,
        operations: &[(char, Operation)],
        next: fn(&mut Self) -> Result<Node>,
    ) -> Result<Node> {
        let mut node = next(self)?;
        while let Some(&(_, operation)) = operations.iter().find(|(sign, _)| self.take(*sign)) {
            node = Node::Apply(operation, Box::new([node, next(self)?]));
        }
        Ok(node)
    }

    fn atom(&mut self) -> Result<Node> {
        if self.take('(') {
            let node = self.sum()?;
            return self.expect(')').map(|()| node);
        }
        let word = self.word();
        self.count(1)?;
        if word.starts_with(|first: char| first.is_ascii_digit()) {
            let number = word.replace('_', "").parse().map_err(|_| self.fault("a whole number"))?;
            return Ok(Node::Number(number));
        }
        if let Some(operation) = function(&word) {
            return self.call(operation);
        }
        if let Some(number) = unit(&word) {
            return Ok(Node::Number(number));
        }
        if let Some(term) = self.terms.get(&word) {
            self.count(term.node.leaves())?;
            return Ok(term.node.clone());
        }
        match word.parse() {
            Ok(variable) => Ok(Node::Variable(variable)),
            Err(_) if word.is_empty() => Err(self.fault("a number, a variable or a bracket")),
            Err(error) => Err(error),
        }
    }

    fn count(&mut self, leaves: usize) -> Result<()> {
        self.leaves = self.leaves.saturating_add(leaves);
        if self.leaves > LONGEST { Err(self.fault("a shorter formula")) } else { Ok(()) }
    }

    fn call(&mut self, operation: Operation) -> Result<Node> {
        self.expect('(')?;
        let mut node = self.sum()?;
        self.expect(',')?;
        node = Node::Apply(operation, Box::new([node, self.sum()?]));
        while operation != Operation::Pad && self.take(',') {
            node = Node::Apply(operation, Box::new([node, self.sum()?]));
        }
        self.expect(')')?;
        Ok(node)
    }

    fn word(&mut self) -> String {
        let rest = self.rest.trim_start();
        let end = rest.find(|next: char| !next.is_ascii_alphanumeric() && next != '_');
        let (word, rest) = rest.split_at(end.unwrap_or(rest.len()));
        self.rest = rest;
        word.to_owned()
    }

    fn take(&mut self, sign: char) -> bool {
        let found = self.rest.trim_start().strip_prefix(sign);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn expect(&mut self, sign: char) -> Result<()> {
        if self.take(sign) { Ok(()) } else { Err(self.fault(&format!("'{sign}'"))) }
    }

    fn fault(&self, expected: &str) -> Error {
        let place = self.text.len().saturating_sub(self.rest.trim_start().len());
        let reason = format!("{:?}: expected {expected} at character {place}", clip(self.text));
        Error::Argument { name: "formula", reason }
    }
}

fn function(word: &str) -> Option<Operation> {
    match word {
        "min" => Some(Operation::Min),
        "max" => Some(Operation::Max),
        "pad" => Some(Operation::Pad),
        _ => None,
    }
}

fn unit(word: &str) -> Option<u128> {
    match word {
        "kB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    }
}
