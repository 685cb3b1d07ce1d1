//! Placing: problems from plain Python values. The answers are in `placed`.

use pyo3::prelude::*;
use pyo3::types::PyFloat;
use ullage_core::Error;
use ullage_core::placement::{self, Changes, Item, Keep, Kind, Problem, Resource, Rule, Spot, Strategy};

use crate::error::{Failure, Outcome};
use crate::placed::{Placement, Scales};
use crate::signals::Errand;
use crate::units::ByteCount;

/// Name, amounts by resource, value, replicas.
type GivenItem<'py> = (String, Vec<Bound<'py, PyAny>>, Bound<'py, PyAny>, u32);
/// Name, amounts by resource or `None` for no limit, reserves by resource, cost, count or `None` for any number.
type GivenKind<'py> =
    (String, Vec<Option<Bound<'py, PyAny>>>, Vec<Bound<'py, PyAny>>, Bound<'py, PyAny>, Option<u64>);
/// Names: of an item and where it may go, or of a group.
type Pins = Vec<(String, Vec<String>)>;
type Groups = Vec<Vec<String>>;

/// Place items on devices. What `ullage.place` calls, once it has found what was named.
#[pyfunction]
#[pyo3(signature = (resources, items, kinds, *, pins, together, apart, keep, strategy, time_limit, seed, progress))]
#[expect(clippy::too_many_arguments, reason = "one for each part of a problem")]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
pub(crate) fn place_items(
    py: Python<'_>,
    resources: Vec<(String, bool)>,
    items: Vec<GivenItem<'_>>,
    kinds: Vec<GivenKind<'_>>,
    pins: Pins,
    together: Groups,
    apart: Groups,
    keep: &str,
    strategy: &str,
    time_limit: Option<f64>,
    seed: u64,
    progress: Option<Py<PyAny>>,
) -> Outcome<Placement> {
    let keep: Keep = keep.parse()?;
    let strategy: Strategy = strategy.parse()?;
    let values = Scale::of(items.iter().map(|(name, _, value, _)| (format!("values[{name:?}]"), value)))?;
    let costs = Scale::of(kinds.iter().map(|(name, _, _, cost, _)| (format!("costs[{name:?}]"), cost)))?;
    let resources: Vec<Resource> =
        resources.into_iter().map(|(name, is_bytes)| Resource { name, is_bytes }).collect();
    let items = items.into_iter().zip(&values.amounts);
    let items = items.map(|(item, &value)| item_of(item, value, &resources)).collect::<Outcome<Vec<_>>>()?;
    let kinds = kinds.into_iter().zip(&costs.amounts);
    let kinds = kinds.map(|(kind, &cost)| kind_of(kind, cost, &resources)).collect::<Outcome<Vec<_>>>()?;
    let rules = rules(&items, &kinds, &pins, &together, &apart)?;
    let problem = Problem::new(resources, items, kinds, rules, keep)?;
    let scales = Scales { values: values.per_one, costs: costs.per_one };
    Errand::new(time_limit, progress)?.run(
        py,
        |limits| {
            let found = placement::solve(&problem, strategy, seed, limits);
            Ok((problem, found))
        },
        |(problem, found), seconds| Placement::new(problem, found, strategy, scales, seconds),
    )
}

/// Place what comes beside what stays, moving little. What `Placement.repack` calls.
#[pyfunction]
#[pyo3(signature = (
    placement, items, remove, *, pins, together, apart, max_migrations, strategy, time_limit, seed, progress
))]
#[expect(clippy::too_many_arguments, reason = "one for each part of a change")]
#[expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it converted")]
pub(crate) fn repack_items(
    py: Python<'_>,
    placement: &Bound<'_, Placement>,
    items: Vec<GivenItem<'_>>,
    remove: Vec<String>,
    pins: Pins,
    together: Groups,
    apart: Groups,
    max_migrations: Option<u64>,
    strategy: &str,
    time_limit: Option<f64>,
    seed: u64,
    progress: Option<Py<PyAny>>,
) -> Outcome<Placement> {
    let strategy: Strategy = strategy.parse()?;
    let placement = placement.get();
    let (problem, found, scales) = (placement.problem(), placement.answer(), placement.scales());
    let values: Vec<(String, &Bound<'_, PyAny>)> =
        items.iter().map(|(name, _, value, _)| (format!("values[{name:?}]"), value)).collect();
    let amounts = values.into_iter().map(|(field, value)| scaled_by(&field, value, scales.values));
    let amounts = amounts.collect::<Outcome<Vec<u64>>>()?;
    let add = items.into_iter().zip(amounts).map(|(item, value)| item_of(item, value, problem.resources()));
    let add = add.collect::<Outcome<Vec<_>>>()?;
    let remove = remove.iter().map(|name| {
        let at = problem.items().iter().position(|item| item.name == *name);
        at.ok_or_else(|| wrong("remove", format!("there is no item {:?}", clipped(name))))
    });
    let remove = remove.collect::<Outcome<Vec<usize>>>()?;
    let staying = problem.items().iter().enumerate().filter(|(index, _)| !remove.contains(index));
    let after: Vec<Item> = staying.map(|(_, item)| item.clone()).chain(add.iter().cloned()).collect();
    let rules = rules(&after, problem.kinds(), &pins, &together, &apart)?;
    let changes = Changes { add, remove, rules, most_migrations: max_migrations };
    Errand::new(time_limit, progress)?.run(
        py,
        |limits| Ok(placement::repack(problem, found, &changes, strategy, seed, limits)?),
        |repacking, seconds| Placement::repacked(repacking, strategy, scales, seconds),
    )
}

fn wrong(field: impl Into<String>, reason: impl Into<String>) -> Failure {
    Error::Problem { field: field.into(), reason: reason.into() }.into()
}

/// The beginning of a text, for an error.
fn clipped(text: &str) -> String {
    text.chars().take(60).collect()
}

fn amount(value: &Bound<'_, PyAny>, field: impl FnOnce() -> String) -> Outcome<u64> {
    let py = value.py();
    value.extract::<ByteCount>().map(|count| count.0.get()).map_err(|error| {
        if error.is_instance_of::<pyo3::exceptions::PyValueError>(py) {
            wrong(field(), error.value(py).to_string())
        } else {
            error.into()
        }
    })
}

fn item_of(given: GivenItem<'_>, value: u64, resources: &[Resource]) -> Outcome<Item> {
    let (name, amounts, _, replicas) = given;
    let demand = amounts
        .iter()
        .zip(resources)
        .map(|(needs, resource)| amount(needs, || format!("models[{name:?}][{:?}]", resource.name)));
    Ok(Item { demand: demand.collect::<Outcome<_>>()?, name, value, replicas })
}

fn kind_of(given: GivenKind<'_>, cost: u64, resources: &[Resource]) -> Outcome<Kind> {
    let (name, capacities, reserves, _, count) = given;
    let field = |what: &str, resource: &Resource| format!("{what}[{name:?}][{:?}]", resource.name);
    let capacity = capacities.iter().zip(resources).map(|(has, resource)| {
        has.as_ref().map(|has| amount(has, || field("devices", resource))).transpose()
    });
    let capacity = capacity.collect::<Outcome<_>>()?;
    let reserve =
        reserves.iter().zip(resources).map(|(free, resource)| amount(free, || field("reserve", resource)));
    let reserve = reserve.collect::<Outcome<_>>()?;
    Ok(Kind { capacity, reserve, name, cost, count })
}

fn rules(
    items: &[Item],
    kinds: &[Kind],
    pins: &Pins,
    together: &Groups,
    apart: &Groups,
) -> Outcome<Vec<Rule>> {
    let item = |field: &str, name: &str| {
        let at = items.iter().position(|item| item.name == name);
        at.ok_or_else(|| wrong(field, format!("there is no model {:?}", clipped(name))))
    };
    let mut rules = Vec::new();
    for (name, places) in pins {
        let spots = places.iter().map(|place| {
            Problem::spot_named(kinds, place).ok_or_else(|| {
                wrong(format!("pins[{name:?}]"), format!("there is no device {:?}", clipped(place)))
            })
        });
        let spots: Vec<Spot> = spots.collect::<Outcome<_>>()?;
        rules.push(Rule::Only { item: item("pins", name)?, spots });
    }
    for (field, groups) in [("together", together), ("apart", apart)] {
        for group in groups {
            let members = group.iter().map(|name| item(field, name)).collect::<Outcome<Vec<_>>>()?;
            rules.push(if field == "together" { Rule::Together(members) } else { Rule::Apart(members) });
        }
    }
    Ok(rules)
}

/// Values or costs as whole numbers: each times a power of ten that makes all of them whole.
struct Scale {
    amounts: Vec<u64>,
    per_one: u64,
}

impl Scale {
    /// The most decimals that are told apart.
    const DECIMALS: u32 = 9;

    fn of<'a, 'py: 'a>(given: impl Iterator<Item = (String, &'a Bound<'py, PyAny>)>) -> Outcome<Self> {
        let given: Vec<_> = given.collect();
        for decimals in 0..=Self::DECIMALS {
            let per_one = 10_u64.pow(decimals);
            let amounts = given.iter().map(|(field, value)| scaled_by(field, value, per_one));
            match amounts.collect::<Outcome<Vec<u64>>>() {
                Ok(amounts) => return Ok(Self { amounts, per_one }),
                Err(failure) if decimals == Self::DECIMALS => return Err(failure),
                Err(_) => {}
            }
        }
        Ok(Self { amounts: Vec::new(), per_one: 1 })
    }
}

/// `value`, a number, times `per_one`, which has to be whole.
fn scaled_by(field: &str, value: &Bound<'_, PyAny>, per_one: u64) -> Outcome<u64> {
    if value.is_instance_of::<pyo3::types::PyBool>() {
        return Err(wrong(field, "a truth value is not a number"));
    }
    let text =
        if value.is_instance_of::<PyFloat>() { value.repr()?.to_string() } else { value.str()?.to_string() };
    decimal(&text, per_one).ok_or_else(|| {
        let reason =
            format!("{:?} is not a number from 0 to 2^64 - 1 with at most 9 decimals", clipped(&text));
        wrong(field, reason)
    })
}

/// A plain decimal such as `2.50` or `1e-05`, times `per_one`; `None` where that is not whole.
fn decimal(text: &str, per_one: u64) -> Option<u64> {
    let (digits, exponent) = text.split_once(['e', 'E']).map_or((text, Some(0)), |(digits, exponent)| {
        (digits, exponent.parse::<i32>().ok().filter(|exponent| exponent.abs() <= 40))
    });
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{part}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = all.parse::<u128>().ok()?.checked_mul(u128::from(per_one))?;
    let places = i32::try_from(part.len()).ok()?.checked_sub(exponent?)?;
    let power = 10_u128.checked_pow(places.unsigned_abs())?;
    let scaled = if places <= 0 {
        number.checked_mul(power)?
    } else {
        (number.checked_rem(power)? == 0).then(|| number.checked_div(power)).flatten()?
    };
    u64::try_from(scaled).ok()
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn decimals_are_read_exactly() {
        assert_eq!(decimal("2.5", 1), None);
        assert_eq!(decimal("2.5", 10), Some(25));
        assert_eq!(decimal("2.50", 10), Some(25));
        assert_eq!(decimal("1e-05", 100_000), Some(1));
        assert_eq!(decimal("1e+16", 1), Some(10_000_000_000_000_000));
        assert_eq!(decimal("7", 1000), Some(7000));
        for text in ["-1", "nan", "inf", "", ".", "1e99", "x", "0x3"] {
            assert_eq!(decimal(text, 10), None, "{text}");
        }
    }
}
