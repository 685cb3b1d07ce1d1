//! What is proven of the classical heuristics, beside the fewest bins.

use proptest::prelude::{ProptestConfig, prop, prop_assert, proptest};

use super::*;

/// Strategies with `bins <= (factor * fewest + more) / 9`.
const RATIOS: [(Strategy, usize, usize); 9] = [
    (Strategy::NextFit, 18, 0),
    (Strategy::NextFitDecreasing, 18, 0),
    (Strategy::WorstFit, 18, 0),
    (Strategy::WorstFitDecreasing, 18, 0),
    (Strategy::BestKFit(Strategy::OPEN_BINS), 18, 0),
    (Strategy::FirstFit, 15, 3), // 1.7 is 15.3 ninths
    (Strategy::BestFit, 15, 3),
    (Strategy::FirstFitDecreasing, 11, 6),
    (Strategy::BestFitDecreasing, 11, 36),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_heuristic_is_worse_than_is_proven(sizes in prop::collection::vec(1_u64..40, 1..9), capacity in 40_u64..80) {
        let fewest = naive::fewest(&sizes, &vec![capacity; sizes.len()]).unwrap();
        let problem = problem(&sizes, &[(capacity, None)]);
        for (strategy, factor, more) in RATIOS {
            let bins = solved(&problem, strategy).bins_used;
            let most = match strategy {
                Strategy::FirstFit | Strategy::BestFit => 17 * fewest / 10,
                _ => (factor * fewest + more) / 9,
            };
            prop_assert!(bins <= most, "{strategy}: {bins} bins, {fewest} do");
        }
    }
}

/// Johnson's example: thirds, and halves with a little more, in the order that misleads most.
#[test]
fn first_fit_is_as_bad_as_is_proven_on_the_classical_example() {
    let sizes: Vec<u64> =
        [16_u64, 34, 51].into_iter().flat_map(|size| std::iter::repeat_n(size, 6)).collect();
    let problem = problem(&sizes, &[(101, None)]);
    assert_eq!(solved(&problem, Strategy::FirstFit).bins_used, 10);
    assert_eq!(solved(&problem, Strategy::FirstFitDecreasing).bins_used, 6);
    assert_eq!(solved(&problem, Strategy::NextFit).bins_used, 10);
    assert_eq!(solved(&problem, Strategy::Exact).status, Status::Optimal);
}
