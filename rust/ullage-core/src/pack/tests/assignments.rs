//! Assignments of anybody against their instance.

use proptest::prelude::*;

use crate::error::Error;
use crate::pack::{VectorInstance, VectorItem, check_assignment};

fn instance(capacities: &[u64], items: &[(&[u64], u64)]) -> VectorInstance {
    VectorInstance {
        resources: (0..capacities.len()).map(|index| format!("r{index}")).collect(),
        capacities: capacities.to_vec(),
        items: items.iter().map(|&(demand, count)| VectorItem { demand: demand.to_vec(), count }).collect(),
    }
}

fn fault(instance: &VectorInstance, assignment: &[Option<u64>]) -> String {
    match check_assignment(instance, assignment) {
        Err(Error::Violation { fact }) => fact,
        other => panic!("{other:?}"),
    }
}

#[test]
fn faults_are_named() {
    let two = instance(&[10, 5], &[(&[6, 1], 1), (&[4, 2], 2)]);
    assert_eq!(check_assignment(&two, &[Some(7), Some(7), Some(u64::MAX)]).unwrap(), 2);
    assert_eq!(fault(&two, &[Some(0), Some(0)]), "2 items are assigned, the instance has 3");
    assert_eq!(fault(&two, &[Some(0), Some(1), None]), "item 2 has no bin");
    assert_eq!(
        fault(&two, &[Some(1), Some(1), Some(1)]),
        "bin 1 holds 14 of resource \"r0\", more than its capacity of 10"
    );
    let tight = instance(&[10, 2], &[(&[1, 1], 3)]);
    assert!(fault(&tight, &[Some(3); 3]).contains("3 of resource \"r1\""));
    let huge = instance(&[u64::MAX], &[(&[u64::MAX], 2)]);
    assert!(fault(&huge, &[Some(0); 2]).contains("36893488147419103230"));
    assert!(
        fault(&instance(&[1], &[(&[0], u64::MAX), (&[0], 1)]), &[Some(0)]).contains("18446744073709551616")
    );
}

proptest! {
    #[test]
    fn exactly_the_overfull_are_refused(
        capacity in 1_u64..30,
        sizes in prop::collection::vec(0_u64..20, 0..9),
        places in prop::collection::vec(0_u64..4, 9),
    ) {
        let items: Vec<VectorItem> =
            sizes.iter().map(|&size| VectorItem { demand: vec![size], count: 1 }).collect();
        let instance =
            VectorInstance { resources: vec!["size".to_owned()], capacities: vec![capacity], items };
        let places = &places[..sizes.len()];
        let loads: Vec<u64> = (0..4)
            .map(|bin| sizes.iter().zip(places).filter(|(_, place)| **place == bin).map(|(size, _)| size).sum())
            .collect();
        let used = (0..4).filter(|bin| places.contains(bin)).count();
        let assignment: Vec<_> = places.iter().copied().map(Some).collect();
        let found = check_assignment(&instance, &assignment);
        if loads.iter().all(|load| *load <= capacity) {
            prop_assert_eq!(found.unwrap(), used);
        } else {
            prop_assert!(found.is_err());
        }
    }
}
