//! What makes two models the same for memory: the same tensors, wherever the file lies and whatever its values.

use std::io::Write;

use sha2::{Digest, Sha256};

use super::{Format, Model};

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
        let mut text = if is_stored { self.layout() } else { Vec::new() };
        if !is_stored {
            row(&mut text, &[&EDITION, &"size", &self.name.as_str(), &self.tensor_bytes().get()]);
        }
        let digest = Sha256::digest(&text);
        digest.iter().fold(String::with_capacity(64), |hex, byte| {
            [4, 0].iter().fold(hex, |mut hex, shift| {
                hex.extend(char::from_digit(u32::from(byte >> shift & 0xF), 16));
                hex
            })
        })
    }

    /// One row for the format and one for each tensor, by name: JSON without blanks, in ASCII.
    fn layout(&self) -> Vec<u8> {
        let mut tensors: Vec<_> = self
            .tensors
            .iter()
            .map(|tensor| {
                (tensor.name.as_str(), tensor.dtype.to_string(), tensor.shape.as_slice(), tensor.bytes.get())
            })
            .collect();
        tensors.sort_unstable();
        let mut text = Vec::with_capacity(tensors.len().saturating_mul(96));
        row(&mut text, &[&EDITION, &self.format.map(Format::name)]);
        for (name, dtype, shape, bytes) in tensors {
            row(&mut text, &[&name, &dtype.as_str(), &shape, &bytes]);
        }
        text
    }
}

/// A field of a row.
trait Field {
    fn write(&self, text: &mut Vec<u8>);
}

impl Field for u64 {
    fn write(&self, text: &mut Vec<u8>) {
        let _ = write!(text, "{self}"); // a vector takes everything
    }
}

impl Field for &[u64] {
    fn write(&self, text: &mut Vec<u8>) {
        text.push(b'[');
        for (index, extent) in self.iter().enumerate() {
            text.extend((index > 0).then_some(b','));
            extent.write(text);
        }
        text.push(b']');
    }
}

impl Field for Option<&str> {
    fn write(&self, text: &mut Vec<u8>) {
        match self {
            Some(name) => name.write(text),
            None => text.extend(b"null"),
        }
    }
}

impl Field for &str {
    fn write(&self, text: &mut Vec<u8>) {
        text.push(b'"');
        if self.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            text.extend_from_slice(self.as_bytes());
            text.push(b'"');
            return;
        }
        for character in self.chars() {
            let short = match character {
                '"' => b'"',
                '\\' => b'\\',
                '\n' => b'n',
                '\r' => b'r',
                '\t' => b't',
                '\u{8}' => b'b',
                '\u{c}' => b'f',
                ' '..='~' => {
                    text.extend(u8::try_from(character));
                    continue;
                }
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        let _ = write!(text, "\\u{unit:04x}");
                    }
                    continue;
                }
            };
            text.extend([b'\\', short]);
        }
        text.push(b'"');
    }
}

fn row(text: &mut Vec<u8>, fields: &[&dyn Field]) {
    text.push(b'[');
    for (index, field) in fields.iter().enumerate() {
        text.extend((index > 0).then_some(b','));
        field.write(text);
    }
    text.extend(b"]\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dtype, Tensor};
    use crate::units::Bytes;

    #[test]
    fn a_fingerprint_keeps_its_value() {
        let size = Model::of_size("12 GB \"x\" é\u{1F600}\n\u{7f}", Bytes::new(12)).unwrap();
        let mut text = Vec::new();
        row(&mut text, &[&size.name.as_str(), &Some("a"), &None::<&str>, &[1_u64, 2].as_slice(), &7_u64]);
        let expected = r#"["12 GB \"x\" \u00e9\ud83d\ude00\n\u007f","a",null,[1,2],7]"#;
        assert_eq!(String::from_utf8(text).unwrap(), format!("{expected}\n"));
        // Of the same rows as Python's `json` and `hashlib` make them.
        assert_eq!(size.fingerprint(), "1c06ac332e65055394fb0fc835b721a1e9b87415c33a6785ec3868aa4f9c5387");
        let tensor = |name: &str| Tensor::plain(name.to_owned(), Dtype::F32, vec![2, 3], 0, Bytes::new(24));
        let stored = Model { tensors: vec![tensor("b"), tensor("a")], ..size };
        assert_eq!(stored.fingerprint(), "f48f15ee3f75bc953f0b3c3bcff8211ff878bebc67a2a14519c7cf06c74a800d");
    }
}
