#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use proptest::prelude::*;

use super::*;
use crate::model::{Buffer, Size, Symbol};

fn graph(buffers: &[(u64, u64, u64)]) -> Graph {
    let buffer = |&(bytes, lower, upper): &(u64, u64, u64)| Buffer {
        size: Size { bits: bytes * 8, symbols: Vec::new() },
        lower,
        upper,
    };
    Graph { buffers: buffers.iter().map(buffer).collect(), ..Graph::default() }
}

fn sized(graph: &Graph) -> Vec<Sized> {
    let value = |buffer: &Buffer| Sized {
        size: buffer.size.bytes(1, 1).unwrap().unwrap(),
        lower: buffer.lower,
        upper: buffer.upper,
    };
    graph.buffers.iter().map(value).collect()
}

fn buffers() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let buffer =
        (0_u64..5000, 0_u64..40, 0_u64..12).prop_map(|(size, lower, length)| (size, lower, lower + length));
    prop::collection::vec(buffer, 0..60)
}

/// The peak found by adding up what is live at every step.
fn slow_peak(buffers: &[(u64, u64, u64)]) -> u64 {
    let live = |step: u64| {
        let at = buffers.iter().filter(|(_, lower, upper)| *lower <= step && step < *upper);
        at.map(|(size, _, _)| size).sum()
    };
    (0..60).map(live).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn the_peak_is_what_every_step_adds_up_to(buffers in buffers()) {
        let found = live(&graph(&buffers), 1, 1).unwrap();
        prop_assert_eq!(found.peak.get(), slow_peak(&buffers));
        prop_assert!(found.peak <= found.planned);
        prop_assert_eq!(found.unsized_values, 0);
    }

    #[test]
    fn no_two_live_values_share_a_byte(buffers in buffers()) {
        let mut values = sized(&graph(&buffers));
        values.retain(|value| !value.size.is_zero() && value.lower < value.upper);
        let placed = place(&values).unwrap();
        prop_assert_eq!(placed.len(), values.len());
        for (index, one) in placed.iter().enumerate() {
            prop_assert_eq!(one.offset.get() % ALIGNMENT, 0);
            for other in &placed[index + 1..] {
                let is_live_together = one.value.lower < other.value.upper && other.value.lower < one.value.upper;
                let is_apart = one.offset.get() + one.value.size.get() <= other.offset.get()
                    || other.offset.get() + other.value.size.get() <= one.offset.get();
                prop_assert!(!is_live_together || is_apart, "{:?} and {:?}", one, other);
            }
        }
    }
}

#[test]
fn a_chain_needs_two_neighbours_at_once() {
    let found = live(&graph(&[(640, 0, 2), (1280, 1, 3), (64, 2, 4), (1280, 3, 5)]), 1, 1).unwrap();
    assert_eq!(found.peak.get(), 1920);
    assert_eq!(found.planned.get(), 1920);
}

#[test]
fn symbols_are_filled_in_from_the_workload() {
    let mut graph = graph(&[(100, 0, 1)]);
    graph.buffers[0].size.symbols = vec![Symbol::of("batch_size"), Symbol::of("Sequence_Length")];
    assert_eq!(live(&graph, 7, 3).unwrap().peak.get(), 2100);
    graph.buffers[0].size.symbols.push(Symbol::of(" height"));
    graph.unsized_values = 2;
    let found = live(&graph, 7, 3).unwrap();
    assert_eq!((found.peak, found.unsized_values), (Bytes::ZERO, 3));
    assert_eq!(graph.buffers[0].size.symbols[2], Symbol::Named("height".to_owned()));
}

#[test]
fn four_bit_values_fill_their_last_byte() {
    let size = Size { bits: 4, symbols: vec![Symbol::Context] };
    assert_eq!(size.bytes(3, 1).unwrap(), Some(Bytes::new(2)));
}

#[test]
fn a_stored_plan_is_both_figures() {
    let graph = Graph { planned: Some(Bytes::new(9)), unsized_values: 1, ..graph(&[(640, 0, 2)]) };
    let found = live(&graph, 1, 1).unwrap();
    assert_eq!(found, Liveness { peak: Bytes::new(9), planned: Bytes::new(9), unsized_values: 1 });
}

#[test]
fn sizes_beyond_the_address_space_are_refused() {
    let mut graph = graph(&[(1 << 60, 0, 1)]);
    graph.buffers[0].size.symbols = vec![Symbol::Context; 3];
    assert!(live(&graph, 1 << 32, 1).is_err());
    let full: Vec<_> = (0..20).map(|_| (1 << 60, 0, 1)).collect();
    assert!(live(&self::graph(&full), 1, 1).is_err());
}

#[test]
fn a_graph_of_very_many_values_is_laid_out_in_time() {
    let buffers: Vec<_> = (0..9_000).map(|step| (64 + step % 1000, step, step + 3)).collect();
    let found = live(&graph(&buffers), 1, 1).unwrap();
    assert!(found.peak <= found.planned && found.planned.get() < 100_000);
    let together: Vec<_> = (0..5_000).map(|_| (64, 0, 1)).collect();
    let found = live(&graph(&together), 1, 1).unwrap();
    assert_eq!(found.planned, found.peak);
}
