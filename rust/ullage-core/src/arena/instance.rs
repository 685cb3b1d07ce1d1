//! The reader of instance files: a CSV of ids, lifetimes and sizes.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::arena::problem::Buffer;
use crate::error::{Error, Result};
use crate::table::{self, LARGEST_FILE, Row, text_of, wrong};
use crate::units::{UnitError, clip};

/// What an instance file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The id of each buffer, each once.
    pub ids: Vec<String>,
    /// The buffers.
    pub buffers: Vec<Buffer>,
}

const REQUIRED: [&str; 4] = ["id", "lower", "upper", "size"];
const ALIGNMENT: &str = "alignment";

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
/// A column `alignment` is read where there is one; others are passed over. A size may have a unit, as in `1.5 MiB`.
/// Fields may stand in double quotes. No field holds a line break.
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
    };
    let (mut ids, mut buffers) = (Vec::new(), Vec::new());
    let mut seen = HashMap::new();
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
        ids.push(id);
        buffers.push(buffer);
    }
    Ok(Instance { ids, buffers })
}

/// Which column is which.
struct Columns {
    id: usize,
    lower: usize,
    upper: usize,
    size: usize,
    alignment: Option<usize>,
}

impl Columns {
    fn buffer(&self, row: &Row) -> Result<Buffer> {
        let size =
            row.text(self.size).parse().map_err(|error: UnitError| row.wrong("size", error.to_string()))?;
        let alignment = self.alignment.map_or(Ok(1), |column| row.whole(column, ALIGNMENT))?;
        let (lower, upper) = (row.whole(self.lower, "lower")?, row.whole(self.upper, "upper")?);
        Ok(Buffer { lower, upper, size, alignment })
    }
}
