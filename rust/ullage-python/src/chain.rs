//! Chains of pieces from models and from columns of figures.

use pyo3::prelude::*;
use ullage_core::Error;
use ullage_core::split::{self, Anatomy, Detail, Part, Piece, Shared};

use crate::error::{Failure, Outcome};
use crate::footprint::{policy_for, workload};
use crate::model::Model;
use crate::units::{ByteCount, WholeNumber};

/// A model as pieces that run one after another.
#[pyclass(frozen, module = "ullage")]
pub(crate) struct Chain {
    pub(crate) chain: split::Chain,
    parts: Vec<Part>,
}

/// A shared tensor: its bytes and the pieces that use it.
type Tied = (ByteCount, Vec<usize>);

#[pymethods]
impl Chain {
    #[new]
    #[pyo3(
        signature = (
            names, weights, *, state = None, traffic = None, outputs = None, flops = None, workspace = None,
            shared = Vec::new(), heads = WholeNumber::ZERO, kv_heads = WholeNumber::ONE,
        ),
        text_signature = "(names, weights, *, state=None, traffic=None, outputs=None, flops=None, workspace=None, \
                          shared=[], heads=0, kv_heads=1)"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are the keywords of one Python class")]
    fn new(
        names: Vec<String>,
        weights: Vec<ByteCount>,
        state: Option<Vec<ByteCount>>,
        traffic: Option<Vec<ByteCount>>,
        outputs: Option<Vec<ByteCount>>,
        flops: Option<Vec<ByteCount>>,
        workspace: Option<Vec<ByteCount>>,
        shared: Vec<Tied>,
        heads: WholeNumber,
        kv_heads: WholeNumber,
    ) -> Outcome<Self> {
        let mut pieces = plain(names, weights)?;
        let kv_heads = kv_heads.count("kv_heads")?;
        for piece in &mut pieces {
            piece.state_ways = kv_heads;
        }
        fill(&mut pieces, "state", state, |piece, count| piece.state = count.0)?;
        fill(&mut pieces, "traffic", traffic, |piece, count| {
            (piece.traffic, piece.moved) = (count.0, count.0);
        })?;
        fill(&mut pieces, "outputs", outputs, |piece, count| {
            (piece.output, piece.reductions) = (count.0, 2);
        })?;
        fill(&mut pieces, "flops", flops, |piece, count| piece.flops = count.0.get())?;
        fill(&mut pieces, "workspace", workspace, |piece, count| piece.workspace = count.0)?;
        let part = |piece: &Piece| Part { modules: vec![piece.name.clone()], ..Part::default() };
        let parts = pieces.iter().map(part).collect();
        let shared = shared.into_iter().map(|(bytes, pieces)| Shared { bytes: bytes.0, pieces }).collect();
        Ok(Self { chain: split::Chain::new(pieces, shared, heads.count("heads")?)?, parts })
    }

    #[staticmethod]
    #[pyo3(
        signature = (
            model, *, context = None, batch = WholeNumber::ONE, kv_dtype = "f16", micro_batch = None,
            flash_attention = true, runtime = None, experts_apart = false,
        ),
        text_signature = "(model, *, context=None, batch=1, kv_dtype='f16', micro_batch=None, \
                          flash_attention=True, runtime=None, experts_apart=False)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn of(
        py: Python<'_>,
        model: &Model,
        context: Option<WholeNumber>,
        batch: WholeNumber,
        kv_dtype: &str,
        micro_batch: Option<WholeNumber>,
        flash_attention: bool,
        runtime: Option<&str>,
        experts_apart: bool,
    ) -> Outcome<Self> {
        let model = &model.0;
        let workload = workload(model, context, batch, kv_dtype, micro_batch, flash_attention)?;
        let policy = policy_for(py, model, runtime)?;
        let detail = if experts_apart { Detail::Experts } else { Detail::Layers };
        let Anatomy { chain, parts } = py.detach(|| Anatomy::of(model, &workload, policy, detail))?;
        Ok(Self { chain, parts })
    }

    #[getter]
    fn names(&self) -> Vec<&str> {
        self.chain.pieces().iter().map(|piece| piece.name.as_str()).collect()
    }

    #[getter]
    fn weights(&self) -> Vec<u64> {
        self.column(|piece| piece.weights.get())
    }

    #[getter]
    fn state(&self) -> Vec<u64> {
        self.column(|piece| piece.state.get())
    }

    #[getter]
    fn traffic(&self) -> Vec<u64> {
        self.column(|piece| piece.traffic.get())
    }

    #[getter]
    fn outputs(&self) -> Vec<u64> {
        self.column(|piece| piece.output.get())
    }

    #[getter]
    fn flops(&self) -> Vec<u64> {
        self.column(|piece| piece.flops)
    }

    #[getter]
    fn workspace(&self) -> Vec<u64> {
        self.column(|piece| piece.workspace.get())
    }

    #[getter]
    fn shared(&self) -> Vec<(u64, Vec<usize>)> {
        self.chain.shared().iter().map(|tensor| (tensor.bytes.get(), tensor.pieces.clone())).collect()
    }

    #[getter]
    fn heads(&self) -> u64 {
        self.chain.heads()
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.chain.bytes().get()
    }

    #[getter]
    fn modules(&self) -> Vec<Vec<String>> {
        self.parts.iter().map(|part| part.modules.clone()).collect()
    }

    #[getter]
    fn layers(&self) -> Vec<Option<usize>> {
        self.parts.iter().map(|part| part.layer).collect()
    }

    #[getter]
    fn experts(&self) -> Vec<bool> {
        self.parts.iter().map(|part| part.is_experts).collect()
    }

    fn __len__(&self) -> usize {
        self.chain.pieces().len()
    }

    fn __repr__(&self) -> String {
        format!("Chain({} pieces, {})", self.chain.pieces().len(), self.chain.bytes())
    }
}

impl Chain {
    fn column(&self, figure: impl Fn(&Piece) -> u64) -> Vec<u64> {
        self.chain.pieces().iter().map(figure).collect()
    }
}

fn plain(names: Vec<String>, weights: Vec<ByteCount>) -> Outcome<Vec<Piece>> {
    if names.len() != weights.len() {
        return Err(wrong("weights", format!("{} for {} names", weights.len(), names.len())));
    }
    Ok(names.into_iter().zip(weights).map(|(name, weights)| Piece::plain(name, weights.0)).collect())
}

/// Sets a figure of every piece, where a column of it is given.
fn fill(
    pieces: &mut [Piece],
    name: &str,
    column: Option<Vec<ByteCount>>,
    set: impl Fn(&mut Piece, ByteCount),
) -> Outcome<()> {
    let Some(column) = column else { return Ok(()) };
    if column.len() != pieces.len() {
        return Err(wrong(name, format!("{} for {} names", column.len(), pieces.len())));
    }
    for (piece, count) in pieces.iter_mut().zip(column) {
        set(piece, count);
    }
    Ok(())
}

fn wrong(field: &str, reason: String) -> Failure {
    Error::Problem { field: field.to_owned(), reason }.into()
}
