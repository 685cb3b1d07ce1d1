//! Numbers of any format as 32-bit ones.

use crate::codec::{Scheme, View};
use crate::error::{Error, Result};
use crate::model::{Dtype, Kind};
use crate::units::Bytes;

/// The scheme that stores numbers of `dtype` as they are; `None` for what is not read as numbers: integers, and formats
/// that mean nothing without a scale beside them.
pub(super) fn own_scheme(dtype: Dtype) -> Option<Scheme> {
    let kind = match dtype.kind() {
        Kind::Real => "dense",
        Kind::Block => "gguf",
        Kind::Integer | Kind::Other => return None,
    };
    format!("{kind}:{}", dtype.to_string().to_ascii_lowercase()).parse().ok()
}

/// The numbers of a tensor of `dtype` and `shape` that `bytes` hold.
///
/// # Errors
/// [`Error::Argument`] for a format that is not read as numbers, [`Error::Damaged`] for another number of bytes.
pub(super) fn read(bytes: &[u8], dtype: Dtype, shape: &[u64]) -> Result<Vec<f32>> {
    let Some(scheme) = own_scheme(dtype) else {
        let reason = format!("{dtype} is not read as numbers");
        return Err(Error::Argument { name: "dtype", reason });
    };
    let parts = [bytes];
    let view = View::new(scheme, shape, &parts)?;
    let mut values = zeros(view.weight().elements())?;
    view.decode_into(&mut values)?;
    Ok(values)
}

/// So many numbers.
pub(super) fn zeros(count: u64) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    let size = usize::try_from(count).map_err(|_| too_many(count))?;
    values.try_reserve_exact(size).map_err(|_| too_many(count))?;
    values.resize(size, 0.0);
    Ok(values)
}

fn too_many(count: u64) -> Error {
    let bytes = Bytes::new(count.saturating_mul(4));
    Error::Argument { name: "memory", reason: format!("the system has no {bytes} for one tensor's numbers") }
}
