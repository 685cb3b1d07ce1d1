#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use super::super::dtype::Dtype;
use super::super::graph::{Buffer, Size, Symbol};
use super::super::wire::tests::Written::{self, Fixed32, Varint};
use super::super::wire::tests::{encode, source};
use super::super::{Model, hostile};
use super::*;

type Fields = Vec<(u32, Written)>;

fn bytes(number: u32, value: impl AsRef<[u8]>) -> (u32, Written) {
    (number, Written::Bytes(value.as_ref().to_vec()))
}

fn nested(number: u32, fields: &[(u32, Written)]) -> (u32, Written) {
    bytes(number, encode(fields))
}

fn dims(shape: &[u64]) -> Fields {
    shape.iter().map(|&size| (1, Varint(size))).collect()
}

/// A `TensorProto` with `raw_data`.
fn raw(name: &str, dtype: u64, shape: &[u64], data: usize) -> Fields {
    [dims(shape), vec![(2, Varint(dtype)), bytes(8, name), bytes(9, vec![0; data])]].concat()
}

/// A `TensorProto` whose data lie in a file.
fn external(name: &str, shape: &[u64], entries: &[(&str, &str)]) -> Fields {
    let entry = |(key, value): &(&str, &str)| nested(13, &[bytes(1, key), bytes(2, value)]);
    let place = entries.iter().map(entry).collect();
    [dims(shape), vec![(2, Varint(1)), bytes(8, name)], place, vec![(14, Varint(1))]].concat()
}

/// A `ValueInfoProto` of a tensor: numbers and names of dimensions.
fn value(name: &str, dtype: u64, shape: &[&str]) -> Fields {
    let dimension = |text: &&str| {
        nested(1, &[text.parse().map_or_else(|_| bytes(2, text), |number| (1, Varint(number)))])
    };
    let shape: Fields = shape.iter().map(dimension).collect();
    let of_tensor = nested(1, &[(1, Varint(dtype)), nested(2, &shape)]);
    vec![bytes(1, name), nested(2, &[of_tensor])]
}

fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[Fields]) -> (u32, Written) {
    let inputs = inputs.iter().map(|name| bytes(1, name));
    let outputs = outputs.iter().map(|name| bytes(2, name));
    let attributes = attributes.iter().map(|attribute| nested(5, attribute));
    nested(1, &inputs.chain(outputs).chain([bytes(4, operator)]).chain(attributes).collect::<Fields>())
}

fn model(graph: &[(u32, Written)]) -> Vec<u8> {
    encode(&[(1, Varint(14)), bytes(2, "test"), nested(7, graph)])
}

fn read_bytes(bytes: &[u8]) -> Result<Contents, String> {
    let mut length_of = |location: &str| match location {
        "weights.bin" => Ok(100),
        _ => external::length_beside("/nowhere".as_ref(), location),
    };
    read(&mut source(bytes), &mut length_of).map_err(|failure| failure.at("x.onnx".as_ref()).to_string())
}

fn read_graph(graph: &[(u32, Written)]) -> Contents {
    read_bytes(&model(graph)).unwrap()
}

fn buffer(bits: u64, symbols: &[&str], lower: u64, upper: u64) -> Buffer {
    Buffer {
        size: Size { bits, symbols: symbols.iter().map(|name| Symbol::of(name)).collect() },
        lower,
        upper,
    }
}

#[test]
fn every_data_type_has_its_size() {
    let bits = [
        32_usize, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8, 2, 2, 6, 6,
    ];
    for (id, bits) in (1..).zip(bits).filter(|(_, bits)| *bits > 0) {
        let size = (5 * 3 * bits).div_ceil(8);
        let contents = read_graph(&[nested(5, &raw("w", id, &[5, 3], size))]);
        assert_eq!(contents.tensors[0].bytes.get(), u64::try_from(size).unwrap(), "type {id}");
        let longer = read_bytes(&model(&[nested(5, &raw("w", id, &[5, 3], size + 1))])).unwrap_err();
        assert!(longer.contains("(w)") && longer.contains("raw_data"), "{longer}");
    }
    let unknown = read_bytes(&model(&[nested(5, &raw("w", 29, &[1], 1))])).unwrap_err();
    assert!(unknown.contains("unknown data type 29"), "{unknown}");
}

#[test]
fn typed_data_are_measured_packed_or_not() {
    let head = |dtype| [dims(&[3]), vec![(2, Varint(dtype)), bytes(8, "w")]].concat();
    let with = |dtype, data: Fields| read_bytes(&model(&[nested(5, &[head(dtype), data].concat())]));
    let size = |contents: Result<Contents, String>| contents.unwrap().tensors[0].bytes.get();
    assert_eq!(size(with(1, vec![bytes(4, [0; 12])])), 12);
    assert_eq!(size(with(1, vec![(4, Fixed32(0)); 3])), 12);
    assert_eq!(size(with(10, vec![bytes(5, [0; 3])])), 6);
    assert_eq!(size(with(7, vec![(7, Varint(u64::MAX)); 3])), 24);
    assert_eq!(size(with(22, vec![bytes(5, [0; 2])])), 2);
    assert_eq!(size(with(8, vec![bytes(6, "ab"), bytes(6, ""), bytes(6, "cde")])), 5);
    for (dtype, data) in [
        (1, vec![bytes(4, [0; 8])]),
        (1, vec![]),
        (11, vec![bytes(4, [0; 24])]),
        (7, vec![bytes(7, [0; 31])]),
        (8, vec![bytes(6, "ab")]),
    ] {
        let error = with(dtype, data).unwrap_err();
        assert!(error.contains("expected") || error.contains("bytes of data"), "{error}");
    }
}

#[test]
fn a_shape_cannot_claim_what_is_not_there() {
    for shape in [&[1 << 60, 1 << 60][..], &[1 << 60], &[u64::MAX], &[1; 65]] {
        let error = read_bytes(&model(&[nested(5, &raw("w", 1, shape, 4))])).unwrap_err();
        assert!(error.contains("at byte"), "{error}");
    }
}

#[test]
fn external_data_are_looked_for_and_counted_once() {
    let place = [("location", "weights.bin"), ("offset", "40"), ("length", "60")];
    let contents = read_graph(&[
        nested(5, &external("a", &[15], &place)),
        nested(5, &external("b", &[3, 5], &place)),
        nested(5, &external("c", &[10], &place[..1])),
    ]);
    let sizes: Vec<_> =
        contents.tensors.iter().map(|tensor| (tensor.bytes.get(), tensor.parameters)).collect();
    assert_eq!(sizes, [(60, 15), (0, 0), (40, 10)]);
    let file = model(&[
        nested(5, &external("a", &[15], &place)),
        nested(5, &external("b", &[3, 5], &place)),
        nested(5, &external("c", &[10], &place[..1])),
    ]);
    assert_eq!(contents.file_bytes.get(), u64::try_from(file.len()).unwrap() + 100);
}

#[test]
fn external_data_that_are_not_there_are_a_fault() {
    for (shape, place, reason) in [
        (16, vec![("location", "weights.bin"), ("offset", "40")], "pass the end"),
        (15, vec![("location", "weights.bin"), ("length", "61")], "61 bytes"),
        (15, vec![("location", "weights.bin"), ("offset", "18446744073709551615")], "pass the end"),
        (15, vec![("location", "weights.bin"), ("offset", "-1")], "not a number"),
        (1, vec![("location", "other.bin")], "missing"),
        (1, vec![("location", "../weights.bin")], "not a file beside"),
        (1, vec![("location", "/etc/passwd")], "not a file beside"),
        (1, vec![("location", "a\\..\\b")], "not a file beside"),
        (1, vec![], "not a file beside"),
    ] {
        let error = read_bytes(&model(&[nested(5, &external("w", &[shape], &place))])).unwrap_err();
        assert!(error.contains(reason), "{place:?}: {error}");
    }
}

#[test]
fn an_initialiser_that_stands_twice_is_counted_once() {
    let contents = read_graph(&[nested(5, &raw("w", 1, &[2], 8)), nested(5, &raw("w", 1, &[2], 8))]);
    let sizes: Vec<_> = contents.tensors.iter().map(|tensor| tensor.bytes.get()).collect();
    assert_eq!(sizes, [8, 0]);
    let error = read_bytes(&model(&[nested(5, &raw("w", 1, &[2], 8)), nested(5, &raw("w", 6, &[2], 8))]));
    assert!(error.unwrap_err().contains("differ"));
}

#[test]
fn constants_and_sparse_tensors_are_weights() {
    let constant = vec![bytes(1, "value"), nested(5, &raw("", 1, &[4], 16)), (20, Varint(4))];
    let sparse = [
        dims(&[]),
        vec![
            nested(1, &raw("s", 1, &[2], 8)),
            nested(2, &raw("", 7, &[2], 16)),
            (3, Varint(10)),
            (3, Varint(5)),
        ],
    ]
    .concat();
    let contents = read_graph(&[node("Constant", &[], &["c"], &[constant]), nested(15, &sparse)]);
    let tensors = &contents.tensors;
    let named = |name: &str| tensors.iter().find(|tensor| tensor.name == name).unwrap();
    assert_eq!((named("c").bytes.get(), named("c").parameters), (16, 4));
    let sparse = named("s");
    assert_eq!((sparse.bytes.get(), sparse.parameters, sparse.expanded), (24, 50, Some(Bytes::new(200))));
    assert!(contents.graph.unwrap().buffers.is_empty());
}

#[test]
fn quantised_weights_are_parameters_and_scales_are_not() {
    let attribute = |name: &str, number| vec![bytes(1, name), (3, Varint(number)), (20, Varint(2))];
    let contents = read_graph(&[
        node("DequantizeLinear", &["q", "q_scale", "q_zero"], &["w"], &[]),
        node("MatMul", &["x", "w"], &["y"], &[]),
        node("MatMulNBits", &["y", "b", "b_scale"], &["z"], &[attribute("K", 32), attribute("N", 16)]),
        nested(5, &raw("q", 3, &[8, 4], 32)),
        nested(5, &raw("q_scale", 10, &[4], 8)),
        nested(5, &raw("q_zero", 3, &[4], 4)),
        nested(5, &raw("b", 2, &[16, 1, 16], 256)),
        nested(5, &raw("b_scale", 1, &[16], 64)),
        nested(11, &value("x", 1, &["2", "8"])),
        nested(12, &value("z", 1, &["2", "16"])),
        nested(13, &value("w", 10, &["8", "4"])),
    ]);
    let found: Vec<_> =
        contents.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.parameters)).collect();
    assert_eq!(found, [("q", 32), ("q_scale", 0), ("q_zero", 0), ("b", 512), ("b_scale", 0)]);
    assert_eq!(contents.tensors[0].expanded, Some(Bytes::new(64)));
    assert_eq!(contents.tensors[0].dtype, Dtype::I8);
    let graph = contents.graph.unwrap();
    assert_eq!((graph.buffers.len(), graph.unsized_values), (2, 1), "w is a weight, y is not sized");
    assert!(contents.notes[0].contains("onnx.shape_inference"));
}

#[test]
fn lifetimes_follow_the_nodes() {
    let contents = read_graph(&[
        node("Relu", &["x"], &["a"], &[]),
        node("Reshape", &["a", "shape"], &["b"], &[]),
        node("Add", &["b", "w"], &["y", ""], &[]),
        nested(5, &raw("w", 1, &[4], 16)),
        nested(5, &raw("shape", 7, &[1], 8)),
        nested(11, &value("x", 1, &["batch", "4"])),
        nested(11, &value("w", 1, &["4"])),
        nested(12, &value("y", 1, &["batch*2", "seq_len", "height"])),
        nested(13, &value("a", 10, &["4"])),
        nested(13, &value("b", 10, &["2", "2"])),
    ]);
    let graph = contents.graph.unwrap();
    // Steps: 1 begins the graph, nodes are 2 to 4, 5 ends it.
    assert_eq!(
        graph.buffers,
        [buffer(128, &["batch"], 1, 6), buffer(64, &[], 2, 5), buffer(64, &["batch", "seq", "height"], 4, 6)]
    );
    assert_eq!(graph.unsized_values, 0);
    assert_eq!(contents.notes, ["Values along the open dimensions \"height\" are not counted."]);
}

#[test]
fn a_body_has_its_steps_where_its_node_stands() {
    let body = [
        node("Mul", &["a", "inner_w"], &["m"], &[]),
        nested(5, &raw("inner_w", 1, &[4], 16)),
        nested(12, &value("m", 1, &["4"])),
    ];
    let branch = vec![bytes(1, "then_branch"), nested(6, &body), (20, Varint(5))];
    let contents = read_graph(&[
        node("Relu", &["x"], &["a"], &[]),
        node("If", &["x"], &["y"], &[branch]),
        nested(11, &value("x", 1, &["4"])),
        nested(12, &value("y", 1, &["4"])),
        nested(13, &value("a", 1, &["4"])),
    ]);
    assert_eq!(contents.tensors[0].name, "inner_w");
    let lifetimes: Vec<_> =
        contents.graph.unwrap().buffers.iter().map(|buffer| (buffer.lower, buffer.upper)).collect();
    // Steps: 1 begins, 2 Relu, 3 If, 4 to 6 its body, 7 ends: `a` is kept as long as the body that takes it.
    assert_eq!(lifetimes, [(1, 8), (2, 7), (5, 7), (6, 8)]);
}

#[test]
fn functions_are_walked_on_their_own() {
    let constant = vec![bytes(1, "value"), nested(5, &raw("", 1, &[4], 16)), (20, Varint(4))];
    let (_, Written::Bytes(body)) = node("Constant", &[], &["c"], &[constant]) else { unreachable!() };
    let function = [bytes(1, "f"), bytes(4, "p"), bytes(5, "c"), (7, Written::Bytes(body))];
    let bytes = encode(&[(1, Varint(14)), bytes(2, "test"), nested(7, &[]), nested(25, &function)]);
    let contents = read_bytes(&bytes).unwrap();
    assert_eq!(contents.tensors[0].bytes.get(), 16);
    assert!(contents.notes.iter().any(|note| note.contains("functions")));
}

#[test]
fn files_are_told_by_their_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("net.bin");
    std::fs::write(&path, model(&[nested(5, &raw("w", 1, &[2], 8))])).unwrap();
    let model = Model::open(&path).unwrap();
    assert_eq!((model.format, model.name.as_str()), (Some(super::super::Format::Onnx), "net"));
    assert_eq!(model.tensor_bytes().get(), 8);
    assert!(!is_model(&mut source(&encode(&[(1, Varint(1)), bytes(2, "description"), bytes(500, "")]))));
}

#[test]
fn damaged_files_are_refused() {
    let body = [node("Mul", &["a", "w"], &["m"], &[]), nested(12, &value("m", 1, &["4"]))];
    let branch = vec![bytes(1, "then_branch"), nested(6, &body), (20, Varint(5))];
    let place = [("location", "weights.bin"), ("offset", "40"), ("length", "60")];
    let bytes = model(&[
        node("DequantizeLinear", &["q", "s"], &["w"], &[]),
        node("If", &["x"], &["y"], &[branch]),
        nested(5, &raw("q", 3, &[8, 4], 32)),
        nested(5, &raw("s", 1, &[], 4)),
        nested(5, &external("e", &[15], &place)),
        nested(11, &value("x", 1, &["batch", "4"])),
        nested(12, &value("y", 1, &["4"])),
    ]);
    read_bytes(&bytes).unwrap();
    hostile::survive(&bytes, read_bytes, |end, outcome| {
        assert!(outcome.is_err(), "{end} bytes were read as a model");
    });
}

#[test]
fn bodies_within_bodies_come_to_an_end() {
    let mut graph: Fields = Vec::new();
    for _ in 0..60 {
        let branch = vec![bytes(1, "body"), nested(6, &graph), (20, Varint(5))];
        graph = vec![node("Loop", &[], &["y"], &[branch])];
    }
    let error = read_bytes(&model(&graph)).unwrap_err();
    assert!(error.contains("nested more than 100 deep"), "{error}");
}
