//! A tensor of a model encoded, and compared with what it was.

use super::buffer::Buffer;
use super::given::Given;
use super::job::{Fate, Job};
use super::numbers;
use super::source::Source;
use crate::codec::{Choices, Coded, Distortion, Lossless, Packed, Piece, Reading, Scheme};
use crate::error::{Error, Result};
use crate::model::Tensor;

/// A tensor ready to be written.
pub(super) struct Made {
    /// What is written; nothing where the source's bytes are.
    pub(super) coded: Option<Encoded>,
    pub(super) distortion: Option<Distortion>,
}

/// A tensor's pieces.
pub(super) enum Encoded {
    Numbers(Coded),
    Exact(Packed),
}

impl Encoded {
    pub(super) fn parts(&self) -> &[(Piece, Vec<u8>)] {
        match self {
            Self::Numbers(coded) => coded.parts(),
            Self::Exact(packed) => packed.parts(),
        }
    }
}

/// Encodes what `job` is about.
///
/// # Errors
/// [`Error::ModelFile`] naming the tensor that cannot be encoded.
pub(super) fn encode(
    source: &Source<'_>,
    job: &Job,
    choices: Choices,
    given: Option<&Given>,
) -> Result<Made> {
    let (Fate::Encoded(scheme), Some(tensor)) = (job.fate, source.tensor(job.place)) else {
        return Ok(Made { coded: None, distortion: None });
    };
    let bytes = source.bytes(job.place)?;
    let inputs = match given.filter(|_| scheme.takes_inputs()) {
        Some(given) => given.of(&tensor.name)?,
        None => None,
    };
    let made = match scheme {
        Scheme::Lossless(lossless) => exactly(&bytes, tensor, lossless),
        _ => nearly(&bytes, tensor, job, &|values| {
            Coded::encode_for(values, &tensor.shape, scheme, choices, inputs.as_ref())
        }),
    };
    made.map_err(|error| source.blame(job.place, error))
}

fn nearly(
    bytes: &[u8],
    tensor: &Tensor,
    job: &Job,
    encode: &dyn Fn(&[f32]) -> Result<Coded>,
) -> Result<Made> {
    let values = numbers::read(bytes, tensor.dtype, &tensor.shape)?;
    let coded = encode(&values)?;
    job.check(&coded)?;
    let mut decoded = numbers::zeros(tensor.elements())?;
    coded.decode_into(&mut decoded)?;
    let distortion = Distortion::of(&values, &decoded)?;
    Ok(Made { coded: Some(Encoded::Numbers(coded)), distortion: Some(distortion) })
}

/// What would not be smaller stays as it is; what comes back otherwise than it was is an error of the codec.
fn exactly(bytes: &[u8], tensor: &Tensor, scheme: Lossless) -> Result<Made> {
    let packed = Packed::encode(bytes, tensor.dtype, &tensor.shape, scheme, 1)?;
    if packed.bytes()? >= tensor.bytes {
        return Ok(Made { coded: None, distortion: None });
    }
    let reader = packed.reader()?;
    let mut again = Buffer::new(bytes.len())?;
    reader.read(0..reader.elements(), again.bytes_mut(), Reading::of(bytes.len(), 1))?;
    if again.bytes() != bytes {
        return Err(Error::Damaged {
            piece: "pieces",
            reason: "they do not give back what was encoded".to_owned(),
        });
    }
    let distortion = Distortion { max: 0.0, rms: 0.0, snr_db: f64::INFINITY };
    Ok(Made { coded: Some(Encoded::Exact(packed)), distortion: Some(distortion) })
}
