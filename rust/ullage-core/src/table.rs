//! CSV with a header: columns by name, and faults that name line and column.

use crate::error::{Error, Result};
use crate::units::{Bytes, clip};

/// The largest file that readers of instances take.
pub(crate) const LARGEST_FILE: u64 = 1 << 30;

/// What is wrong, and where.
pub(crate) fn wrong(field: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::Problem { field: field.into(), reason: reason.into() }
}

/// The text of a file, without a byte order mark.
///
/// # Errors
/// [`Error::Problem`] naming `file`: above 1 GiB, or not in UTF-8.
pub(crate) fn text_of(content: &[u8]) -> Result<&str> {
    if content.len() as u64 > LARGEST_FILE {
        return Err(wrong("file", format!("larger than {}", Bytes::new(LARGEST_FILE).binary())));
    }
    let text = std::str::from_utf8(content)
        .map_err(|error| wrong("file", format!("not UTF-8 text from byte {} on", error.valid_up_to())))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The lines that are not blank, trimmed, with their numbers from one.
pub(crate) fn filled_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty())
}

/// A header and the lines below it.
///
/// Columns come in any order, and those that nobody asks for are passed over. Fields may stand in double quotes; no
/// field holds a line break.
pub(crate) struct Table<'a, L> {
    /// The names, trimmed.
    header: Vec<String>,
    /// Where the header stands.
    line: usize,
    lines: L,
    /// The columns that must be there, for the messages.
    required: &'a [&'a str],
}

/// Opens the table in `text`.
///
/// # Errors
/// [`Error::Problem`] naming the place: an empty text, a quote that is never closed.
pub(crate) fn open<'a>(
    text: &'a str,
    required: &'a [&'a str],
) -> Result<Table<'a, impl Iterator<Item = (usize, &'a str)>>> {
    let mut lines = filled_lines(text);
    let Some((line, header)) = lines.next() else {
        return Err(wrong("file", format!("empty, expected the header {}", required.join(","))));
    };
    let header = fields(header, line)?.iter().map(|name| name.trim().to_owned()).collect();
    Ok(Table { header, line, lines, required })
}

impl<'a, L: Iterator<Item = (usize, &'a str)>> Table<'a, L> {
    /// The place of the column `name`.
    ///
    /// # Errors
    /// [`Error::Problem`] if it stands there twice.
    pub(crate) fn find(&self, name: &str) -> Result<Option<usize>> {
        let mut found = (0..).zip(&self.header).filter(|(_, column)| *column == name).map(|(index, _)| index);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(wrong(self.place(name), "stands there twice")),
            (first, None) => Ok(first),
        }
    }

    /// The place of the column `name`, which must be there.
    ///
    /// # Errors
    /// [`Error::Problem`] if it is not, or twice.
    pub(crate) fn require(&self, name: &str) -> Result<usize> {
        let missing = || {
            let (expected, given) = (self.required.join(","), self.header.join(","));
            wrong(
                self.place(name),
                format!("is missing; expected {expected} in the header, not {:?}", clip(&given)),
            )
        };
        self.find(name)?.ok_or_else(missing)
    }

    fn place(&self, name: &str) -> String {
        format!("line {}, column {name}", self.line)
    }

    /// The rows, each as long as the header.
    pub(crate) fn rows(self) -> impl Iterator<Item = Result<Row>> + use<'a, L> {
        let count = self.header.len();
        self.lines.map(move |(line, text)| {
            let fields = fields(text, line)?;
            if fields.len() == count {
                return Ok(Row { fields, line });
            }
            Err(wrong(format!("line {line}"), format!("{} fields, the header has {count}", fields.len())))
        })
    }
}

/// A line of a table.
pub(crate) struct Row {
    fields: Vec<String>,
    /// Its number from one.
    pub(crate) line: usize,
}

impl Row {
    /// The field in `column`, trimmed.
    pub(crate) fn text(&self, column: usize) -> &str {
        self.fields.get(column).map_or("", |field| field.trim())
    }

    /// The whole number in `column`, which is called `name`.
    ///
    /// # Errors
    /// [`Error::Problem`] if it is none, or outside `T`.
    pub(crate) fn whole<T: std::str::FromStr>(&self, column: usize, name: &str) -> Result<T> {
        let text = self.text(column);
        let digits = text.strip_prefix('-').unwrap_or(text);
        let number = if digits.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
        number.ok_or_else(|| self.wrong(name, format!("{:?} is not a whole number of 64 bits", clip(text))))
    }

    /// What is wrong in the column that is called `name`.
    pub(crate) fn wrong(&self, name: &str, reason: impl Into<String>) -> Error {
        wrong(format!("line {}, column {name}", self.line), reason)
    }
}

/// The fields of a line. In quotes, two quotes are one, and a comma is only a comma.
fn fields(text: &str, line: usize) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let mut field = String::new();
    let mut is_quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if is_quoted || field.trim().is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => all.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    if is_quoted {
        return Err(wrong(format!("line {line}"), "a quote is never closed"));
    }
    all.push(field);
    Ok(all)
}
