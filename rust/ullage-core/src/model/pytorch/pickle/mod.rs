//! A pickle, followed symbolically: every opcode of protocols 0 to 5 is understood and none is obeyed.
//!
//! A call (`REDUCE`, `NEWOBJ`, `INST`, …) becomes an object that says what would have been called with what; a global is
//! its name. Values refer to each other by place, so that shared and circular ones need no care, and each opcode makes
//! at most one of them. Opcodes: `Lib/pickletools.py` of CPython 3.14.

mod machine;
mod scan;

use std::ops::Range;

use super::{Failure, Fault};
use scan::Halt;

/// The place of a value among all values of a pickle.
pub(super) type Id = usize;

/// What a pickle describes.
#[derive(Debug)]
pub(super) struct Pickle {
    bytes: Vec<u8>,
    start: u64,
    values: Vec<Value>,
    root: Id,
    length: usize,
}

/// One value of a pickle.
#[derive(Debug)]
pub(super) enum Value {
    /// `None`, a fraction, bytes, an integer beyond 64 bits: nothing that tells of a tensor.
    Opaque,
    /// A truth value or an integer.
    Integer(i64),
    /// Text, where it stands in the pickle.
    Text(Range<usize>),
    /// A tuple or a frozen set.
    Tuple(Box<[Id]>),
    /// A list or a set.
    List(Vec<Id>),
    /// A dictionary: keys and values in order.
    Dict(Vec<(Id, Id)>),
    /// A class or function: where its module and its name stand.
    Global(Range<usize>, Range<usize>),
    /// What a call would have given.
    Object(Box<Object>),
    /// What the file keeps outside the pickle: a storage.
    Persistent(Id),
}

/// A call that was not made, and what was to be done with its outcome.
#[derive(Debug)]
pub(super) struct Object {
    /// What would have been called.
    pub(super) class: Id,
    /// Its arguments.
    pub(super) arguments: Id,
    /// What it would have been given as its state.
    pub(super) state: Option<Id>,
    /// What would have been set in it, as in a dictionary.
    pub(super) pairs: Vec<(Id, Id)>,
    /// What would have been appended to it, as to a list.
    pub(super) items: Vec<Id>,
}

impl Pickle {
    /// Follows the pickle that fills `bytes`, which begin at `start` in their file.
    pub(super) fn read(bytes: Vec<u8>, start: u64) -> Result<Self, Failure> {
        Self::begin(bytes, start).map_err(|halt| halt.fault(start).into())
    }

    /// Follows the pickle that `bytes` begin with; `None` if it does not end within them.
    pub(super) fn prefix(bytes: Vec<u8>, start: u64) -> Result<Option<Self>, Fault> {
        match Self::begin(bytes, start) {
            Ok(pickle) => Ok(Some(pickle)),
            Err(halt) if halt.is_truncation() => Ok(None),
            Err(halt) => Err(halt.fault(start)),
        }
    }

    fn begin(bytes: Vec<u8>, start: u64) -> Result<Self, Halt> {
        let (values, root, length) = machine::run(&bytes)?;
        Ok(Self { bytes, start, values, root, length })
    }

    /// What it describes as a whole.
    pub(super) fn root(&self) -> Id {
        self.root
    }

    /// Bytes up to and with its last opcode.
    pub(super) fn length(&self) -> u64 {
        u64::try_from(self.length).unwrap_or(u64::MAX)
    }

    /// Where it begins in its file.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Every value of it, in the order they were made.
    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::Opaque)
    }

    /// The text of a value that is text, if it is UTF-8.
    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.value(id) {
            Value::Text(range) => self.slice(range),
            _ => None,
        }
    }

    /// The value as a count.
    pub(super) fn count(&self, id: Id) -> Option<u64> {
        match self.value(id) {
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The parts of a tuple or list; none for anything else.
    pub(super) fn items(&self, id: Id) -> &[Id] {
        match self.value(id) {
            Value::Tuple(items) => items,
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The module and name of a global.
    pub(super) fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.value(id) {
            Value::Global(module, name) => Some((self.slice(module)?, self.slice(name)?)),
            _ => None,
        }
    }

    fn slice(&self, range: &Range<usize>) -> Option<&str> {
        std::str::from_utf8(self.bytes.get(range.clone())?).ok()
    }
}
