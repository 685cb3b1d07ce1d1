//! The reader of instance files: a CSV of ids, lifetimes and sizes.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::arena::conditions::Conditions;
use crate::arena::problem::Buffer;
use crate::error::{Error, Result};
use crate::table::{self, LARGEST_FILE, Row, text_of, wrong};
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
    let table = table::open(text_of(content)?, &REQUIRED)?;
    let columns = Columns {
        id: table.require("id")?,
        lower: table.require("lower")?,
        upper: table.require("upper")?,
        size: table.require("size")?,
        alignment: table.find(ALIGNMENT)?,
        fixed: table.find(FIXED)?,
        hint: table.find(HINT)?,
        alias: table.find(ALIAS)?,
        gaps: table.find(GAPS)?,
    };
    let (mut ids, mut buffers, mut conditions) = (Vec::new(), Vec::new(), Conditions::default());
    let (mut seen, mut groups) = (HashMap::new(), HashMap::new());
    for row in table.rows() {
        let row = row?;
        let buffer = columns.buffer(&row)?;
        if let Some(fault) = buffer.fault() {
            return Err(wrong(format!("line {}", row.line), fault));
        }
        let id = row.text(columns.id).to_owned();
        if let Some(first) = seen.insert(id.clone(), row.line) {
            return Err(row.wrong("id", format!("{:?} is taken by line {first}", clip(&id))));
        }
        columns.conditions(&row, &mut groups, &mut conditions)?;
        ids.push(id);
        buffers.push(buffer);
    }
    Ok(Instance { ids, buffers, conditions })
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
}

impl Columns {
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
            into.fixed.push(offset(row, column, FIXED)?);
        }
        if let Some(column) = self.hint {
            into.hints.push(offset(row, column, HINT)?);
        }
        if let Some(column) = self.alias {
            let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            let name = row.text(column);
            let group = || *groups.entry(name.to_owned()).or_insert(next);
            into.groups.push((!name.is_empty()).then(group));
        }
        if let Some(column) = self.gaps {
            into.gaps
                .push(row.text(column).split_whitespace().map(|text| gap(row, text)).collect::<Result<_>>()?);
        }
        Ok(())
    }
}

/// An offset; `None` for an empty field or -1.
fn offset(row: &Row, column: usize, name: &str) -> Result<Option<Bytes>> {
    match row.text(column) {
        "" | "-1" => Ok(None),
        _ => row.whole(column, name).map(|offset| Some(Bytes::new(offset))),
    }
}

/// A gap in a life: two instants with a hyphen between.
fn gap(row: &Row, text: &str) -> Result<(i64, i64)> {
    if text.contains('@') {
        let reason = format!("{:?} is a gap in a part of the bytes, which is not modelled", clip(text));
        return Err(row.wrong(GAPS, reason));
    }
    let hyphen = text.char_indices().find(|&(at, character)| at > 0 && character == '-').map(|(at, _)| at);
    let (lower, upper) = hyphen.map_or(("", ""), |at| text.split_at(at));
    let instants = lower.parse().ok().zip(upper.strip_prefix('-').and_then(|upper| upper.parse().ok()));
    instants.ok_or_else(|| row.wrong(GAPS, format!("{:?} is no gap such as 3-5", clip(text))))
}
