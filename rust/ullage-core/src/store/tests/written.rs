//! What is written, and what is read of it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::tempdir;

use super::{bytes_of, compressed, file, model, weights};
use crate::codec::{Coded, Container, Plan, compress};
use crate::error::Error;
use crate::model::{Dtype, Model, safetensors};
use crate::store::{Array, Form, StoreOptions, WeightStore, WriteOptions, write};
use crate::units::Bytes;

const SCHEMES: [&str; 8] = [
    "dense:f16",
    "linear:8",
    "linear:4,affine",
    "linear:4,block=32",
    "palettized:4",
    "palettized:4,group=16",
    "palettized:6,group=5",
    "sparse:0.75",
];

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn what_is_predicted_is_written_and_decodes_as_the_codec_does() {
    for scheme in SCHEMES {
        let folder = tempdir().unwrap();
        let (written, out) = compressed(&folder, scheme);
        let plan = Plan::new(scheme.parse().unwrap());
        let source = Model::open(&model(folder.path())).unwrap();
        let predicted = compress(&source, &plan, Container::Raw).unwrap();
        for (row, tensor) in predicted.rows.iter().zip(&written.tensors) {
            assert_eq!((&row.name, row.scheme, row.bytes), (&tensor.name, tensor.scheme, tensor.bytes));
        }
        let length = std::fs::metadata(&out).unwrap().len();
        assert_eq!(length, written.file_bytes.get());
        assert_eq!(written.file_bytes.saturating_sub(written.header_bytes), predicted.compressed);

        let store = WeightStore::open(&out, &StoreOptions::default()).unwrap();
        let place = store.file().place("a.weight").unwrap();
        let found = store.get(place, Form::Native, Duration::ZERO).unwrap();
        let mut expected = vec![0.0; 24 * 32];
        let coded = Coded::encode(&weights(24 * 32, 1), &[24, 32], plan.scheme).unwrap();
        coded.decode_into(&mut expected).unwrap();
        assert_eq!(floats(found.bytes()), expected, "{scheme}");
        let bias = store.get(store.file().place("a.bias").unwrap(), Form::Native, Duration::ZERO).unwrap();
        assert!(scheme == "dense:f16" || matches!(bias, Array::Plain(_)));
    }
}

#[test]
fn lossless_files_give_back_every_bit() {
    let folder = tempdir().unwrap();
    let mut odd = weights(300 * 40, 5);
    odd[7] = f32::INFINITY;
    odd[8] = f32::from_bits(0x7FC0_1234);
    odd[9] = f32::from_bits(1);
    let singles = bytes_of(&odd);
    let brains: Vec<u8> = singles.chunks_exact(4).flat_map(|bytes| [bytes[2], bytes[3]]).collect();
    let source = file(
        folder.path(),
        "m.safetensors",
        &[
            ("b", "BF16", &[300, 40], brains.clone()),
            ("f", "F32", &[300, 40], singles.clone()),
            ("short", "F32", &[3], singles[..12].to_vec()),
            ("w.values", "F32", &[3], singles[..12].to_vec()),
        ],
    );
    for scheme in ["lossless", "lossless:fixed", "lossless:lz4"] {
        let out = folder.path().join(scheme);
        let plan = Plan::new(scheme.parse().unwrap());
        let written = write(&Model::open(&source).unwrap(), &plan, &out, &WriteOptions::default());
        let written = written.unwrap().unwrap();
        assert_eq!(std::fs::metadata(&out).unwrap().len(), written.file_bytes.get());
        assert!(scheme == "lossless:lz4" || written.tensors[0].bytes < written.tensors[0].dense);
        assert_eq!(written.tensors[2].scheme, None);
        let store = WeightStore::open(&out, &StoreOptions { threads: 2, ..StoreOptions::default() }).unwrap();
        let get = |name: &str, form| store.get(store.file().place(name).unwrap(), form, Duration::ZERO);
        assert_eq!(get("b", Form::Bf16).unwrap().bytes(), brains, "{scheme}");
        assert_eq!(get("f", Form::Native).unwrap().bytes(), singles, "{scheme}");
        assert_eq!(get("short", Form::Native).unwrap().bytes(), &singles[..12]);
        let wide: Vec<u8> = brains.chunks_exact(2).flat_map(|bytes| [0, 0, bytes[0], bytes[1]]).collect();
        assert_eq!(get("b", Form::Native).unwrap().bytes(), wide, "{scheme}");
    }
}

#[test]
fn products_are_those_of_the_decoded_matrix() {
    for scheme in ["linear:8", "palettized:4,group=16", "sparse:0.75", "dense:f16", "lossless"] {
        let folder = tempdir().unwrap();
        let (_, out) = compressed(&folder, scheme);
        let store = WeightStore::open(&out, &StoreOptions::default()).unwrap();
        let place = store.file().place("a.weight").unwrap();
        let matrix = floats(store.get(place, Form::F32, Duration::ZERO).unwrap().bytes());
        let (batch, x) = (11, weights(11 * 32, 9));
        let mut y = vec![0.0; batch * 24];
        store.multiply(place, &x, batch, &mut y, Duration::ZERO).unwrap();
        for (x, y) in x.chunks(32).zip(y.chunks(24)) {
            for (row, &found) in matrix.chunks(32).zip(y) {
                let expected: f32 = row.iter().zip(x).map(|(weight, x)| weight * x).sum();
                assert!((found - expected).abs() < 1e-4, "{scheme}: {found} {expected}");
            }
        }
        for (x, y) in [(&x[1..], 24 * 11), (&x[..], 24 * 10)] {
            let found = store.multiply(place, x, batch, &mut vec![0.0; y], Duration::ZERO);
            assert!(matches!(found, Err(Error::Argument { .. })));
        }
    }
}

#[test]
fn products_of_rounded_vectors_are_near_and_named_where_there_are_none() {
    let folder = tempdir().unwrap();
    let (_, out) = compressed(&folder, "linear:8");
    let store = WeightStore::open(&out, &StoreOptions::default()).unwrap();
    let place = store.file().place("a.weight").unwrap();
    let (batch, mut x) = (19, weights(19 * 32, 9));
    let (mut y, mut exact) = (vec![0.0; batch * 24], vec![0.0; batch * 24]);
    store.multiply_rounded(place, &x, batch, &mut y).unwrap();
    store.multiply(place, &x, batch, &mut exact, Duration::ZERO).unwrap();
    let off = y.iter().zip(&exact).map(|(found, exact)| (found - exact).abs()).fold(0.0, f32::max);
    let size = exact.iter().fold(0.0_f32, |most, exact| most.max(exact.abs()));
    assert!(0.0 < off && off < size * 0.02, "{off} of {size}");
    assert!(store.multiply_rounded(place, &x[1..], batch, &mut y).is_err());
    assert!(store.multiply_rounded(place, &x, batch, &mut y[1..]).is_err());
    x[18 * 32 + 3] = f32::NAN;
    let found = store.multiply_rounded(place, &x, batch, &mut y).unwrap_err().to_string();
    assert_eq!(found, "x: number 3 of vector 18 is NaN, not finite");
    for scheme in ["palettized:4,group=16", "sparse:0.75", "dense:f16", "lossless"] {
        let folder = tempdir().unwrap();
        let (_, out) = compressed(&folder, scheme);
        let store = WeightStore::open(&out, &StoreOptions::default()).unwrap();
        let place = store.file().place("a.weight").unwrap();
        let found = store.multiply_rounded(place, &weights(32, 9), 1, &mut [0.0; 24]);
        assert!(matches!(found, Err(Error::Argument { name: "activations", .. })), "{scheme} {found:?}");
    }
}

#[test]
fn a_tensor_kept_lies_at_a_multiple_of_its_numbers_and_is_a_view() {
    let folder = tempdir().unwrap();
    let (_, out) = compressed(&folder, "palettized:4");
    let header = safetensors::open(&out).unwrap();
    for tensor in header.tensors.iter().filter(|tensor| tensor.dtype != Dtype::U8) {
        let width = tensor.dtype.block().1 / 8;
        assert!(tensor.offset.is_multiple_of(width), "{} at {}", tensor.name, tensor.offset);
    }
    let store = WeightStore::open(&out, &StoreOptions::default()).unwrap();
    let place = store.file().place("positions").unwrap();
    let view = store.get(place, Form::Native, Duration::ZERO).unwrap();
    assert!(matches!(view, Array::Plain(_)));
    drop(store);
    assert_eq!(view.bytes(), (0_i64..5).flat_map(i64::to_le_bytes).collect::<Vec<_>>());
}

#[test]
fn other_readers_see_plain_tensors_and_a_store_reads_plain_files() {
    let folder = tempdir().unwrap();
    let (_, out) = compressed(&folder, "palettized:4");
    let names: Vec<String> =
        Model::open(&out).unwrap().tensors.into_iter().map(|tensor| tensor.name).collect();
    assert_eq!(
        names,
        ["positions", "a.bias", "a.weight.indices", "a.weight.tables", "b.weight.indices", "b.weight.tables"]
    );
    let store =
        WeightStore::open(&folder.path().join("model.safetensors"), &StoreOptions::default()).unwrap();
    assert_eq!(store.file().entries().len(), 4);
    let place = store.file().place("b.weight").unwrap();
    let view = store.get(place, Form::F32, Duration::ZERO).unwrap();
    assert_eq!(view.bytes(), bytes_of(&weights(240, 3)));
}

#[test]
fn names_of_pieces_do_not_meet_names_of_tensors() {
    let folder = tempdir().unwrap();
    let values = bytes_of(&weights(64, 1));
    let source = file(
        folder.path(),
        "m.safetensors",
        &[("w", "F32", &[8, 8], values.clone()), ("w.scales", "F32", &[64], values.clone())],
    );
    let out = folder.path().join("out");
    let plan = Plan::new("linear:8".parse().unwrap());
    write(&Model::open(&source).unwrap(), &plan, &out, &WriteOptions::default()).unwrap().unwrap();
    let store = WeightStore::open(&out, &StoreOptions::default()).unwrap();
    let kept = store.get(store.file().place("w.scales").unwrap(), Form::Native, Duration::ZERO).unwrap();
    assert_eq!(kept.bytes(), values);
    assert!(store.get(store.file().place("w").unwrap(), Form::Native, Duration::ZERO).is_ok());
}

#[test]
fn forms_are_what_was_asked_for() {
    let folder = tempdir().unwrap();
    let halves: Vec<u8> =
        [0x3C00_u16, 0xC000, 0x0001, 0x7BFF].iter().flat_map(|half| half.to_le_bytes()).collect();
    let source = file(
        folder.path(),
        "m.safetensors",
        &[("h", "F16", &[2, 2], halves.clone()), ("i", "I32", &[1], vec![1, 0, 0, 0])],
    );
    let store = WeightStore::open(&source, &StoreOptions::default()).unwrap();
    let get = |name: &str, form| store.get(store.file().place(name).unwrap(), form, Duration::ZERO);
    assert_eq!(get("h", Form::F16).unwrap().bytes(), halves);
    assert_eq!(floats(get("h", Form::F32).unwrap().bytes()), [1.0, -2.0, 2.0_f32.powi(-24), 65504.0]);
    assert!(matches!(get("i", Form::F32), Err(Error::Argument { name: "dtype", .. })));
    assert_eq!(get("i", Form::Native).unwrap().bytes(), [1, 0, 0, 0]);
}

#[test]
fn nothing_is_overwritten_and_nothing_half_done_remains() {
    let folder = tempdir().unwrap();
    let path = model(folder.path());
    let source = Model::open(&path).unwrap();
    let plan = Plan::new("linear:8".parse().unwrap());
    let forced = WriteOptions { is_forced: true, ..WriteOptions::default() };
    let before = std::fs::read(&path).unwrap();
    let files = || {
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let refused = |out: &std::path::Path, options: &WriteOptions<'_>, plan: &Plan, source: &Model| {
        let error = write(source, plan, out, options).unwrap_err();
        assert!(
            matches!(error, Error::Argument { .. } | Error::ModelFile { .. } | Error::Io { .. }),
            "{error}"
        );
        error.to_string()
    };
    assert!(refused(&path, &forced, &plan, &source).contains("a file of the model"));
    assert!(refused(folder.path(), &forced, &plan, &source).contains("directory"));
    let out = folder.path().join("out.safetensors");
    assert!(refused(&folder.path().join("no/such/out"), &forced, &plan, &source).contains("no/such/out"));
    let interrupted = WriteOptions { interrupted: Some(&|| true), ..WriteOptions::default() };
    // A short file may be done before anybody looks; either way it is whole or absent.
    if write(&source, &plan, &out, &interrupted).unwrap().is_some() {
        std::fs::remove_file(&out).unwrap();
    }
    assert_eq!(files(), ["model.safetensors"]);
    write(&source, &plan, &out, &WriteOptions::default()).unwrap().unwrap();
    assert!(refused(&out, &WriteOptions::default(), &plan, &source).contains("lies there already"));
    let compressed = Model::open(&out).unwrap();
    let other = folder.path().join("other");
    assert!(refused(&other, &forced, &plan, &compressed).contains("compressed already"));
    let sized = Model::of_size("x", Bytes::new(100)).unwrap();
    assert!(refused(&other, &forced, &plan, &sized).contains("safetensors, PyTorch and GGUF"));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(files(), ["model.safetensors", "out.safetensors"]);
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(refused(&link, &forced, &plan, &source).contains("a file of the model"));
        std::fs::remove_file(&link).unwrap();
        std::fs::hard_link(&path, &link).unwrap();
        assert!(refused(&link, &forced, &plan, &source).contains("a file of the model"));
    }
}

#[test]
fn a_number_that_is_none_names_its_tensor() {
    let folder = tempdir().unwrap();
    let values = bytes_of(&[1.0, f32::NAN, 0.0, 0.0]);
    let source = file(folder.path(), "m.safetensors", &[("bad", "F32", &[2, 2], values)]);
    let plan = Plan::new("linear:4".parse().unwrap());
    let out = folder.path().join("out");
    let error = write(&Model::open(&source).unwrap(), &plan, &out, &WriteOptions::default()).unwrap_err();
    match error {
        Error::ModelFile { field: Some(field), path, reason, .. } => {
            assert_eq!((field.as_str(), path), ("bad", source));
            assert!(reason.contains("element 1"), "{reason}");
        }
        other => panic!("{other}"),
    }
    assert!(!out.exists());
}

#[test]
fn progress_counts_every_tensor_and_ends_at_all() {
    let folder = tempdir().unwrap();
    let source = Model::open(&model(folder.path())).unwrap();
    let plan = Plan::new("palettized:4".parse().unwrap());
    let (seen, last) = (Cell::new(0_usize), RefCell::new(None));
    let tell = |progress: crate::store::Progress| {
        assert!(progress.tensors >= seen.get() && progress.bytes <= progress.of_bytes);
        seen.set(progress.tensors);
        *last.borrow_mut() = Some(progress);
    };
    let options = WriteOptions { jobs: 2, progress: Some(&tell), ..WriteOptions::default() };
    write(&source, &plan, &folder.path().join("out"), &options).unwrap().unwrap();
    let last = last.into_inner().unwrap();
    assert_eq!((last.tensors, last.of_tensors), (4, 4));
    assert_eq!((last.bytes, last.of_bytes), (source.tensor_bytes(), source.tensor_bytes()));
}

#[test]
fn any_number_of_jobs_writes_the_same_file() {
    let folder = tempdir().unwrap();
    let source = Model::open(&model(folder.path())).unwrap();
    let plan = Plan::new("palettized:3,group=4".parse().unwrap());
    let files: Vec<Vec<u8>> = [0, 1, 2, 7]
        .into_iter()
        .map(|jobs| {
            let out = folder.path().join(format!("out{jobs}"));
            write(&source, &plan, &out, &WriteOptions { jobs, ..WriteOptions::default() }).unwrap().unwrap();
            std::fs::read(out).unwrap()
        })
        .collect();
    assert!(files.windows(2).all(|pair| pair[0] == pair[1]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_shape_comes_back(
        rows in 0_u64..9, columns in 0_u64..40, scheme in proptest::sample::select(&SCHEMES[..]), seed: u32
    ) {
        let folder = tempdir().unwrap();
        let count = usize::try_from(rows * columns).unwrap();
        let values = weights(count, seed);
        let source = file(folder.path(), "m.safetensors", &[("w", "F32", &[rows, columns], bytes_of(&values))]);
        let out = folder.path().join("out");
        let plan = Plan::new(scheme.parse().unwrap());
        write(&Model::open(&source).unwrap(), &plan, &out, &WriteOptions::default()).unwrap().unwrap();
        let store = WeightStore::open(&out, &StoreOptions::default()).unwrap();
        let place = store.file().place("w").unwrap();
        let found = floats(store.get(place, Form::Native, Duration::ZERO).unwrap().bytes());
        let mut expected = values.clone();
        if store.file().entries()[place].scheme.is_some() {
            let coded = Coded::encode(&values, &[rows, columns], plan.scheme).unwrap();
            coded.decode_into(&mut expected).unwrap();
        }
        prop_assert_eq!(found, expected);
    }
}
