//! [`check_assignment`]: where items were put, checked by someone who does not know who put them there.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::pack::instance::{VectorInstance, VectorItem};

/// Checks that every item has a bin and that no bin holds more of any resource than it has; gives the number of bins
/// that hold an item.
///
/// `assignment` names the bin of each item by any number, `None` for an item without one. Items stand in their order,
/// alike ones one after the other.
///
/// # Errors
/// [`Error::Violation`] with the first violated fact.
pub fn check_assignment(instance: &VectorInstance, assignment: &[Option<u64>]) -> Result<usize> {
    let count: u128 = instance.items.iter().map(|item| u128::from(item.count)).sum();
    holds(assignment.len() as u128 == count, || {
        format!("{} items are assigned, the instance has {count}", assignment.len())
    })?;
    let mut loads = BTreeMap::<u64, Vec<u128>>::new();
    let mut places = assignment.iter().enumerate();
    for VectorItem { demand, count } in &instance.items {
        for _ in 0..*count {
            let Some((item, bin)) = places.next() else { break };
            let Some(bin) = *bin else {
                return holds(false, || format!("item {item} has no bin")).map(|()| 0);
            };
            let load = loads.entry(bin).or_insert_with(|| vec![0; instance.capacities.len()]);
            for (load, need) in load.iter_mut().zip(demand) {
                *load = load.saturating_add(u128::from(*need));
            }
        }
    }
    for (bin, load) in &loads {
        for (index, (load, capacity)) in load.iter().zip(&instance.capacities).enumerate() {
            holds(*load <= u128::from(*capacity), || {
                let resource = instance.resources.get(index).map_or("", String::as_str);
                format!(
                    "bin {bin} holds {load} of resource {resource:?}, more than its capacity of {capacity}"
                )
            })?;
        }
    }
    Ok(loads.len())
}

fn holds(fact: bool, broken: impl FnOnce() -> String) -> Result<()> {
    if fact { Ok(()) } else { Err(Error::Violation { fact: broken() }) }
}
