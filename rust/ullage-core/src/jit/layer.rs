//! One weight matrix as it is stored and used.

use crate::codec::{Compressed, Dense, Gguf, Scheme, Weight};
use crate::error::{Error, Result};
use crate::model::Dtype;
use crate::units::Bytes;

const OVERFLOW: Error = Error::Overflow { what: "the layer" };

/// One weight that inputs are multiplied by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Its dimensions, output channels first.
    pub shape: Vec<u64>,
    /// How it is stored.
    pub scheme: Scheme,
    /// Bytes of its elements as 16-bit numbers.
    pub dense: Bytes,
    /// Bytes as stored.
    pub compressed: Bytes,
    /// Floating-point operations for one token or image: twice its elements, times the positions of a convolution.
    pub flops_per_token: u64,
    /// Bytes of activations read and written for one token or image.
    pub activations: Bytes,
    /// Whether it is a depthwise convolution, which many devices compute at a rate of its own.
    pub is_depthwise: bool,
}

impl Layer {
    /// A layer of `shape` stored in `scheme`, used once for each token, with 16-bit activations.
    ///
    /// Where the scheme leaves such a weight as it is, it is stored as 16-bit numbers; where blocks do not divide its
    /// rows, in those that take their place.
    ///
    /// # Errors
    /// [`Error::Overflow`] for a shape beyond 2^64 − 1 bytes or operations, [`Error::Argument`] for an empty one.
    pub fn new(name: &str, shape: &[u64], scheme: Scheme) -> Result<Self> {
        let elements = product(shape)?;
        if elements == 0 {
            let reason = format!("{name:?} has no elements: its shape is {shape:?}");
            return Err(Error::Argument { name: "layers", reason });
        }
        let dense = Bytes::new(elements).checked_mul(2).ok_or(OVERFLOW)?;
        let stored = scheme.compressed_bytes(shape, Dtype::F16)?;
        let scheme = stored_as(scheme, shape)?;
        let (scheme, compressed) = stored.map_or((Scheme::F16, dense), |bytes| (scheme, bytes));
        let rows = shape[0];
        let row = product(&shape[1..])?;
        let activations = rows.checked_add(row).and_then(|count| Bytes::new(count).checked_mul(2));
        Ok(Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            scheme,
            dense,
            compressed,
            flops_per_token: elements.checked_mul(2).ok_or(OVERFLOW)?,
            activations: activations.ok_or(OVERFLOW)?,
            is_depthwise: false,
        })
    }

    /// The matrices of a compressed model, in its order; vectors and empty tensors are no layers.
    ///
    /// # Errors
    /// [`Error::Overflow`] beyond 2^64 − 1, [`Error::Argument`] where there is no matrix.
    pub fn of_compressed(compressed: &Compressed) -> Result<Vec<Self>> {
        let matrices = compressed.rows.iter().filter(|row| row.shape.len() > 1 && !row.shape.contains(&0));
        let layers: Vec<Self> = matrices
            .map(|row| {
                let scheme = row.scheme.unwrap_or(Scheme::F16);
                let layer = Self::new(&row.name, &row.shape, scheme)?;
                let stored = if row.scheme.is_some() { row.bytes } else { layer.dense };
                Ok(Self { compressed: stored, ..layer })
            })
            .collect::<Result<_>>()?;
        if layers.is_empty() {
            let reason = "it has no matrices that a pass would go through".to_owned();
            return Err(Error::Argument { name: "layers", reason });
        }
        Ok(layers)
    }

    /// Number of weights.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.dense.get() >> 1
    }

    /// Weights that one output is a sum over.
    #[must_use]
    pub fn row(&self) -> u64 {
        self.elements().checked_div(self.rows()).unwrap_or(1)
    }

    /// Outputs.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1).max(1)
    }

    /// Whether it is stored as plain numbers, so that no policy decodes it.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        matches!(self.scheme, Scheme::Dense(_))
    }

    /// Whether it is stored as the 16-bit numbers that decoding makes.
    #[must_use]
    pub fn is_half(&self) -> bool {
        self.scheme == Scheme::Dense(Dense::F16)
    }

    /// Whether it differs from another in nothing but its name and in how its rows are shaped.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        let fields = |layer: &Self| {
            let bytes = (layer.dense, layer.compressed, layer.activations);
            (layer.scheme, layer.rows(), bytes, layer.flops_per_token, layer.is_depthwise)
        };
        fields(self) == fields(other)
    }

    /// # Errors
    /// [`Error::Argument`] for a layer whose fields contradict one another.
    pub(super) fn check(&self) -> Result<()> {
        let fault = if self.shape.is_empty() || product(&self.shape)? == 0 {
            "has no elements"
        } else if self.elements() != product(&self.shape)? {
            "has other dense bytes than two for each element of its shape"
        } else {
            return Ok(());
        };
        Err(Error::Argument { name: "layers", reason: format!("{:?} {fault}", self.name) })
    }
}

/// The scheme whose kernels go through the weight: that of the blocks which it has.
fn stored_as(scheme: Scheme, shape: &[u64]) -> Result<Scheme> {
    let Scheme::Gguf(blocks) = scheme else { return Ok(scheme) };
    let stored = blocks.stored(&Weight::new(shape)?).and_then(Gguf::of);
    Ok(stored.map_or(scheme, Scheme::Gguf))
}

fn product(shape: &[u64]) -> Result<u64> {
    shape.iter().try_fold(1_u64, |all, &size| all.checked_mul(size)).ok_or(OVERFLOW)
}
