//! Files written and read back, hostile ones, and the scratch space under many threads.
#![expect(clippy::arithmetic_side_effects, reason = "small numbers of the tests")]

mod hostile;
mod scratch;
mod written;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{WriteOptions, Written, write};
use crate::codec::Plan;
use crate::model::Model;

/// A safetensors file of `tensors`: name, dtype, shape, bytes.
fn file(folder: &Path, name: &str, tensors: &[(&str, &str, &[u64], Vec<u8>)]) -> PathBuf {
    let mut header = serde_json::Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (tensor, dtype, shape, bytes) in tensors {
        let start = data.len();
        data.extend(bytes);
        let row = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*tensor).to_owned(), row);
    }
    let text = serde_json::to_string(&header).unwrap();
    let path = folder.join(name);
    let whole = [&u64::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes(), &data].concat();
    std::fs::write(&path, whole).unwrap();
    path
}

/// Numbers that look like weights, the same for the same seed.
fn weights(count: usize, seed: u32) -> Vec<f32> {
    let mut state = u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        #[expect(clippy::cast_precision_loss, reason = "a random number")]
        let unit = (state >> 40) as f32 / 16_777_216.0;
        unit - 0.5
    };
    (0..count).map(|_| (next() + next() + next()) * 0.1).collect()
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A model of two matrices, a vector and positions.
fn model(folder: &Path) -> PathBuf {
    let positions: Vec<u8> = (0_i64..5).flat_map(i64::to_le_bytes).collect();
    file(
        folder,
        "model.safetensors",
        &[
            ("a.weight", "F32", &[24, 32], bytes_of(&weights(24 * 32, 1))),
            ("a.bias", "F32", &[24], bytes_of(&weights(24, 2))),
            ("b.weight", "F32", &[10, 24], bytes_of(&weights(240, 3))),
            ("positions", "I64", &[5], positions),
        ],
    )
}

/// The same compressed in `scheme`.
fn compressed(folder: &TempDir, scheme: &str) -> (Written, PathBuf) {
    let out = folder.path().join("out.safetensors");
    let source = Model::open(&model(folder.path())).unwrap();
    let plan = Plan::new(scheme.parse().unwrap());
    let options = WriteOptions { jobs: 3, is_forced: true, ..WriteOptions::default() };
    (write(&source, &plan, &out, &options).unwrap().unwrap(), out)
}
