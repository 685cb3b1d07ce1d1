#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use super::super::flat::tests::{Cell, Item, table, tables, text, write};
use super::super::graph::Buffer;
use super::super::wire::tests::source;
use super::super::{Format, Model, hostile};
use super::*;

type Fields = Vec<(u16, Cell)>;

fn integers(list: &[i32]) -> Cell {
    Cell::To(Item::Integers(list.to_vec()))
}

fn data(length: usize) -> Fields {
    vec![(0, Cell::To(Item::Bytes(vec![0; length])))]
}

fn tensor(name: &str, kind: u8, shape: &[i32], buffer: u32) -> Fields {
    vec![(0, integers(shape)), (1, Cell::Byte(kind)), (2, Cell::Word(buffer)), (3, text(name))]
}

fn with(mut fields: Fields, id: u16, cell: Cell) -> Fields {
    fields.push((id, cell));
    fields
}

fn operator(inputs: &[i32], outputs: &[i32]) -> Fields {
    vec![(1, integers(inputs)), (2, integers(outputs))]
}

fn subgraph(tensors: Vec<Fields>, inputs: &[i32], outputs: &[i32], operators: Vec<Fields>) -> Fields {
    vec![(0, tables(tensors)), (1, integers(inputs)), (2, integers(outputs)), (3, tables(operators))]
}

/// A model of one subgraph whose operators have these codes.
fn coded(codes: &[u32], buffers: Vec<Fields>, subgraph: Fields) -> Vec<u8> {
    let codes = tables(codes.iter().map(|&code| vec![(3, Cell::Word(code))]).collect());
    let parts = [(1, codes), (2, tables(vec![subgraph])), (4, tables(buffers))];
    write(IDENTIFIER, &[], parts.to_vec())
}

fn model(buffers: Vec<Fields>, subgraphs: Vec<Fields>) -> Vec<u8> {
    write(IDENTIFIER, &[], vec![(0, Cell::Word(3)), (2, tables(subgraphs)), (4, tables(buffers))])
}

fn read_bytes(bytes: &[u8]) -> Result<Contents, String> {
    read(&mut source(bytes)).map_err(|failure| failure.at("x.tflite".as_ref()).to_string())
}

fn lifetimes(contents: Contents) -> Vec<(u64, u64, u64)> {
    let graph = contents.graph.unwrap();
    graph.buffers.iter().map(|Buffer { size, lower, upper }| (size.bits / 8, *lower, *upper)).collect()
}

/// A dense layer: input, quantised weights with a bias, output.
fn dense() -> Vec<u8> {
    let scales = |count: usize| table(vec![(2, Cell::To(Item::Integers(vec![0; count])))]);
    let tensors = vec![
        with(tensor("input", 0, &[1, 8], 0), 7, integers(&[-1, 8])),
        with(tensor("weights", 9, &[4, 8], 1), 4, scales(4)),
        with(tensor("bias", 2, &[4], 2), 4, scales(4)),
        tensor("sum", 0, &[1, 4], 0),
        tensor("output", 0, &[1, 4], 0),
    ];
    let operators = vec![operator(&[0, 1, 2], &[3]), operator(&[3, -1], &[4])];
    model(vec![data(0), data(32), data(16)], vec![subgraph(tensors, &[0], &[4], operators)])
}

#[test]
fn weights_have_data_and_values_have_lifetimes() {
    let contents = read_bytes(&dense()).unwrap();
    let weights: Vec<_> = contents
        .tensors
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor.dtype, tensor.bytes.get(), tensor.parameters))
        .collect();
    assert_eq!(weights, [("weights", Dtype::I8, 32, 32), ("bias", Dtype::I32, 16, 4)]);
    assert_eq!(contents.graph.as_ref().unwrap().buffers[0].size.symbols, [Symbol::Batch]);
    // Steps: 1 begins, operators are 2 and 3, 4 ends.
    assert_eq!(lifetimes(contents), [(32, 1, 5), (16, 2, 4), (16, 3, 5)]);
}

#[test]
fn a_buffer_is_counted_once() {
    let of = |name: &str| subgraph(vec![tensor(name, 0, &[4], 1)], &[], &[], Vec::new());
    let contents = read_bytes(&model(vec![data(0), data(16)], vec![of("a"), of("b")])).unwrap();
    let sizes: Vec<_> =
        contents.tensors.iter().map(|tensor| (tensor.bytes.get(), tensor.parameters)).collect();
    assert_eq!(sizes, [(16, 4), (0, 0)]);
    assert!(contents.notes[0].contains("2 entry points"), "{:?}", contents.notes);
}

#[test]
fn buffers_may_lie_behind_the_flatbuffer() {
    let buffer = |start, length| vec![(1, Cell::Long(start)), (2, Cell::Long(length))];
    let of = |start, length| {
        let tensors = vec![tensor("w", 0, &[4], 1)];
        let mut bytes =
            model(vec![data(0), buffer(start, length)], vec![subgraph(tensors, &[], &[], Vec::new())]);
        bytes.resize(1016, 0);
        bytes
    };
    let contents = read_bytes(&of(1000, 16)).unwrap();
    assert_eq!((contents.tensors[0].offset, contents.tensors[0].bytes.get()), (1000, 16));
    for (start, length) in [(1001, 16), (u64::MAX, 16), (1000, u64::MAX)] {
        assert!(read_bytes(&of(start, length)).unwrap_err().contains("passes the end"));
    }
    assert!(read_bytes(&of(1000, 12)).unwrap_err().contains("12 bytes of data"));
}

#[test]
fn sparse_tensors_hold_values_and_indices() {
    let bytes = |count: usize| table(vec![(0, Cell::To(Item::Bytes(vec![0; count])))]);
    let sparse =
        vec![(0, Cell::Byte(1)), (2, Cell::Byte(3)), (3, bytes(5)), (4, Cell::Byte(3)), (5, bytes(6))];
    let dense = vec![(1, Cell::Word(4))];
    let sparsity = table(vec![(2, tables(vec![dense, sparse]))]);
    let tensors = vec![with(tensor("w", 0, &[4, 8], 1), 6, sparsity)];
    let contents =
        read_bytes(&model(vec![data(0), data(24)], vec![subgraph(tensors, &[], &[], Vec::new())])).unwrap();
    let tensor = &contents.tensors[0];
    assert_eq!((tensor.bytes.get(), tensor.expanded, tensor.parameters), (35, Some(Bytes::new(128)), 32));
}

#[test]
fn scales_of_blocks_are_no_parameters() {
    let blockwise =
        table(vec![(4, Cell::Byte(2)), (5, table(vec![(0, Cell::Word(0)), (2, Cell::Word(32))]))]);
    let tensors = vec![tensor("scales", 1, &[4], 2), with(tensor("weights", 17, &[4, 32], 1), 4, blockwise)];
    let contents =
        read_bytes(&model(vec![data(0), data(64), data(8)], vec![subgraph(tensors, &[], &[], Vec::new())]))
            .unwrap();
    let parameters: Vec<_> = contents.tensors.iter().map(|tensor| tensor.parameters).collect();
    assert_eq!(parameters, [0, 128]);
}

#[test]
fn expanded_weights_stay_weights_and_views_share_their_place() {
    let tensors = vec![
        tensor("half", 1, &[4], 1),
        tensor("whole", 0, &[4], 0),
        tensor("x", 0, &[4], 0),
        tensor("sum", 0, &[4], 0),
        tensor("view", 0, &[2, 2], 0),
        tensor("y", 0, &[2, 2], 0),
    ];
    let call = |code, inputs: &[i32], outputs: &[i32]| with(operator(inputs, outputs), 0, Cell::Word(code));
    let operators =
        vec![call(0, &[0], &[1]), call(1, &[2, 1], &[3]), call(2, &[3], &[4]), call(1, &[4], &[5])];
    let bytes = coded(&[6, 130, 22], vec![data(0), data(8)], subgraph(tensors, &[2], &[5], operators));
    let contents = read_bytes(&bytes).unwrap();
    assert_eq!(contents.tensors[0].expanded, Some(Bytes::new(16)));
    // Steps: 1 begins, operators are 2 to 5, 6 ends.
    assert_eq!(lifetimes(contents), [(16, 1, 7), (16, 3, 6), (16, 5, 7)]);
}

#[test]
fn a_sum_is_written_over_what_nothing_else_reads() {
    let value = |name: &str, shape: &[i32]| tensor(name, 0, shape, 0);
    let add = |inputs: &[i32], outputs: &[i32]| with(operator(inputs, outputs), 0, Cell::Word(0));
    let with_sums = |sums: Vec<Fields>| {
        let tensors = ["x", "a", "b", "c"].map(|name| value(name, &[4])).to_vec();
        lifetimes(read_bytes(&coded(&[0], vec![data(0)], subgraph(tensors, &[0], &[3], sums))).unwrap())
    };
    // Nothing is written over the input of the whole; `a` is read once, then twice.
    assert_eq!(with_sums(vec![add(&[0, 0], &[1]), add(&[0, 1], &[2])]), [(16, 1, 5), (16, 2, 4), (16, 4, 5)]);
    let twice = vec![add(&[0, 0], &[1]), add(&[1, 0], &[2]), add(&[1, 2], &[3])];
    assert_eq!(with_sums(twice), [(16, 1, 6), (16, 2, 5), (16, 3, 6)]);
}

/// A loop whose body is subgraph 2, and its condition 1.
fn looping(condition: u32, body: u32) -> Vec<u8> {
    let value = |name: &str| tensor(name, 0, &[4], 0);
    let options = table(vec![(0, Cell::Word(condition)), (1, Cell::Word(body))]);
    let call = with(with(operator(&[0], &[1]), 3, Cell::Byte(93)), 4, options);
    let main = subgraph(vec![value("x"), value("y")], &[0], &[1], vec![call]);
    let inner = subgraph(vec![value("a"), value("b")], &[0], &[1], vec![operator(&[0], &[1])]);
    model(vec![data(0)], vec![main, inner.clone(), inner])
}

#[test]
fn a_subgraph_has_its_steps_where_it_is_called() {
    let contents = read_bytes(&looping(1, 2)).unwrap();
    assert!(contents.notes.is_empty(), "{:?}", contents.notes);
    // Steps: 1 begins, 2 the loop, 3 to 5 its condition, 7 to 9 its body, 10 behind it, 11 ends.
    let expected = [(16, 1, 12), (16, 3, 6), (16, 4, 6), (16, 7, 10), (16, 8, 10), (16, 10, 12)];
    assert_eq!(lifetimes(contents), expected);
}

#[test]
fn calls_without_end_are_refused() {
    assert!(read_bytes(&looping(1, 7)).unwrap_err().contains("no subgraph 7"));
    let value = |name: &str| tensor(name, 0, &[4], 0);
    let call =
        |to: u32| with(with(operator(&[0], &[1]), 3, Cell::Byte(16)), 4, table(vec![(0, Cell::Word(to))]));
    let of = |to: u32| subgraph(vec![value("x"), value("y")], &[0], &[1], vec![call(to); 30]);
    let bytes = model(vec![data(0)], vec![of(1), of(1)]);
    assert!(read_bytes(&bytes).unwrap_err().contains("more than 16 deep"));
    let chain: Vec<Fields> = (0..12).map(|index| of(index + 1)).collect();
    let end = subgraph(vec![value("x"), value("y")], &[0], &[1], Vec::new());
    let bytes = model(vec![data(0)], [chain, vec![end]].concat());
    let error = read_bytes(&bytes).unwrap_err();
    assert!(error.contains("over and over") || error.contains("more than 1048576 values"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let of = |tensor: Fields, buffers| model(buffers, vec![subgraph(vec![tensor], &[], &[], Vec::new())]);
    for (bytes, reason) in [
        (of(tensor("w", 0, &[4], 1), vec![data(0), data(15)]), "15 bytes of data"),
        (of(tensor("w", 0, &[-4], 1), vec![data(0), data(16)]), "dimension of -4"),
        (of(tensor("w", 0, &[4], 9), vec![data(0)]), "no buffer 9"),
        (of(tensor("w", 99, &[4], 1), vec![data(0), data(16)]), "unknown type"),
        (of(tensor("w", 0, &[i32::MAX, i32::MAX, i32::MAX], 1), vec![data(0), data(16)]), "overflows"),
        (model(Vec::new(), vec![subgraph(Vec::new(), &[3], &[], Vec::new())]), "no tensor 3"),
    ] {
        let error = read_bytes(&bytes).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn files_are_told_by_their_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("net.bin");
    std::fs::write(&path, dense()).unwrap();
    let model = Model::open(&path).unwrap();
    assert_eq!((model.format, model.parameters()), (Some(Format::Tflite), Some(36)));
}

#[test]
fn damaged_files_are_read_or_refused() {
    hostile::survive(&dense(), read_bytes, |_, _| ());
    hostile::survive(&looping(1, 2), read_bytes, |_, _| ());
}
