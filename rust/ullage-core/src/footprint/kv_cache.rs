//! Keys and values of the context.

use super::interval::{Interval, Origin};
use super::policy::{KvLayout, LatentForm, Values, Variable};
use super::workload::Workload;
use crate::error::{Error, Result};
use crate::model::{Architecture, Attention, Cache, Layer, Model, Span};
use crate::units::Bytes;

const WHAT: &str = "the KV cache";

/// The key-value cache of `workload`, laid out as `layout` says.
///
/// # Errors
/// [`Error::Overflow`] where it passes 2^64 − 1 bytes.
pub(super) fn kv_cache(
    model: &Model,
    workload: &Workload,
    layout: &KvLayout,
    values: &Values,
) -> Result<Interval> {
    let Some(architecture) = &model.architecture else {
        return Ok(Interval::exact(Bytes::ZERO, Origin::Assumed, "no architecture known: none counted"));
    };
    let counter = Counter { architecture, workload, layout, values };
    match architecture.is_decoder {
        Some(false) if !is_given_one(architecture, layout) => {
            Ok(Interval::exact(Bytes::ZERO, Origin::Config, "an encoder keeps none"))
        }
        Some(_) => counter.interval(),
        None => {
            let as_decoder = counter.interval()?;
            Ok(Interval { lo: Bytes::ZERO, best: Bytes::ZERO, origin: Origin::Assumed, ..as_decoder })
        }
    }
}

fn is_given_one(architecture: &Architecture, layout: &KvLayout) -> bool {
    architecture.name.as_ref().is_some_and(|name| layout.encoders.contains(name))
}

/// The best figure of [`kv_cache`], layer by layer.
///
/// # Errors
/// [`Error::Overflow`] where a layer passes 2^64 − 1 bytes.
pub(super) fn by_layer(
    architecture: &Architecture,
    workload: &Workload,
    layout: &KvLayout,
    values: &Values,
) -> Result<Vec<Bytes>> {
    let is_counted = match architecture.is_decoder {
        Some(is_decoder) => is_decoder || is_given_one(architecture, layout),
        None => false,
    };
    let counter = Counter { architecture, workload, layout, values };
    let form = if layout.latent == LatentForm::Any { LatentForm::Latent } else { layout.latent };
    let bytes = |layer: &Layer| {
        if !is_counted || !layer.is_known {
            return Ok(Bytes::ZERO);
        }
        let elements = counter.layer(layer, form)?.and_then(|elements| elements.checked_mul(workload.batch));
        let elements = elements.ok_or(Error::Overflow { what: WHAT })?;
        Ok(Bytes::new(elements).scaled(workload.kv_dtype.bytes_per_32(), 32, WHAT)?)
    };
    architecture.layers.iter().map(bytes).collect()
}

struct Counter<'a> {
    architecture: &'a Architecture,
    workload: &'a Workload,
    layout: &'a KvLayout,
    values: &'a Values,
}

impl Counter<'_> {
    fn interval(&self) -> Result<Interval> {
        let (least_form, most_form) = match self.layout.latent {
            LatentForm::Any => (LatentForm::Latent, LatentForm::Expanded),
            form => (form, form),
        };
        let least = self.total(least_form, |layer| layer.is_known)?;
        let most = self.total(most_form, |_| true)?;
        if least == most {
            return Ok(Interval::exact(most, Origin::Config, self.formula(most_form)));
        }
        let is_known = self.architecture.layers.iter().all(|layer| layer.is_known);
        if is_known {
            let formula = format!("{} (hi: expanded heads)", self.formula(least_form));
            return Ok(Interval::new(least, least, most, Origin::Config, formula));
        }
        Ok(Interval::new(
            least,
            least,
            most,
            Origin::Assumed,
            "layers known ... every layer of unknown kind too",
        ))
    }

    /// The product that stands behind the figure, for the reader.
    fn formula(&self, form: LatentForm) -> &'static str {
        let caches = || self.architecture.layers.iter().filter_map(|layer| layer.cache);
        let is_latent = caches().any(|cache| matches!(cache.attention, Attention::Latent { .. }));
        match (is_latent, form) {
            (true, LatentForm::Latent) => "sum over layers of batch*cells*(latent + rotary key)*bytes",
            (true, LatentForm::LatentAndValue) => {
                "sum over layers of batch*cells*(2*latent + rotary key)*bytes"
            }
            _ => "sum over layers of batch*cells*kv_heads*(key + value)*bytes",
        }
    }

    fn total(&self, form: LatentForm, counts: fn(&Layer) -> bool) -> Result<Bytes> {
        let overflow = Error::Overflow { what: WHAT };
        let mut sum: u64 = 0;
        for layer in self.architecture.layers.iter().filter(|layer| counts(layer)) {
            let of_layer = self.layer(layer, form)?;
            let Some(total) = of_layer.and_then(|elements| sum.checked_add(elements)) else {
                return Err(overflow);
            };
            sum = total;
        }
        let Some(elements) = sum.checked_mul(self.workload.batch) else { return Err(overflow) };
        Ok(Bytes::new(elements).scaled(self.workload.kv_dtype.bytes_per_32(), 32, WHAT)?)
    }

    /// Elements that one layer keeps of one sequence; `None` beyond 2^64 − 1.
    fn layer(&self, layer: &Layer, form: LatentForm) -> Result<Option<u64>> {
        let index = match layer.index {
            0 => Some(0),
            elements => elements.checked_mul(self.layout.cells.evaluate(self.values, WHAT)?.get()),
        };
        let Some(cache) = layer.cache.or_else(|| self.of_encoder()) else { return Ok(index) };
        let cells = self.cells(cache)?;
        let elements =
            elements(cache.attention, form).and_then(|elements| elements.checked_add(self.padding(cache)));
        let kept = elements.and_then(|elements| elements.checked_mul(cells));
        Ok(kept.and_then(|kept| kept.checked_add(index?)))
    }

    /// What a layer of an encoder is given where the runtime gives it anything: keys and values of every head.
    fn of_encoder(&self) -> Option<Cache> {
        let Architecture { is_decoder, hidden, .. } = *self.architecture;
        let attention = Attention::Heads { kv_heads: 1, key: hidden, value: hidden };
        (is_decoder == Some(false)).then_some(Cache { span: Span::All, attention })
    }

    /// Elements by which the values of `cache` are widened to those of the widest layer.
    fn padding(&self, cache: Cache) -> u64 {
        if !self.layout.pads_values || self.workload.flash_attention {
            return 0;
        }
        let caches = self.architecture.layers.iter().filter_map(|layer| layer.cache);
        let widest = caches.map(|cache| values_of(cache.attention)).max().unwrap_or(0);
        match cache.attention {
            Attention::Heads { .. } => widest.saturating_sub(values_of(cache.attention)),
            Attention::Latent { .. } => 0,
        }
    }

    fn cells(&self, cache: Cache) -> Result<u64> {
        let of = |window| self.values.clone().with(Variable::Window, window);
        let cells = match cache.span {
            Span::All => self.layout.cells.evaluate(self.values, WHAT)?,
            Span::Window(window) => self.layout.window.evaluate(&of(window), WHAT)?,
            Span::Chunk(chunk) => self.layout.chunk.evaluate(&of(chunk), WHAT)?,
            Span::Fixed(tokens) => Bytes::new(tokens),
        };
        Ok(cells.get())
    }
}

/// Elements of one token.
fn elements(attention: Attention, form: LatentForm) -> Option<u64> {
    match (attention, form) {
        (Attention::Latent { rank, rope, .. }, LatentForm::Latent) => rank.checked_add(rope),
        (Attention::Latent { rank, rope, .. }, LatentForm::LatentAndValue) => {
            rank.checked_mul(2)?.checked_add(rope)
        }
        (
            Attention::Heads { kv_heads: heads, key, value } | Attention::Latent { heads, key, value, .. },
            _,
        ) => key.checked_add(value)?.checked_mul(heads),
    }
}

/// Elements of one token's values; latent attention keeps none of its own.
const fn values_of(attention: Attention) -> u64 {
    match attention {
        Attention::Heads { kv_heads, value, .. } => kv_heads.saturating_mul(value),
        Attention::Latent { .. } => 0,
    }
}
