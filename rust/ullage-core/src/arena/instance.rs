//! The reader of instance files: a CSV of ids, lifetimes and sizes.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::arena::conditions::Conditions;
use crate::arena::problem::Buffer;
use crate::error::{Error, Result};
use crate::units::{Bytes, UnitError, clip};

/// What an instance file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The id of each buffer, each once.
    pub ids: Vec<String>,
    /// The buffers.
    pub buffers: Vec<Buffer>,
    /// What is asked of them beyond; each column is empty where the file has none.
    pub conditions: Conditions,
}

/// The largest file that is read. Twenty million buffers take half of it.
const LARGEST_FILE: u64 = 1 << 30;

const REQUIRED: [&str; 4] = ["id", "lower", "upper", "size"];
const ALIGNMENT: &str = "alignment";
const FIXED: &str = "fixed";
const HINT: &str = "hint";
const ALIAS: &str = "alias";
const GAPS: &str = "gaps";

/// Reads a CSV file, see [`parse_csv`].
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read, else as [`parse_csv`].
pub fn read_instance(path: &Path) -> Result<Instance> {
    let unreadable = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(LARGEST_FILE.saturating_add(1)).read_to_end(&mut content).map_err(unreadable)?;
    parse_csv(&content)
}

/// Reads CSV with a header that names at least the columns `id`, `lower`, `upper` and `size`, in any order.
///
/// Read where they stand: `alignment`; `fixed`, an offset that is given; `hint`, one that is wished for; `alias`, the name
/// of a group of buffers at one offset; `gaps`, as in `3-5 8-9`, when others may use the bytes. An empty field says
/// nothing, nor does -1 as an offset. Other columns are passed over. A size may have a unit, as in `1.5 MiB`. Fields may
/// stand in double quotes. No field holds a line break.
///
/// # Errors
/// [`Error::Problem`] naming line and column: a column missing or named twice, a row of other length, what is no whole
/// number, an empty lifetime, an id that is taken; or `file`, for one above 1 GiB or not in UTF-8.
pub fn parse_csv(content: &[u8]) -> Result<Instance> {
    if content.len() as u64 > LARGEST_FILE {
        return Err(wrong("file".to_owned(), format!("larger than {}", Bytes::new(LARGEST_FILE).binary())));
    }
    let text = std::str::from_utf8(content).map_err(|error| {
        wrong("file".to_owned(), format!("not UTF-8 text from byte {} on", error.valid_up_to()))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty());
    let Some((line, header)) = lines.next() else {
        return Err(wrong("file".to_owned(), format!("empty, expected the header {}", REQUIRED.join(","))));
    };
    let columns = Columns::of(&fields(header, line)?, line)?;
    let (mut ids, mut buffers, mut conditions) = (Vec::new(), Vec::new(), Conditions::default());
    let (mut seen, mut groups) = (HashMap::new(), HashMap::new());
    for (line, text) in lines {
        let row = Row { fields: fields(text, line)?, line };
        if row.fields.len() != columns.count {
            let reason = format!("{} fields, the header has {}", row.fields.len(), columns.count);
            return Err(wrong(format!("line {line}"), reason));
        }
        let buffer = columns.buffer(&row)?;
        if let Some(fault) = buffer.fault() {
            return Err(wrong(format!("line {line}"), fault));
        }
        let id = row.text(columns.id).to_owned();
        if let Some(first) = seen.insert(id.clone(), line) {
            return Err(row.wrong("id", format!("{:?} is taken by line {first}", clip(&id))));
        }
        columns.conditions(&row, &mut groups, &mut conditions)?;
        ids.push(id);
        buffers.push(buffer);
    }
    Ok(Instance { ids, buffers, conditions })
}

fn wrong(field: String, reason: String) -> Error {
    Error::Problem { field, reason }
}

/// Which column is which.
struct Columns {
    id: usize,
    lower: usize,
    upper: usize,
    size: usize,
    alignment: Option<usize>,
    fixed: Option<usize>,
    hint: Option<usize>,
    alias: Option<usize>,
    gaps: Option<usize>,
    count: usize,
}

impl Columns {
    fn of(header: &[String], line: usize) -> Result<Self> {
        let find = |name: &str| {
            let mut found =
                (0..).zip(header).filter(|(_, column)| column.trim() == name).map(|(index, _)| index);
            match (found.next(), found.next()) {
                (_, Some(_)) => {
                    Err(wrong(format!("line {line}, column {name}"), "stands there twice".to_owned()))
                }
                (first, None) => Ok(first),
            }
        };
        let require = |name: &str| {
            let expected = REQUIRED.join(",");
            let missing = || {
                format!("is missing; expected {expected} in the header, not {:?}", clip(&header.join(",")))
            };
            find(name)?.ok_or_else(|| wrong(format!("line {line}, column {name}"), missing()))
        };
        Ok(Self {
            id: require("id")?,
            lower: require("lower")?,
            upper: require("upper")?,
            size: require("size")?,
            alignment: find(ALIGNMENT)?,
            fixed: find(FIXED)?,
            hint: find(HINT)?,
            alias: find(ALIAS)?,
            gaps: find(GAPS)?,
            count: header.len(),
        })
    }

    fn buffer(&self, row: &Row) -> Result<Buffer> {
        let size =
            row.text(self.size).parse().map_err(|error: UnitError| row.wrong("size", error.to_string()))?;
        let alignment = self.alignment.map_or(Ok(1), |column| row.whole(column, ALIGNMENT))?;
        let (lower, upper) = (row.whole(self.lower, "lower")?, row.whole(self.upper, "upper")?);
        Ok(Buffer { lower, upper, size, alignment })
    }

    /// Adds the entries of a row to the columns that the file has.
    fn conditions(&self, row: &Row, groups: &mut HashMap<String, u32>, into: &mut Conditions) -> Result<()> {
        if let Some(column) = self.fixed {
            into.fixed.push(row.offset(column, FIXED)?);
        }
        if let Some(column) = self.hint {
            into.hints.push(row.offset(column, HINT)?);
        }
        if let Some(column) = self.alias {
            let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            let name = row.text(column);
            let group = || *groups.entry(name.to_owned()).or_insert(next);
            into.groups.push((!name.is_empty()).then(group));
        }
        if let Some(column) = self.gaps {
            into.gaps
                .push(row.text(column).split_whitespace().map(|gap| row.gap(gap)).collect::<Result<_>>()?);
        }
        Ok(())
    }
}

struct Row {
    fields: Vec<String>,
    line: usize,
}

impl Row {
    fn text(&self, column: usize) -> &str {
        self.fields.get(column).map_or("", |field| field.trim())
    }

    fn whole<T: std::str::FromStr>(&self, column: usize, name: &str) -> Result<T> {
        let text = self.text(column);
        let digits = text.strip_prefix('-').unwrap_or(text);
        let number = if digits.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
        number.ok_or_else(|| self.wrong(name, format!("{:?} is not a whole number of 64 bits", clip(text))))
    }

    /// An offset; `None` for an empty field or -1.
    fn offset(&self, column: usize, name: &str) -> Result<Option<Bytes>> {
        match self.text(column) {
            "" | "-1" => Ok(None),
            _ => self.whole(column, name).map(|offset| Some(Bytes::new(offset))),
        }
    }

    /// A gap in a life: two instants with a hyphen between.
    fn gap(&self, text: &str) -> Result<(i64, i64)> {
        if text.contains('@') {
            let reason = format!("{:?} is a gap in a part of the bytes, which is not modelled", clip(text));
            return Err(self.wrong(GAPS, reason));
        }
        let hyphen =
            text.char_indices().find(|&(at, character)| at > 0 && character == '-').map(|(at, _)| at);
        let (lower, upper) = hyphen.map_or(("", ""), |at| text.split_at(at));
        let instants = lower.parse().ok().zip(upper.strip_prefix('-').and_then(|upper| upper.parse().ok()));
        instants.ok_or_else(|| self.wrong(GAPS, format!("{:?} is no gap such as 3-5", clip(text))))
    }

    fn wrong(&self, column: &str, reason: String) -> Error {
        wrong(format!("line {}, column {column}", self.line), reason)
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
        return Err(wrong(format!("line {line}"), "a quote is never closed".to_owned()));
    }
    all.push(field);
    Ok(all)
}
