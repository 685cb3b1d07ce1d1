//! State that does not grow with the context: of recurrent and convolutional layers.

use super::interval::{Interval, Origin};
use super::policy::StateLayout;
use super::workload::Workload;
use crate::error::{Error, Result};
use crate::model::{Model, State};
use crate::units::Bytes;

const WHAT: &str = "the state";

/// The most that a layer of unknown kind has been seen to keep for a sequence: published states of whole models reach
/// 600 MiB.
const UNKNOWN: Bytes = Bytes::new(600 << 20);

/// The state of `workload`, stored as `layout` says.
///
/// # Errors
/// [`Error::Overflow`] where it passes 2^64 − 1 bytes.
pub(super) fn state(model: &Model, workload: &Workload, layout: &StateLayout) -> Result<Interval> {
    let Some(architecture) = &model.architecture else {
        return Ok(Interval::exact(Bytes::ZERO, Origin::Assumed, "no architecture known: none counted"));
    };
    let states: Vec<State> = architecture.layers.iter().filter_map(|layer| layer.state).collect();
    let mut bounds = [Bytes::ZERO; 3];
    for (bound, (convolution, recurrent)) in
        bounds.iter_mut().zip(layout.convolution.into_iter().zip(layout.recurrent))
    {
        *bound =
            bytes(&states, workload.batch, convolution, recurrent).ok_or(Error::Overflow { what: WHAT })?;
    }
    let [lo, best, hi] = bounds;
    if architecture.is_decoder != Some(false) && architecture.layers.iter().any(|layer| !layer.is_known) {
        let most = Bytes::sum([hi, UNKNOWN], WHAT)?;
        return Ok(Interval::new(lo, best, most, Origin::Assumed, "layers of unknown kind: up to 600 MiB"));
    }
    if states.is_empty() {
        return Ok(Interval::exact(Bytes::ZERO, Origin::Config, "attention layers keep none"));
    }
    Ok(Interval::new(
        lo,
        best,
        hi,
        Origin::Config,
        "sum over layers of batch*(convolution + recurrent)*bytes",
    ))
}

/// The best figure of [`state`] for one layer.
///
/// # Errors
/// [`Error::Overflow`] where it passes 2^64 − 1 bytes.
pub(super) fn of_layer(kept: Option<State>, workload: &Workload, layout: &StateLayout) -> Result<Bytes> {
    let kept: Vec<State> = kept.into_iter().collect();
    let ([_, convolution, _], [_, recurrent, _]) = (layout.convolution, layout.recurrent);
    bytes(&kept, workload.batch, convolution, recurrent).ok_or(Error::Overflow { what: WHAT })
}

fn bytes(states: &[State], batch: u64, convolution: u64, recurrent: u64) -> Option<Bytes> {
    let layer = |state: &State| {
        let convolution = state.convolution.checked_mul(convolution)?;
        convolution.checked_add(state.recurrent.checked_mul(recurrent)?)
    };
    let sum = states.iter().try_fold(0_u64, |sum, state| sum.checked_add(layer(state)?))?;
    sum.checked_mul(batch).map(Bytes::new)
}
