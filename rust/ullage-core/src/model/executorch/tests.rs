#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use super::super::flat::tests::{Cell, Item, table, tables, text, write};
use super::super::graph::Graph;
use super::super::wire::tests::source;
use super::super::{Format, Model, hostile};
use super::*;
use crate::units::Bytes;

type Fields = Vec<(u16, Cell)>;

fn longs(list: &[u64]) -> Cell {
    Cell::To(Item::Longs(list.to_vec()))
}

/// An `EValue` that is a tensor.
fn value(kind: u8, sizes: &[i32], index: u32, more: Fields) -> Fields {
    let sizes = Cell::To(Item::Integers(sizes.to_vec()));
    let tensor = [vec![(0, Cell::Byte(kind)), (2, sizes), (5, Cell::Word(index))], more].concat();
    vec![(0, Cell::Byte(TENSOR)), (1, table(tensor))]
}

const TENSOR: u8 = 5;

fn called(name: &str) -> Fields {
    vec![(9, table(vec![(1, text(name))]))]
}

fn plan(name: &str, values: Vec<Fields>, arenas: &[u64], delegates: Vec<Fields>) -> Fields {
    vec![(0, text(name)), (2, tables(values)), (7, tables(delegates)), (8, longs(arenas))]
}

/// A delegate whose data are in segment `index`.
fn delegate(backend: &str, index: u32) -> Fields {
    vec![(0, text(backend)), (1, table(vec![(0, Cell::Byte(1)), (1, Cell::Word(index))]))]
}

fn segment(offset: u64, size: u64) -> Fields {
    vec![(0, Cell::Long(offset)), (1, Cell::Long(size))]
}

/// A program with `behind` bytes of segments, which its header announces.
fn program(root: Fields, behind: usize) -> Vec<u8> {
    let mut bytes = write(PROGRAM, &[0; 32], root);
    let flat_end = u64::try_from(bytes.len()).unwrap();
    let base = flat_end.next_multiple_of(16);
    let header = [&b"eh00"[..], &32_u32.to_le_bytes(), &flat_end.to_le_bytes(), &base.to_le_bytes()].concat();
    bytes[8..32].copy_from_slice(&header);
    bytes.resize(usize::try_from(base).unwrap() + behind, 0);
    bytes
}

/// Two methods that share constants and a delegate, with a mutable tensor and named data.
fn shared() -> Vec<u8> {
    let weights = || value(6, &[2, 3], 1, called("linear.weight"));
    let half = || value(5, &[8], 2, Vec::new());
    let arena = value(6, &[100], 0, vec![(6, table(Vec::new()))]);
    let state = value(6, &[4], 1, [vec![(6, table(Vec::new()))], called("state")].concat());
    let constants = table(vec![(0, Cell::Word(0)), (1, longs(&[0, 0, 32]))]);
    program(
        vec![
            (
                1,
                tables(vec![
                    plan(
                        "prefill",
                        vec![weights(), half(), arena],
                        &[0, 1000, 24],
                        vec![delegate("XnnpackBackend", 1)],
                    ),
                    plan("decode", vec![weights(), state], &[0, 500], vec![delegate("XnnpackBackend", 1)]),
                ]),
            ),
            (4, tables(vec![segment(0, 48), segment(48, 100), segment(160, 16), segment(176, 7)])),
            (5, constants),
            (6, tables(vec![vec![(0, Cell::Word(2)), (1, longs(&[0, 0]))]])),
            (7, tables(vec![vec![(0, text("key")), (1, Cell::Word(3))]])),
        ],
        183,
    )
}

fn read_bytes(bytes: &[u8]) -> Result<Contents, String> {
    read(&mut source(bytes)).map_err(|failure| failure.at("x.pte".as_ref()).to_string())
}

fn rows(contents: &Contents) -> Vec<(&str, u64, u64)> {
    let row = |tensor: &'_ Tensor| (tensor.bytes.get(), tensor.parameters);
    contents.tensors.iter().map(|tensor| (tensor.name.as_str(), row(tensor).0, row(tensor).1)).collect()
}

#[test]
fn what_methods_share_is_counted_once() {
    let contents = read_bytes(&shared()).unwrap();
    assert_eq!(
        rows(&contents),
        [
            ("linear.weight", 24, 6),
            ("constant.2", 16, 8),
            ("delegate.XnnpackBackend.1", 100, 0),
            ("state", 16, 4),
            ("key", 7, 0)
        ]
    );
    let planned = Some(Bytes::new(1024));
    assert_eq!(contents.graph, Some(Graph { planned, ..Graph::default() }));
    assert!(
        contents.notes.iter().any(|note| note.contains("\"prefill\", the largest of 2")),
        "{:?}",
        contents.notes
    );
    assert!(contents.notes.iter().any(|note| note.contains("XnnpackBackend") && note.contains("opaque")));
}

#[test]
fn a_program_without_a_header_holds_everything_inline() {
    let storage = |length: usize| vec![(0, Cell::To(Item::Bytes(vec![0; length])))];
    let inline = vec![(0, text("B")), (1, table(vec![(1, Cell::Word(0))]))];
    let root = vec![
        (1, tables(vec![plan("forward", vec![value(6, &[2], 1, Vec::new())], &[0, 64], vec![inline])])),
        (2, tables(vec![storage(0), storage(8)])),
        (3, tables(vec![storage(10)])),
    ];
    let contents = read_bytes(&write(PROGRAM, &[], root)).unwrap();
    assert_eq!(rows(&contents), [("constant.1", 8, 2), ("delegate.B.0", 10, 0)]);
    assert_eq!(contents.graph.unwrap().planned, Some(Bytes::new(64)));
}

#[test]
fn external_weights_are_named_in_a_note() {
    let external = value(6, &[2], 0, vec![(9, table(vec![(1, text("w")), (2, Cell::Byte(1))]))]);
    let contents =
        read_bytes(&program(vec![(1, tables(vec![plan("forward", vec![external], &[0], Vec::new())]))], 0))
            .unwrap();
    assert!(contents.tensors.is_empty());
    assert!(contents.notes[0].contains(".ptd"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let with = |values: Vec<Fields>, arenas: &[u64], delegates, segments: Vec<Fields>| {
        let constants = table(vec![(0, Cell::Word(0)), (1, longs(&[0, 16]))]);
        let plans = tables(vec![plan("forward", values, arenas, delegates)]);
        read_bytes(&program(vec![(1, plans), (4, tables(segments)), (5, constants)], 32)).unwrap_err()
    };
    let sound = || vec![segment(0, 32)];
    for (error, reason) in [
        (with(Vec::new(), &[0, u64::MAX], Vec::new(), sound()), "non_const_buffer_sizes"),
        (
            with(Vec::new(), &[0, 1 << 62, 1 << 62, 1 << 62, 1 << 62], Vec::new(), sound()),
            "non_const_buffer_sizes",
        ),
        (with(vec![value(6, &[4], 2, Vec::new())], &[0], Vec::new(), sound()), "no data of number 2"),
        (with(vec![value(6, &[5], 1, Vec::new())], &[0], Vec::new(), sound()), "pass the end"),
        (with(vec![value(6, &[-5], 1, Vec::new())], &[0], Vec::new(), sound()), "dimension of -5"),
        (with(vec![value(9, &[1], 1, Vec::new())], &[0], Vec::new(), sound()), "scalar type 9"),
        (with(vec![value(6, &[i32::MAX; 3], 1, Vec::new())], &[0], Vec::new(), sound()), "overflows"),
        (with(Vec::new(), &[0], vec![delegate("B", 4)], sound()), "no segment 4"),
        (with(Vec::new(), &[0], Vec::new(), vec![segment(1 << 60, 1 << 60)]), "not in the file"),
        (with(Vec::new(), &[0], Vec::new(), vec![segment(0, 8)]), "end of its segment"),
    ] {
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

/// A `.ptd` of a tensor, another name of it, and something else.
fn weights() -> Vec<u8> {
    let layout = || table(vec![(0, Cell::Byte(6)), (1, Cell::To(Item::Integers(vec![2, 3])))]);
    let named = |name: &str, index, layout: Option<Cell>| {
        [vec![(0, text(name)), (1, Cell::Word(index))], layout.map(|cell| (2, cell)).into_iter().collect()]
            .concat()
    };
    let root = vec![
        (1, tables(vec![segment(0, 24), segment(32, 5)])),
        (2, tables(vec![named("a", 0, Some(layout())), named("b", 0, Some(layout())), named("c", 1, None)])),
    ];
    let mut bytes = write(WEIGHTS, &[0; 40], root);
    let flat_end = u64::try_from(bytes.len()).unwrap();
    let header = [&b"FH01"[..], &40_u32.to_le_bytes()].concat();
    let places = [40, flat_end - 40, flat_end, 37].map(u64::to_le_bytes).concat();
    bytes[8..48].copy_from_slice(&[header, places].concat());
    bytes.resize(bytes.len() + 37, 0);
    bytes
}

#[test]
fn weights_on_their_own_have_names() {
    let contents = read_bytes(&weights()).unwrap();
    assert_eq!(rows(&contents), [("a", 24, 6), ("b", 0, 0), ("c", 5, 0)]);
    assert_eq!(contents.graph, None);
}

#[test]
fn files_are_told_by_their_content() {
    let directory = tempfile::tempdir().unwrap();
    for bytes in [shared(), weights()] {
        let path = directory.path().join("net.bin");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Model::open(&path).unwrap().format, Some(Format::ExecuTorch));
    }
}

#[test]
fn damaged_files_are_read_or_refused() {
    for bytes in [shared(), weights()] {
        hostile::survive(&bytes, read_bytes, |end, outcome| {
            assert!(outcome.is_err(), "{end} bytes were read as a model");
        });
    }
}
