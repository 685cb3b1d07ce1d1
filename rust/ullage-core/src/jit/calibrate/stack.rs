//! Layers of a few shapes whose weights are made up once, and run over and over under one policy or another.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use crate::codec::Scheme;
use crate::error::Result;
use crate::jit::execute::{self, Conduct, Kept, Run, Source, Wanted};
use crate::jit::{Layer, Policy};

/// The fewest layers of one shape where seconds are asked for by shape.
const FEWEST: usize = 6;
const MOST: usize = 4096;

/// Who runs a stack, and how.
#[derive(Clone, Copy)]
pub(super) struct Crew {
    pub(super) policy: Policy,
    pub(super) threads: u32,
    pub(super) last_cache: u64,
}

pub(super) struct Stack {
    pub(super) layers: Vec<Layer>,
    /// Layers of one shape, where seconds are asked for by shape.
    pub(super) parts: Vec<Range<usize>>,
    kept: Kept,
}

impl Stack {
    /// A model: layers of all `shapes`, until a pass reads so much of what is stored; those of one shape lie side by side.
    pub(super) fn model(shapes: &[[u64; 2]], scheme: Scheme, stored: u64) -> Result<Rc<Self>> {
        let one = each(shapes, scheme)?;
        let set = one.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.compressed.get())).max(1);
        let copies = usize::try_from(stored.div_ceil(set)).unwrap_or(1).clamp(1, MOST);
        let layers: Vec<Layer> = one.into_iter().flat_map(|layer| vec![layer; copies]).collect();
        Self::of(layers, Vec::new())
    }

    /// As much of each shape, of which the first layers do not count: what a size costs hangs on what lies in the caches,
    /// and behind layers of other sizes that is something else.
    pub(super) fn sizes(shapes: &[[u64; 2]], scheme: Scheme, stored_each: u64) -> Result<Rc<Self>> {
        let (mut layers, mut parts) = (Vec::new(), Vec::new());
        for layer in each(shapes, scheme)? {
            let copies = stored_each.div_ceil(layer.compressed.get().max(1));
            let copies = usize::try_from(copies).unwrap_or(1).clamp(FEWEST, MOST);
            let start = layers.len();
            layers.extend(vec![layer; copies]);
            parts.push(start..layers.len());
        }
        Self::of(layers, parts)
    }

    fn of(layers: Vec<Layer>, parts: Vec<Range<usize>>) -> Result<Rc<Self>> {
        let kept = Kept::make(&layers)?;
        Ok(Rc::new(Self { layers, parts, kept }))
    }

    /// All of it: a pass that is not timed, and so many that are. Where it `is_fresh`, weights are copied first, so that
    /// the process grows by them.
    pub(super) fn run(&self, crew: Crew, passes: u32, is_fresh: bool) -> Result<Run> {
        let pieces = if is_fresh { self.kept.pieces() } else { Vec::new() };
        let source = if is_fresh { Source::Given(&pieces) } else { Source::Kept(&self.kept) };
        crew.measure(&self.layers, source, passes, Wanted::default())
    }
}

impl Crew {
    fn measure(self, layers: &[Layer], source: Source<'_>, passes: u32, wanted: Wanted) -> Result<Run> {
        let (threads, last_cache, time) = (self.threads, self.last_cache, Duration::ZERO);
        let conduct = Conduct { threads, passes, time, last_cache, ..Conduct::default() };
        execute::measure(layers, &vec![self.policy; layers.len()], source, &conduct, wanted)
    }
}

fn each(shapes: &[[u64; 2]], scheme: Scheme) -> Result<Vec<Layer>> {
    shapes.iter().map(|shape| Layer::new("layer", shape, scheme)).collect()
}
