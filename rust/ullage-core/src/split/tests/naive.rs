//! Every split of a small problem, each counted from scratch.

use crate::split::{Links, Objective, Order, Problem};

/// The best by the objective, and among these by what comes second.
pub(super) fn best(problem: &Problem) -> Option<(u64, u64)> {
    let mut best = None;
    extend(problem, &mut Vec::new(), 0, &mut best);
    best
}

fn extend(
    problem: &Problem,
    stages: &mut Vec<(usize, usize, usize)>,
    first: usize,
    best: &mut Option<(u64, u64)>,
) {
    let pieces = problem.chain().pieces().len();
    if first == pieces {
        let score = score(problem, stages);
        if best.is_none_or(|known| score < known) {
            *best = Some(score);
        }
        return;
    }
    for place in 0..problem.places().len() {
        let last = stages.last().map(|&(place, _, _)| place);
        let is_allowed = match problem.order() {
            Order::Given => last.is_none_or(|last| place > last),
            Order::Any => stages.iter().all(|&(taken, _, _)| taken != place),
        };
        for end in first + 1..=pieces {
            if is_allowed && held(problem, first, end) <= problem.places()[place].usable() {
                stages.push((place, first, end));
                extend(problem, stages, end, best);
                stages.pop();
            }
        }
    }
}

fn held(problem: &Problem, first: usize, end: usize) -> u64 {
    let mut sum = 0;
    let mut workspace = 0;
    for piece in &problem.chain().pieces()[first..end] {
        sum += piece.weights.get() + piece.state.get();
        workspace = piece.workspace.get().max(workspace);
    }
    for tensor in problem.chain().shared() {
        if tensor.pieces.iter().any(|&piece| first <= piece && piece < end) {
            sum += tensor.bytes.get();
        }
    }
    sum + workspace
}

fn seconds(amount: u64, rate: Option<u64>) -> u64 {
    let Some(rate) = rate else { return 0 };
    u64::try_from((u128::from(amount) * 1_000_000_000_000).div_ceil(rate.into())).expect("days")
}

fn score(problem: &Problem, stages: &[(usize, usize, usize)]) -> (u64, u64) {
    let (mut latency, mut slowest, mut fullest) = (0, 0, 0);
    for (index, &(place, first, end)) in stages.iter().enumerate() {
        let on = &problem.places()[place];
        let time: u64 = problem.chain().pieces()[first..end]
            .iter()
            .map(|piece| {
                let memory = seconds(piece.traffic.get() + piece.state.get(), on.bandwidth);
                memory.max(seconds(piece.flops, on.flops)) + piece.fixed
            })
            .sum();
        latency += time;
        slowest = slowest.max(time);
        let load = u128::from(held(problem, first, end));
        let share = (load * 1_000_000_000_000).div_ceil(u128::from(on.usable().max(1)));
        fullest = fullest.max(u64::try_from(share).expect("a share"));
        if let Some(&(next, _, _)) = stages.get(index + 1) {
            let output = problem.chain().pieces()[end - 1].output.get();
            for link in ways(problem, place, next) {
                let time = link.latency + seconds(output, link.bandwidth);
                latency += time;
                slowest = slowest.max(time);
            }
        }
    }
    match problem.objective() {
        Objective::Latency => (latency, stages.len() as u64),
        Objective::Throughput => (slowest, latency),
        Objective::Devices => (stages.len() as u64, latency),
        Objective::Balance => (fullest, latency),
    }
}

fn ways(problem: &Problem, from: usize, to: usize) -> Vec<crate::split::Link> {
    match problem.links() {
        Links::Alike(link) => vec![*link],
        Links::Neighbours(links) => links[from..to].to_vec(),
        Links::Nodes { inside, between } => {
            let same = problem.places()[from].node == problem.places()[to].node;
            vec![if same { *inside } else { *between }]
        }
    }
}
