//! Writes small files of the format.

use std::io::Cursor as Buffer;

use super::super::{Failure, Source, read};
use crate::model::Contents;

/// A file to be written.
#[derive(Clone)]
pub(super) struct File {
    version: u32,
    keys: Vec<(String, u32, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    alignment: usize,
    data: usize,
}

impl File {
    pub(super) fn new(architecture: &str) -> Self {
        Self::of_version(3, architecture)
    }

    pub(super) fn of_version(version: u32, architecture: &str) -> Self {
        let empty = Self { version, keys: Vec::new(), tensors: Vec::new(), alignment: 32, data: 0 };
        empty.text("general.architecture", architecture)
    }

    pub(super) fn key(mut self, key: &str, kind: u32, value: Vec<u8>) -> Self {
        self.keys.push((key.to_owned(), kind, value));
        self
    }

    pub(super) fn number(self, key: &str, number: u32) -> Self {
        self.key(key, 4, number.to_le_bytes().to_vec())
    }

    pub(super) fn text(self, key: &str, text: &str) -> Self {
        let value = [self.count(text.len()), text.as_bytes().to_vec()].concat();
        self.key(key, 8, value)
    }

    pub(super) fn numbers(self, key: &str, numbers: &[u32]) -> Self {
        let head = [4_u32.to_le_bytes().to_vec(), self.count(numbers.len())].concat();
        let elements = numbers.iter().flat_map(|number| number.to_le_bytes());
        let value = head.into_iter().chain(elements).collect();
        self.key(key, 9, value)
    }

    pub(super) fn texts(self, key: &str, texts: &[&str]) -> Self {
        let mut value = [8_u32.to_le_bytes().to_vec(), self.count(texts.len())].concat();
        for text in texts {
            value.extend(self.count(text.len()));
            value.extend(text.as_bytes());
        }
        self.key(key, 9, value)
    }

    pub(super) fn alignment(self, alignment: u32) -> Self {
        let alignment_key = self.number("general.alignment", alignment);
        Self { alignment: usize::try_from(alignment).unwrap(), ..alignment_key }
    }

    /// A tensor at `offset`, its shape innermost dimension first.
    pub(super) fn tensor(mut self, name: &str, shape: &[u64], kind: u32, offset: u64) -> Self {
        self.tensors.push((name.to_owned(), shape.to_vec(), kind, offset));
        self
    }

    pub(super) fn data(self, data: usize) -> Self {
        Self { data, ..self }
    }

    fn count(&self, count: usize) -> Vec<u8> {
        let count = u64::try_from(count).unwrap().to_le_bytes();
        if self.version == 1 { count[..4].to_vec() } else { count.to_vec() }
    }

    pub(super) fn header(&self) -> Vec<u8> {
        let mut bytes = [&b"GGUF"[..], &self.version.to_le_bytes()].concat();
        bytes.extend(self.count(self.tensors.len()));
        bytes.extend(self.count(self.keys.len()));
        for (key, kind, value) in &self.keys {
            bytes.extend(self.count(key.len()));
            bytes.extend(key.as_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(value);
        }
        for (name, shape, kind, offset) in &self.tensors {
            bytes.extend(self.count(name.len()));
            bytes.extend(name.as_bytes());
            bytes.extend(u32::try_from(shape.len()).unwrap().to_le_bytes());
            for &size in shape {
                bytes.extend(self.count(usize::try_from(size).unwrap()));
            }
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        bytes.resize(bytes.len().next_multiple_of(self.alignment) + self.data, 0);
        bytes
    }

    pub(super) fn read(&self) -> Result<Contents, Failure> {
        read_bytes(&self.bytes())
    }
}

pub(super) fn read_bytes(bytes: &[u8]) -> Result<Contents, Failure> {
    read(&mut Source::new(Buffer::new(bytes), u64::try_from(bytes.len()).unwrap()))
}
