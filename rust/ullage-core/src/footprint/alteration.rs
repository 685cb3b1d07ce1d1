//! A model and a workload, changed: what the search for remedies estimates again and again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::liveness::Liveness;
use super::policy::{Policy, Values, Variable};
use super::workload::Workload;
use super::{Footprint, activations, finish, kv_cache, liveness, state, values, weights};
use crate::codec::Scheme;
use crate::error::{Error, Result};
use crate::model::{Model, Role, Tensor};
use crate::units::Bytes;

/// Which weights a scheme is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All of them.
    All,
    /// Those of the largest component of several.
    Largest(&'static str),
}

/// What is changed of a model and its workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alteration {
    pub(super) workload: Workload,
    pub(super) scheme: Option<(Scheme, Scope)>,
    /// Without the towers that texts do not need.
    pub(super) is_text_only: bool,
    /// One stage of the pipeline in memory at a time.
    pub(super) is_sequenced: bool,
    /// Layers kept in the memory of the host.
    pub(super) offloaded: usize,
    /// Pieces that an image is worked off in.
    pub(super) tiles: u64,
}

impl Alteration {
    pub(super) const fn none(workload: Workload) -> Self {
        Self { workload, scheme: None, is_text_only: false, is_sequenced: false, offloaded: 0, tiles: 1 }
    }
}

/// A model under a policy, with what every estimate of it has in common.
pub(super) struct Estimator<'a> {
    pub(super) model: &'a Model,
    policy: &'a Policy,
    of_model: Values,
    /// Bytes of all weights as stored.
    whole: Bytes,
    /// What a change can be for: the tensors of one component and layer.
    groups: Vec<Group>,
    /// The group of each tensor.
    group_of: Vec<usize>,
    /// Bytes of each group by scheme.
    sizes: RefCell<HashMap<Option<Scheme>, Rc<[Bytes]>>>,
    /// Bytes of the weights by what is changed of them: a search asks for few, thousands of times.
    stored: RefCell<HashMap<WeightChange, Bytes>>,
    /// What the stored graph keeps, by context and batch.
    live: RefCell<HashMap<(u64, u64), Liveness>>,
}

/// The part of an alteration that the weights depend on.
type WeightChange = (Option<(Scheme, Scope)>, bool, bool, usize);

/// A component, where there are several, and the number of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Group {
    component: Option<(&'static str, Role)>,
    layer: Option<usize>,
}

impl Group {
    const fn is_tower(self) -> bool {
        matches!(self.component, Some((_, Role::Tower)))
    }

    /// The stage of a pipeline that it belongs to.
    fn stage(self) -> Option<&'static str> {
        self.component.filter(|(_, role)| *role == Role::Stage).map(|(name, _)| name)
    }

    fn is_kept(self, alteration: &Alteration) -> bool {
        if alteration.is_text_only && self.is_tower() {
            return false;
        }
        alteration.offloaded == 0 || self.layer.is_none_or(|layer| layer >= alteration.offloaded)
    }

    fn scheme(self, alteration: &Alteration) -> Option<Scheme> {
        match alteration.scheme? {
            (scheme, Scope::All) => Some(scheme),
            (scheme, Scope::Largest(component)) => {
                self.component.filter(|(name, _)| *name == component).map(|_| scheme)
            }
        }
    }
}

/// The groups of `tensors`, in order of appearance, and which of them each tensor is of.
fn grouped(tensors: &[Tensor]) -> (Vec<Group>, Vec<usize>) {
    let (mut groups, mut places) = (Vec::new(), HashMap::new());
    let group_of = tensors.iter().map(|tensor| {
        let group = Group { component: tensor.component(), layer: tensor.layer_index() };
        *places.entry(group).or_insert_with(|| {
            groups.push(group);
            groups.len().saturating_sub(1)
        })
    });
    let group_of = group_of.collect();
    (groups, group_of)
}

impl<'a> Estimator<'a> {
    pub(super) fn new(model: &'a Model, policy: &'a Policy) -> Self {
        let (groups, group_of) = grouped(&model.tensors);
        Self {
            model,
            policy,
            of_model: values::of_model(model),
            whole: model.tensor_bytes(),
            groups,
            group_of,
            sizes: RefCell::default(),
            stored: RefCell::default(),
            live: RefCell::default(),
        }
    }

    /// The footprint after `alteration`.
    ///
    /// # Errors
    /// [`Error::Overflow`] where a component passes 2^64 − 1 bytes.
    pub(super) fn estimate(&self, alteration: &Alteration) -> Result<Footprint> {
        let Alteration { workload, .. } = alteration;
        let stored = self.stored(alteration)?;
        let values = values::scaled(&self.of_model, self.whole, stored);
        let values = values::of_workload(values, workload);
        let weights =
            weights::weights(self.model, self.policy, &values, alteration.scheme.map(|(scheme, _)| scheme))?;
        let mut kv_cache = kv_cache::kv_cache(self.model, workload, &self.policy.kv_cache, &values)?;
        let mut state = state::state(self.model, workload, &self.policy.state)?;
        if let Some((kept, layers)) = self.kept(alteration) {
            kv_cache = kv_cache.scaled(kept, layers)?;
            state = state.scaled(kept, layers)?;
        }
        let values = values.with(Variable::KvCache, kv_cache.best.get());
        let live = self.live(workload)?;
        let values =
            values.with(Variable::GraphPeak, live.peak.get()).with(Variable::GraphArena, live.planned.get());
        let of_kind = |formulas, what, unsized_values| {
            activations::by_kind(formulas, self.model, workload, &values, what, unsized_values)
        };
        let mut activations = of_kind(&self.policy.activations, "the activations", live.unsized_values)?;
        if alteration.tiles > 1 {
            activations = activations.scaled(1, alteration.tiles)?;
        }
        let overhead = of_kind(&self.policy.overhead, "the overhead", 0)?;
        finish(weights, kv_cache, state, activations, overhead)
    }

    /// What the stored graph keeps at once; nothing without one.
    fn live(&self, workload: &Workload) -> Result<Liveness> {
        let Some(graph) = &self.model.graph else { return Ok(Liveness::default()) };
        let key = (workload.context, workload.batch);
        if let Some(&known) = self.live.borrow().get(&key) {
            return Ok(known);
        }
        let live = liveness::live(graph, workload.context, workload.batch)?;
        self.live.borrow_mut().insert(key, live);
        Ok(live)
    }

    /// Layers kept on the device, of all; `None` where none is offloaded.
    fn kept(&self, alteration: &Alteration) -> Option<(u64, u64)> {
        let architecture = self.model.architecture.as_ref().filter(|_| alteration.offloaded > 0)?;
        let layers = u64::try_from(architecture.layers.len()).ok().filter(|&layers| layers > 0)?;
        Some((layers.saturating_sub(u64::try_from(alteration.offloaded).ok()?), layers))
    }

    fn stored(&self, alteration: &Alteration) -> Result<Bytes> {
        let Alteration { scheme, is_text_only, is_sequenced, offloaded, .. } = *alteration;
        let change = (scheme, is_text_only, is_sequenced, offloaded);
        if let Some(&known) = self.stored.borrow().get(&change) {
            return Ok(known);
        }
        let stored = self.sum(alteration)?;
        self.stored.borrow_mut().insert(change, stored);
        Ok(stored)
    }

    fn sum(&self, alteration: &Alteration) -> Result<Bytes> {
        let overflow = || Error::Overflow { what: "the weights" };
        let is_alone = |group: &Group| alteration.is_sequenced && group.stage().is_some();
        let mut kept = Bytes::ZERO;
        for (place, group) in self.groups.iter().enumerate() {
            if group.is_kept(alteration) && !is_alone(group) {
                let size = self.sizes(group.scheme(alteration))?[place];
                kept = kept.checked_add(size).ok_or_else(overflow)?;
            }
        }
        let stages = if alteration.is_sequenced { self.stages(alteration)? } else { Vec::new() };
        let largest = stages.into_iter().map(|(_, size)| size).max().unwrap_or(Bytes::ZERO);
        kept.checked_add(largest).ok_or_else(overflow)
    }

    /// The stages of a pipeline, in order of appearance, with the bytes that `alteration` leaves of each.
    ///
    /// # Errors
    /// [`Error::Overflow`] where a part of one passes 2^64 − 1 bytes.
    pub(super) fn stages(&self, alteration: &Alteration) -> Result<Vec<(&'static str, Bytes)>> {
        let mut stages: Vec<(&'static str, Bytes)> = Vec::new();
        for (place, group) in self.groups.iter().enumerate().filter(|(_, group)| group.is_kept(alteration)) {
            let Some(name) = group.stage() else { continue };
            let size = self.sizes(group.scheme(alteration))?[place];
            match stages.iter_mut().find(|(stage, _)| *stage == name) {
                Some((_, sum)) => *sum = sum.saturating_add(size),
                None => stages.push((name, size)),
            }
        }
        Ok(stages)
    }

    /// Whether it has towers that texts do not need.
    pub(super) fn has_towers(&self) -> bool {
        self.groups.iter().any(|group| group.is_tower())
    }

    /// Bytes of each group in `scheme`, or as stored.
    fn sizes(&self, scheme: Option<Scheme>) -> Result<Rc<[Bytes]>> {
        if let Some(known) = self.sizes.borrow().get(&scheme) {
            return Ok(Rc::clone(known));
        }
        let mut sizes = vec![Bytes::ZERO; self.groups.len()];
        for (tensor, &group) in self.model.tensors.iter().zip(&self.group_of) {
            let size = scheme.map_or(Ok(tensor.bytes), |scheme| scheme.tensor_bytes(tensor))?;
            let sum = sizes[group].checked_add(size);
            sizes[group] = sum.ok_or(Error::Overflow { what: "the weights" })?;
        }
        let sizes: Rc<[Bytes]> = sizes.into();
        self.sizes.borrow_mut().insert(scheme, Rc::clone(&sizes));
        Ok(sizes)
    }
}
