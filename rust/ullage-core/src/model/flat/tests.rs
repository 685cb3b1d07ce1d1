#![allow(clippy::arithmetic_side_effects, reason = "test arithmetic on small numbers")]

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// What an offset points to, as it is written.
#[derive(Clone, Debug)]
pub(in crate::model) enum Item {
    Table(Vec<(u16, Cell)>),
    Tables(Vec<Item>),
    Bytes(Vec<u8>),
    Integers(Vec<i32>),
    Longs(Vec<u64>),
}

/// A field, as it is written.
#[derive(Clone, Debug)]
pub(in crate::model) enum Cell {
    Byte(u8),
    Word(u32),
    Long(u64),
    To(Item),
}

pub(in crate::model) fn text(text: &str) -> Cell {
    Cell::To(Item::Bytes(text.as_bytes().to_vec()))
}

pub(in crate::model) fn tables(tables: Vec<Vec<(u16, Cell)>>) -> Cell {
    Cell::To(Item::Tables(tables.into_iter().map(Item::Table).collect()))
}

pub(in crate::model) fn table(fields: Vec<(u16, Cell)>) -> Cell {
    Cell::To(Item::Table(fields))
}

/// A buffer with this identifier and root; `header` stands behind the identifier.
pub(in crate::model) fn write(identifier: &[u8], header: &[u8], root: Vec<(u16, Cell)>) -> Vec<u8> {
    let mut bytes = [&[0; 4][..], identifier, header].concat();
    let start = put(&mut bytes, &Item::Table(root));
    point(&mut bytes, 0, start);
    bytes
}

fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap().to_le_bytes()
}

fn point(bytes: &mut [u8], place: usize, target: usize) {
    bytes[place..place + 4].copy_from_slice(&word(target - place));
}

/// Appends `item`, and what it points to behind it; returns where it begins.
fn put(bytes: &mut Vec<u8>, item: &Item) -> usize {
    match item {
        Item::Table(fields) => return put_table(bytes, fields),
        Item::Tables(items) => {
            let start = bytes.len();
            bytes.extend(word(items.len()));
            bytes.resize(bytes.len() + 4 * items.len(), 0);
            for (index, item) in items.iter().enumerate() {
                let target = put(bytes, item);
                point(bytes, start + 4 + 4 * index, target);
            }
            return start;
        }
        Item::Bytes(_) | Item::Integers(_) | Item::Longs(_) => {}
    }
    let start = bytes.len();
    match item {
        Item::Bytes(elements) => {
            bytes.extend(word(elements.len()));
            bytes.extend(elements);
        }
        Item::Integers(elements) => {
            bytes.extend(word(elements.len()));
            bytes.extend(elements.iter().flat_map(|element| element.to_le_bytes()));
        }
        Item::Longs(elements) => {
            bytes.extend(word(elements.len()));
            bytes.extend(elements.iter().flat_map(|element| element.to_le_bytes()));
        }
        Item::Table(_) | Item::Tables(_) => unreachable!("written above"),
    }
    start
}

fn put_table(bytes: &mut Vec<u8>, fields: &[(u16, Cell)]) -> usize {
    let fields_start = bytes.len();
    let slots = fields.iter().map(|(id, _)| usize::from(*id) + 1).max().unwrap_or(0);
    bytes.resize(fields_start + 4 + 2 * slots, 0);
    let start = bytes.len();
    bytes.extend(word(start - fields_start));
    let mut pointers = Vec::new();
    for (id, cell) in fields {
        let slot = fields_start + 4 + 2 * usize::from(*id);
        let offset = u16::try_from(bytes.len() - start).unwrap();
        bytes[slot..slot + 2].copy_from_slice(&offset.to_le_bytes());
        match cell {
            Cell::Byte(byte) => bytes.push(*byte),
            Cell::Word(number) => bytes.extend(number.to_le_bytes()),
            Cell::Long(number) => bytes.extend(number.to_le_bytes()),
            Cell::To(item) => {
                pointers.push((bytes.len(), item));
                bytes.extend([0; 4]);
            }
        }
    }
    let lengths =
        [4 + 2 * slots, bytes.len() - start].map(|length| u16::try_from(length).unwrap().to_le_bytes());
    bytes[fields_start..fields_start + 4].copy_from_slice(&lengths.concat());
    for (place, item) in pointers {
        let target = put(bytes, item);
        point(bytes, place, target);
    }
    start
}

fn source(bytes: &[u8]) -> Source<Cursor<Vec<u8>>> {
    Source::new(Cursor::new(bytes.to_vec()), u64::try_from(bytes.len()).unwrap())
}

fn with<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Flat<'_, Cursor<Vec<u8>>>) -> Result<T, Failure>,
) -> Result<T, String> {
    let mut source = source(bytes);
    let length = source.length();
    let outcome = Flat::new(&mut source, length).and_then(|mut flat| read(&mut flat));
    outcome.map_err(|failure| failure.at("x".as_ref()).to_string())
}

#[test]
fn fields_are_read_as_they_were_written() {
    let inner = |name: &str| vec![(0, text(name))];
    let bytes = write(
        b"TEST",
        &[],
        vec![
            (0, Cell::Byte(7)),
            (1, Cell::Word(70_000)),
            (3, Cell::Long(1 << 40)),
            (4, Cell::To(Item::Integers(vec![1, -2, 3]))),
            (5, tables(vec![inner("a"), inner("b")])),
            (6, Cell::To(Item::Longs(vec![1 << 50]))),
            (7, table(inner("c"))),
        ],
    );
    let read = with(&bytes, |flat| {
        let root = flat.root()?;
        assert_eq!(flat.byte(root, 0, "x")?, 7);
        assert_eq!(flat.word(root, 1, "x")?, 70_000);
        assert_eq!((flat.word(root, 2, "x")?, flat.long(root, 30, "x")?), (0, 0));
        assert_eq!(flat.long(root, 3, "x")?, 1 << 40);
        assert_eq!(flat.integers(root, 4, "x")?, [1, -2, 3]);
        assert_eq!(flat.longs(root, 6, "x")?, [1 << 50]);
        let mut names = Vec::new();
        for table in flat.tables(root, 5, "x")? {
            names.push(flat.text(table, 0, "x")?);
        }
        let last = flat.table(root, 7, "x")?.unwrap();
        names.push(flat.text(last, 0, "x")?);
        assert!(flat.table(root, 2, "x")?.is_none());
        Ok(names)
    });
    assert_eq!(read.unwrap(), ["a", "b", "c"]);
}

#[test]
fn offsets_and_counts_out_of_bounds_are_refused() {
    let bytes = write(b"TEST", &[], vec![(0, Cell::To(Item::Integers(vec![5])))]);
    let root = usize::try_from(u32::from_le_bytes(bytes[..4].try_into().unwrap())).unwrap();
    let list = bytes.len() - 8;
    let read = |bytes: &[u8]| {
        with(bytes, |flat| {
            let root = flat.root()?;
            flat.integers(root, 0, "the list")
        })
    };
    assert_eq!(read(&bytes).unwrap(), [5]);
    for (place, value, reason) in [
        (0, u32::MAX, "leads to byte"),
        (0, 0, "leads to byte"),
        (root, 0x7fff_ffff, "has no table of fields"),
        (root, 0x8000_0000, "the file ends"),
        (root + 4, u32::MAX, "leads to byte"),
        (root + 4, 0, "leads to byte"),
        (list, u32::MAX, "4294967295 elements"),
    ] {
        let mut changed = bytes.clone();
        changed[place..place + 4].copy_from_slice(&value.to_le_bytes());
        let error = read(&changed).unwrap_err();
        assert!(error.contains(reason) && error.contains("at byte"), "{place}: {error}");
    }
}

#[test]
fn pointing_at_one_thing_many_times_comes_to_an_end() {
    let leaf = write(b"TEST", &[], vec![(0, text(&"x".repeat(500)))]);
    let mut bytes =
        write(b"TEST", &[], vec![(0, Cell::To(Item::Tables(vec![Item::Table(Vec::new()); 200])))]);
    let target = bytes.len() - 4;
    let start = bytes.len() - 4 - 200 * 8 - 800;
    bytes.extend(&leaf[8..]);
    let leaf_root =
        usize::try_from(u32::from_le_bytes(leaf[..4].try_into().unwrap())).unwrap() - 8 + target + 4;
    for index in 0..200 {
        let place = start + 4 * index + 4;
        point(&mut bytes, place, leaf_root);
    }
    let read = with(&bytes, |flat| {
        let root = flat.root()?;
        let mut names = 0;
        for table in flat.tables(root, 0, "the list")? {
            names += flat.text(table, 0, "a name")?.len();
        }
        Ok(names)
    });
    assert!(read.unwrap_err().contains("over and over"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = with(&bytes, |flat| {
            let root = flat.root()?;
            for id in 0..6 {
                let _ = flat.text(root, id, "a text");
                let _ = flat.longs(root, id, "a list");
                for table in flat.tables(root, id, "a list").unwrap_or_default() {
                    let _ = flat.long(table, id, "a number");
                }
            }
            Ok(())
        });
    }
}
