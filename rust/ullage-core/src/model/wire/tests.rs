#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

pub(in crate::model) fn source(bytes: &[u8]) -> Source<Cursor<Vec<u8>>> {
    Source::new(Cursor::new(bytes.to_vec()), u64::try_from(bytes.len()).unwrap())
}

/// Every field of `bytes` taken as one message.
fn fields(bytes: &[u8]) -> Result<Vec<Field>, String> {
    let mut source = source(bytes);
    let mut fields = Message::whole(&source).fields();
    let mut found = Vec::new();
    loop {
        match fields.next(&mut source) {
            Ok(Some(field)) => found.push(field),
            Ok(None) => return Ok(found),
            Err(Failure::Fault(fault)) => return Err(fault.at("x".as_ref()).to_string()),
            Err(Failure::Io(error)) => panic!("{error}"),
        }
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

fn tag(number: u32, wire: u64) -> Vec<u8> {
    varint(u64::from(number) << 3 | wire)
}

/// A value as it is written.
#[derive(Clone, Debug)]
pub(in crate::model) enum Written {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Bytes(Vec<u8>),
}

fn written() -> impl Strategy<Value = Vec<(u32, Written)>> {
    let value = prop_oneof![
        any::<u64>().prop_map(Written::Varint),
        any::<u32>().prop_map(Written::Fixed32),
        any::<u64>().prop_map(Written::Fixed64),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Written::Bytes),
    ];
    prop::collection::vec((1_u32..1 << 29, value), 0..20)
}

/// The bytes of a message with these fields.
pub(in crate::model) fn encode(message: &[(u32, Written)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, value) in message {
        let (wire, mut value) = match value {
            Written::Varint(value) => (0, varint(*value)),
            Written::Fixed64(value) => (1, value.to_le_bytes().to_vec()),
            Written::Bytes(value) => {
                (2, [varint(u64::try_from(value.len()).unwrap()), value.clone()].concat())
            }
            Written::Fixed32(value) => (5, value.to_le_bytes().to_vec()),
        };
        bytes.append(&mut tag(*number, wire));
        bytes.append(&mut value);
    }
    bytes
}

proptest! {
    #[test]
    fn a_message_is_read_as_it_was_written(message in written()) {
        let bytes = encode(&message);
        let found = fields(&bytes).unwrap();
        prop_assert_eq!(found.len(), message.len());
        for (field, (number, value)) in found.iter().zip(&message) {
            prop_assert_eq!(field.number, *number);
            match (field.value, value) {
                (Value::Varint(read), Written::Varint(value)) => prop_assert_eq!(read, *value),
                (Value::Fixed32(read), Written::Fixed32(value)) => prop_assert_eq!(read, *value),
                (Value::Fixed64(read), Written::Fixed64(value)) => prop_assert_eq!(read, *value),
                (Value::Bytes(range), Written::Bytes(value)) => {
                    let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                    prop_assert_eq!(&bytes[range], &value[..]);
                }
                (read, value) => prop_assert!(false, "{:?} was written as {:?}", read, value),
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(found) = fields(&bytes) {
            prop_assert!(found.len() <= bytes.len());
        }
    }

    #[test]
    fn a_list_reads_the_same_packed_or_not(list in prop::collection::vec(any::<u64>(), 0..20)) {
        let packed: Vec<u8> = list.iter().flat_map(|&value| varint(value)).collect();
        let single: Vec<(u32, Written)> = list.iter().map(|&value| (1, Written::Varint(value))).collect();
        for bytes in [encode(&[(1, Written::Bytes(packed))]), encode(&single)] {
            let mut source = source(&bytes);
            let mut fields = Message::whole(&source).fields();
            let mut read = Vec::new();
            while let Some(field) = fields.next(&mut source).unwrap() {
                field.varints(&mut source, &mut read, 20, "a list").unwrap();
            }
            prop_assert_eq!(&read, &list);
        }
    }
}

#[test]
fn what_is_no_field_is_refused() {
    let cases: [(Vec<u8>, &str); 8] = [
        (tag(1, 3), "wire type 3"),
        (tag(1, 4), "wire type 4"),
        (tag(1, 7), "wire type 7"),
        (vec![0x00], "out of range"),
        (vec![0x80], "passes the end"),
        (vec![0xff; 11], "more than 64 bits"),
        ([vec![0xff; 9], vec![0x02]].concat(), "more than 64 bits"),
        ([tag(1, 2), varint(1 << 60)].concat(), "1152921504606846976 bytes"),
    ];
    for (bytes, reason) in cases {
        let error = fields(&bytes).unwrap_err();
        assert!(error.contains(reason) && error.contains("at byte"), "{bytes:?}: {error}");
    }
}

#[test]
fn nesting_has_an_end() {
    let bytes = (0..101).fold(Vec::new(), |inner, _| encode(&[(1, Written::Bytes(inner))]));
    let mut source = source(&bytes);
    let mut message = Message::whole(&source);
    let mut deepest = 0;
    let failure = loop {
        match message.fields().next(&mut source) {
            Ok(Some(field)) => message = field.message("a message").unwrap(),
            Ok(None) => panic!("{deepest} levels were read"),
            Err(failure) => break failure,
        }
        deepest += 1;
    };
    assert_eq!(deepest, 101);
    assert!(failure.at("x".as_ref()).to_string().contains("nested more than 100 deep"));
}

#[test]
fn a_list_or_a_text_has_a_limit() {
    let bytes = encode(&[(1, Written::Bytes(vec![7; 5]))]);
    let mut source = source(&bytes);
    let field = Message::whole(&source).fields().next(&mut source).unwrap().unwrap();
    let mut list = Vec::new();
    assert!(field.varints(&mut source, &mut list, 4, "a list").is_err());
    assert!(field.text(&mut source, 4, "a text").is_err());
    assert_eq!(field.text(&mut source, 5, "a text").unwrap(), "\u{7}".repeat(5));
    assert!(field.varint("a number").is_err());
}

/// Counts the bytes that are read from a file.
struct Counting<R> {
    input: R,
    read: u64,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read += u64::try_from(count).unwrap();
        Ok(count)
    }
}

impl<R: Seek> Seek for Counting<R> {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.input.seek(to)
    }
}

#[test]
fn what_is_not_asked_for_is_not_read() {
    let message: Vec<(u32, Written)> = (0..50).map(|_| (9, Written::Bytes(vec![0; 1 << 20]))).collect();
    let bytes = encode(&message);
    let length = u64::try_from(bytes.len()).unwrap();
    let mut source = Source::new(Counting { input: Cursor::new(bytes), read: 0 }, length);
    let mut fields = Message::whole(&source).fields();
    let mut count = 0;
    while fields.next(&mut source).unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 50);
    let read = source.into_input().read;
    assert!(read < 300_000, "{read} bytes of {length} were read");
}
