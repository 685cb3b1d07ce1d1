//! Readers of instance files: the text format of BPPLIB, and a CSV of names and sizes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::units::{Bytes, UnitError, clip};

/// What an instance file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The size of every item.
    pub sizes: Vec<Bytes>,
    /// The name of every item, where the format has names.
    pub names: Option<Vec<String>>,
    /// The capacity of every bin, where the format gives one.
    pub capacity: Option<Bytes>,
}

/// The largest file that is read. Ten million items take a tenth of it.
const LARGEST_FILE: u64 = 1 << 30;

/// Reads a file: CSV if its name ends in `.csv`, else the text format of BPPLIB.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::Problem`] naming the line of what is no instance, or
/// `file` for one above 1 GiB or not in UTF-8.
pub fn read_instance(path: &Path) -> Result<Instance> {
    let unreadable = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(LARGEST_FILE.saturating_add(1)).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > LARGEST_FILE {
        return Err(wrong("file", format!("larger than {}", Bytes::new(LARGEST_FILE).binary())));
    }
    let text = std::str::from_utf8(&content)
        .map_err(|error| wrong("file", format!("not UTF-8 text from byte {} on", error.valid_up_to())))?;
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("csv") => parse_csv(text),
        _ => parse_bpp(text),
    }
}

/// Reads the text format of BPPLIB: the number of items, the capacity, then one size a line.
///
/// # Errors
/// [`Error::Problem`] naming the line: not a whole number, too few lines, or something after the last item.
pub fn parse_bpp(text: &str) -> Result<Instance> {
    let mut lines = filled_lines(text);
    let (_, count) = whole(lines.next(), "the number of items")?;
    let (line, capacity) = whole(lines.next(), "the capacity")?;
    if capacity == 0 {
        return Err(at(line, "the capacity is zero".to_owned()));
    }
    let mut sizes = Vec::new();
    for index in 0..count {
        // The list grows as lines come: a large count alone reserves nothing.
        let Some(next) = lines.next() else {
            return Err(wrong("file", format!("ends after {index} of {count} items")));
        };
        let (_, size) = whole(Some(next), "a size")?;
        sizes.push(Bytes::new(size));
    }
    match lines.next() {
        Some((line, text)) => Err(at(line, format!("{:?} after the last of {count} items", clip(text)))),
        None => Ok(Instance { sizes, names: None, capacity: Some(Bytes::new(capacity)) }),
    }
}

/// Reads `name,size` lines under that header. A size may have a unit, as in `1.5 GB`; what stands before the last
/// comma is the name, without quoting.
///
/// # Errors
/// [`Error::Problem`] naming the line: another header, no comma, no size.
pub fn parse_csv(text: &str) -> Result<Instance> {
    let mut lines = filled_lines(text);
    match lines.next() {
        Some((_, "name,size")) => {}
        Some((line, other)) => {
            return Err(at(line, format!("expected the header name,size, not {:?}", clip(other))));
        }
        None => return Err(wrong("file", "empty, expected the header name,size".to_owned())),
    }
    let (mut names, mut sizes) = (Vec::new(), Vec::new());
    for (line, text) in lines {
        let (name, size) = text
            .rsplit_once(',')
            .ok_or_else(|| at(line, format!("expected name,size, not {:?}", clip(text))))?;
        sizes.push(size.parse().map_err(|error: UnitError| at(line, error.to_string()))?);
        names.push(name.trim().to_owned());
    }
    Ok(Instance { sizes, names: Some(names), capacity: None })
}

/// The lines that are not blank, trimmed, with their numbers from one.
fn filled_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty())
}

fn whole(line: Option<(usize, &str)>, what: &str) -> Result<(usize, u64)> {
    let (line, text) = line.ok_or_else(|| wrong("file", format!("ends before {what}")))?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    let number = number
        .ok_or_else(|| at(line, format!("{:?} is not {what}, a whole number below 2^64", clip(text))))?;
    Ok((line, number))
}

fn at(line: usize, reason: String) -> Error {
    wrong(&format!("line {line}"), reason)
}

fn wrong(field: &str, reason: String) -> Error {
    Error::Problem { field: field.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_format_is_read_with_any_line_ends() {
        let instance = parse_bpp("\u{feff}3\r\n 10 \r\n6\r\n5\n4\n\n").unwrap();
        assert_eq!(instance.capacity, Some(Bytes::new(10)));
        assert_eq!(instance.sizes, [6, 5, 4].map(Bytes::new));
        assert_eq!(instance.names, None);
    }

    #[test]
    fn a_csv_takes_units_and_commas_in_names() {
        let instance = parse_csv("name,size\nminilm, 90 MB\nllama, 8B, 16 GB\n").unwrap();
        assert_eq!(instance.names.unwrap()[1], "llama, 8B");
        assert_eq!(instance.sizes[1], Bytes::new(16_000_000_000));
        assert_eq!(instance.capacity, None);
    }

    #[test]
    fn faults_name_their_line() {
        for (text, field) in [
            ("", "file"),
            ("2\n", "file"),
            ("2\n10\n5\n", "file"),
            ("999999999999999999\n10\n5\n", "file"),
            ("-2\n10\n5\n", "line 1"),
            ("2\n0\n5\n5\n", "line 2"),
            ("2\n10\n5\n+5\n", "line 4"),
            ("2\n10\n\n5.5\n5\n", "line 4"),
            ("2\n10\n5\n5\n5\n", "line 5"),
            ("18446744073709551616\n10\n", "line 1"),
        ] {
            let Error::Problem { field: found, .. } = parse_bpp(text).expect_err(text) else {
                panic!("{text}")
            };
            assert_eq!(found, field, "{text:?}");
        }
        for (text, field) in
            [("", "file"), ("a,1", "line 1"), ("name,size\na", "line 2"), ("name,size\na,1\nb,8G", "line 3")]
        {
            let Error::Problem { field: found, .. } = parse_csv(text).expect_err(text) else {
                panic!("{text}")
            };
            assert_eq!(found, field, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        assert!(matches!(read_instance(Path::new("/nonexistent.bpp")), Err(Error::Io { .. })));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"3\n\xff").unwrap();
        assert!(matches!(read_instance(file.path()), Err(Error::Problem { .. })));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-z,.\n -]{0,60}") {
            let _ = parse_bpp(&text);
            let _ = parse_csv(&text);
        }
    }
}
