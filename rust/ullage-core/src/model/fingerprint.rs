//! What makes two models the same for memory: the same tensors, wherever the file lies and whatever its values.

use std::collections::HashMap;
use std::io::Write;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Dtype, Format, Model, Tensor};

/// Of the rows that are hashed: another edition finds nothing that was kept under this one.
const EDITION: &str = "ullage fingerprint 1";

impl Model {
    /// The SHA-256, in hexadecimal, of the format and of the name, dtype, shape and bytes of every tensor.
    ///
    /// It depends neither on path nor on the order in the file, nor on the weights' values: a fine-tuned model of the same
    /// layout has the fingerprint of its base, and takes the same memory. Of a model that is no file the name and the
    /// size stand in.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let is_stored = self.path.is_some() || self.tensors.len() > 1; // a plain size stands as one tensor
        let digest = Sha256::digest(if is_stored { self.layout() } else { self.size() });
        let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
        digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
    }

    fn size(&self) -> Vec<u8> {
        let mut rows = Rows::default();
        rows.open(EDITION);
        rows.text("size");
        rows.text(&self.name);
        rows.number(&self.tensor_bytes().get());
        rows.close();
        rows.0
    }

    /// One row for the format and one for each tensor, by name.
    fn layout(&self) -> Vec<u8> {
        let mut dtypes: HashMap<Dtype, String> = HashMap::new();
        for tensor in &self.tensors {
            dtypes.entry(tensor.dtype).or_insert_with(|| tensor.dtype.to_string());
        }
        let dtype = |tensor: &Tensor| dtypes.get(&tensor.dtype).map_or("", String::as_str);
        let mut tensors: Vec<&Tensor> = self.tensors.iter().collect();
        tensors.sort_unstable_by(|a, b| {
            let rest = |tensor| (dtype(tensor), &tensor.shape, tensor.bytes);
            a.name.cmp(&b.name).then_with(|| rest(a).cmp(&rest(b)))
        });
        let mut rows = Rows(Vec::with_capacity(tensors.len().saturating_mul(96)));
        rows.open(EDITION);
        match self.format {
            Some(format) => rows.text(Format::name(format)),
            None => rows.number(&()),
        }
        rows.close();
        for tensor in tensors {
            rows.open(&tensor.name);
            rows.text(dtype(tensor));
            rows.number(&tensor.shape);
            rows.number(&tensor.bytes.get());
            rows.close();
        }
        rows.0
    }
}

/// Lines of JSON, each an array without blanks, in ASCII: what is hashed.
#[derive(Default)]
struct Rows(Vec<u8>);

impl Rows {
    fn open(&mut self, first: &str) {
        self.0.push(b'[');
        self.string(first);
    }

    fn text(&mut self, field: &str) {
        self.0.push(b',');
        self.string(field);
    }

    /// A number, a list of numbers, or nothing.
    fn number(&mut self, field: &impl Serialize) {
        self.0.push(b',');
        let _ = serde_json::to_writer(&mut self.0, field); // a vector takes everything
    }

    fn close(&mut self) {
        self.0.extend_from_slice(b"]\n");
    }

    fn string(&mut self, text: &str) {
        self.0.push(b'"');
        if text.bytes().all(|byte| is_plain(char::from(byte))) {
            self.0.extend_from_slice(text.as_bytes());
        } else {
            text.chars().for_each(|character| self.character(character));
        }
        self.0.push(b'"');
    }

    fn character(&mut self, character: char) {
        let short = match character {
            '"' => b'"',
            '\\' => b'\\',
            '\n' => b'n',
            '\r' => b'r',
            '\t' => b't',
            '\u{8}' => b'b',
            '\u{c}' => b'f',
            plain if is_plain(plain) => return self.0.extend(u8::try_from(plain)),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(self.0, "\\u{unit:04x}");
                }
                return;
            }
        };
        self.0.extend_from_slice(&[b'\\', short]);
    }
}

const fn is_plain(character: char) -> bool {
    matches!(character, ' '..='~') && !matches!(character, '"' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dtype, Tensor};
    use crate::units::Bytes;

    #[test]
    fn a_fingerprint_keeps_its_value() {
        let size = Model::of_size("12 GB \"x\" é\u{1F600}\n\u{7f}", Bytes::new(12)).unwrap();
        let expected = r#"["ullage fingerprint 1","size","12 GB \"x\" \u00e9\ud83d\ude00\n\u007f",12]"#;
        assert_eq!(String::from_utf8(size.size()).unwrap(), format!("{expected}\n"));
        // Of the same rows as Python's `json` and `hashlib` make them.
        assert_eq!(size.fingerprint(), "1c06ac332e65055394fb0fc835b721a1e9b87415c33a6785ec3868aa4f9c5387");
        let tensor = |name: &str| Tensor::plain(name.to_owned(), Dtype::F32, vec![2, 3], 0, Bytes::new(24));
        let stored = Model { tensors: vec![tensor("b"), tensor("a")], ..size };
        assert_eq!(stored.fingerprint(), "f48f15ee3f75bc953f0b3c3bcff8211ff878bebc67a2a14519c7cf06c74a800d");
    }
}
