//! Layers made ready ahead of those that multiply, by a thread of its own for each engine.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::thread;
use std::time::Instant;

use bytes::BytesMut;

use super::crew::wait_until;
use super::step::Step;
use super::team::Team;
use crate::error::{Error, Result};
use crate::jit::engine::Resource;

/// A layer made ready by another thread, from when until when.
pub(super) struct Ready {
    pub(super) layer: usize,
    pub(super) piece: BytesMut,
    pub(super) start: Instant,
    pub(super) end: Instant,
}

impl Team<'_> {
    /// Makes layers ready, each as soon as there is room for it.
    pub(super) fn make_ready(&self, resource: Resource, to: &Sender<Ready>) -> Result<()> {
        let mut pass = 0_usize;
        loop {
            wait_until(|| self.begun.load(Ordering::Acquire) > pass || self.is_stopped());
            if self.is_stopped() {
                return Ok(());
            }
            for (layer, step) in self.steps.iter().enumerate() {
                if !step.is_ahead(resource) {
                    continue;
                }
                if let Some(after) = self.stage.plan.after[layer] {
                    let after = after as usize;
                    wait_until(|| self.done.load(Ordering::Acquire) > after || self.is_stopped());
                }
                if self.is_stopped() {
                    return Ok(());
                }
                let mut piece = self.take(layer)?;
                let start = Instant::now();
                match step {
                    Step::Decoded(matrix) => self.decode(matrix, 0..matrix.rows(), &mut piece)?,
                    Step::Read(offset, _) => self.read(*offset, layer, &mut piece)?,
                    Step::Direct(_) | Step::Tiled(..) => {}
                }
                let ready = Ready { layer, piece, start, end: Instant::now() };
                if to.send(ready).is_err() {
                    return Ok(());
                }
            }
            pass = pass.saturating_add(1);
        }
    }

    /// Waits for a layer, which must be the next.
    pub(super) fn receive(
        &self,
        ahead: &[(Resource, Receiver<Ready>)],
        resource: Resource,
        layer: usize,
    ) -> Result<Ready> {
        let gone = || Error::Violation { fact: format!("nobody made layer {layer} ready") };
        let from = ahead.iter().find(|(kind, _)| *kind == resource).map(|(_, from)| from).ok_or_else(gone)?;
        let mut found = None;
        let mut looks = 0_u32;
        while found.is_none() {
            match from.try_recv() {
                Ok(ready) => found = Some(ready),
                Err(TryRecvError::Empty) if !self.barrier.has_failed() => {
                    looks = looks.saturating_add(1);
                    if looks > 1 << 12 { thread::yield_now() } else { std::hint::spin_loop() }
                }
                Err(_) => return Err(gone()),
            }
        }
        found.filter(|ready| ready.layer == layer).ok_or_else(gone)
    }
}
