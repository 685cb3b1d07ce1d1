//! [`Costs`]: what a run of pieces takes in memory and time, grown piece by piece.

use super::problem::Problem;

/// A shared tensor as a piece sees it: its bytes, and the piece before that uses it too.
struct Touch {
    bytes: u64,
    previous: Option<usize>,
}

/// What pieces cost in each place.
pub(super) struct Costs {
    /// Weights and state of each piece.
    own: Vec<u64>,
    workspace: Vec<u64>,
    touches: Vec<Vec<Touch>>,
    /// Bytes that each piece hands on.
    pub(super) outputs: Vec<u64>,
    /// The times of all pieces, a row for each pair of rates.
    times: Vec<Vec<u64>>,
    /// The row of each place.
    rates: Vec<usize>,
}

/// A run of pieces from `first` on.
pub(super) struct Segment<'a> {
    costs: &'a Costs,
    times: &'a [u64],
    first: usize,
    held: u64,
    workspace: u64,
    /// Picoseconds of a step.
    pub(super) time: u64,
}

impl Costs {
    pub(super) fn of(problem: &Problem) -> Self {
        let pieces = problem.chain().pieces();
        let mut touches: Vec<Vec<Touch>> = pieces.iter().map(|_| Vec::new()).collect();
        for tensor in problem.chain().shared() {
            let mut previous = None;
            for &piece in &tensor.pieces {
                touches[piece].push(Touch { bytes: tensor.bytes.get(), previous });
                previous = Some(piece);
            }
        }
        let mut pairs = Vec::new();
        let mut rates = Vec::with_capacity(problem.places().len());
        for place in problem.places() {
            let pair = (place.bandwidth, place.flops);
            rates.push(pairs.iter().position(|known| *known == pair).unwrap_or_else(|| {
                pairs.push(pair);
                pairs.len().saturating_sub(1)
            }));
        }
        let row = |&(bandwidth, flops): &_| pieces.iter().map(|piece| piece.time(bandwidth, flops)).collect();
        Self {
            own: pieces.iter().map(|piece| piece.weights.saturating_add(piece.state).get()).collect(),
            workspace: pieces.iter().map(|piece| piece.workspace.get()).collect(),
            touches,
            outputs: pieces.iter().map(|piece| piece.output.get()).collect(),
            times: pairs.iter().map(row).collect(),
            rates,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.own.len()
    }

    /// An empty run in `place` that begins with piece `first`.
    pub(super) fn run(&self, place: usize, first: usize) -> Segment<'_> {
        let times = &self.times[self.rates[place]];
        Segment { costs: self, times, first, held: 0, workspace: 0, time: 0 }
    }

    /// The least that a piece takes anywhere.
    pub(super) fn least_time(&self, piece: usize) -> u64 {
        self.times.iter().map(|row| row[piece]).min().unwrap_or(0)
    }
}

impl Segment<'_> {
    /// Adds the next piece; the bytes that the run takes then.
    pub(super) fn add(&mut self, piece: usize) -> u64 {
        self.held = self.held.saturating_add(self.costs.own[piece]);
        for touch in &self.costs.touches[piece] {
            if touch.previous.is_none_or(|previous| previous < self.first) {
                self.held = self.held.saturating_add(touch.bytes);
            }
        }
        self.workspace = self.workspace.max(self.costs.workspace[piece]);
        self.time = self.time.saturating_add(self.times[piece]);
        self.held.saturating_add(self.workspace)
    }
}
