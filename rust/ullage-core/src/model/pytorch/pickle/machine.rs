//! The stack machine that a pickle is a program for.

use std::collections::HashMap;

use super::scan::{Halt, Scan};
use super::{Id, Object, Value};

/// Values of one pickle at most. A checkpoint has a dozen for each tensor.
const MOST_VALUES: usize = 1 << 23;

/// Values that every pickle begins with, so that the commonest opcodes make none.
const OPAQUE: Id = 0;
const NOTHING: Id = 1;

/// Runs the pickle that `bytes` begin with: its values, the one it describes, and its length.
pub(super) fn run(bytes: &[u8]) -> Result<(Vec<Value>, Id, usize), Halt> {
    let mut machine = Machine {
        scan: Scan::of(bytes),
        values: vec![Value::Opaque, Value::Tuple(Box::default())],
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let opcode = machine.scan.byte()?;
        if opcode == b'.' {
            let root = machine.pop()?;
            return Ok((machine.values, root, machine.scan.place()));
        }
        machine.step(opcode)?;
    }
}

struct Machine<'a> {
    scan: Scan<'a>,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

impl Machine<'_> {
    fn step(&mut self, opcode: u8) -> Result<(), Halt> {
        match opcode {
            // Protocol and frames: nothing to do.
            0x80 => self.scan.take(1).map(drop),
            0x95 => self.scan.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop_or_mark(),
            b'1' => self.since_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.push(top)
            }
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.remember(opcode),
            b'N' | b'F' | b'G' | b'I' | b'J' | b'K' | b'L' | b'M' | 0x88..=0x8b => self.number(opcode),
            b'S' | b'T' | b'U' | b'V' | b'X' | 0x8c | 0x8d => self.text(opcode),
            b'B' | b'C' | 0x8e | 0x96..=0x98 => self.binary(opcode),
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => self.container(opcode),
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(opcode),
            b'c' | 0x93 | 0x82..=0x84 | b'P' | b'Q' => self.outside(opcode),
            b'R' | b'b' | b'i' | b'o' | 0x81 | 0x92 => self.call(opcode),
            _ => Err(self.scan.broken(format!("{opcode:#04x} is no opcode of a pickle"))),
        }
    }

    fn remember(&mut self, opcode: u8) -> Result<(), Halt> {
        let key = match opcode {
            b'h' | b'q' => self.scan.count::<1>()?,
            b'j' | b'r' => self.scan.count::<4>()?,
            b'g' | b'p' => {
                let number = self.scan.decimal()?.and_then(|number| usize::try_from(number).ok());
                number.ok_or_else(|| self.scan.broken("a memo below zero"))?
            }
            _ => self.memo.len(),
        };
        if matches!(opcode, b'p' | b'q' | b'r' | 0x94) {
            let top = self.top()?;
            self.memo.insert(key, top);
            return Ok(());
        }
        match self.memo.get(&key) {
            Some(&id) => self.push(id),
            None => Err(self.scan.broken(format!("memo {key} is read before it is written"))),
        }
    }

    fn number(&mut self, opcode: u8) -> Result<(), Halt> {
        let number = match opcode {
            b'N' => None,
            b'F' => {
                self.scan.line()?;
                None
            }
            b'G' => {
                self.scan.take(8)?;
                None
            }
            b'I' | b'L' => self.scan.decimal()?,
            b'J' => Some(i32::from_le_bytes(self.scan.array()?).into()),
            b'K' => Some(self.scan.byte()?.into()),
            b'M' => Some(u16::from_le_bytes(self.scan.array()?).into()),
            0x88 => Some(1),
            0x89 => Some(0),
            0x8a => {
                let range = self.scan.counted::<1>()?;
                self.scan.signed(range)
            }
            _ => {
                let range = self.scan.counted::<4>()?;
                self.scan.signed(range)
            }
        };
        match number {
            Some(number) => self.make(Value::Integer(number)),
            None => self.push(OPAQUE),
        }
    }

    fn text(&mut self, opcode: u8) -> Result<(), Halt> {
        let range = match opcode {
            b'S' => self.scan.quoted()?,
            b'V' => self.scan.line()?,
            b'T' | b'X' => self.scan.counted::<4>()?,
            b'U' | 0x8c => self.scan.counted::<1>()?,
            _ => self.scan.counted::<8>()?,
        };
        self.make(Value::Text(range))
    }

    fn binary(&mut self, opcode: u8) -> Result<(), Halt> {
        match opcode {
            b'B' => self.scan.counted::<4>()?,
            b'C' => self.scan.counted::<1>()?,
            0x8e | 0x96 => self.scan.counted::<8>()?,
            // A buffer outside the pickle, and the top of the stack made read-only.
            0x97 => return self.push(OPAQUE),
            _ => return self.top().map(drop),
        };
        self.push(OPAQUE)
    }

    fn container(&mut self, opcode: u8) -> Result<(), Halt> {
        let value = match opcode {
            b')' => return self.push(NOTHING),
            b']' | 0x8f => Value::List(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            b't' | 0x91 => Value::Tuple(self.since_mark()?.into()),
            b'l' => Value::List(self.since_mark()?),
            b'd' => {
                let items = self.since_mark()?;
                Value::Dict(self.paired(&items)?)
            }
            _ => {
                let count = usize::from(opcode.saturating_sub(0x84));
                let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
                let start = start.ok_or_else(|| self.scan.broken("a tuple of more than the stack holds"))?;
                Value::Tuple(self.stack.split_off(start).into())
            }
        };
        self.make(value)
    }

    fn fill(&mut self, opcode: u8) -> Result<(), Halt> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.since_mark()?,
        };
        let target = self.top()?;
        if matches!(opcode, b's' | b'u') {
            let pairs = self.paired(&items)?;
            match self.values.get_mut(target) {
                Some(Value::Dict(held)) => held.extend(pairs),
                Some(Value::Object(object)) => object.pairs.extend(pairs),
                _ => return Err(self.scan.broken("entries for what is no dictionary")),
            }
            return Ok(());
        }
        match self.values.get_mut(target) {
            Some(Value::List(held)) => held.extend(items),
            Some(Value::Object(object)) => object.items.extend(items),
            _ => return Err(self.scan.broken("items for what is no list")),
        }
        Ok(())
    }

    fn outside(&mut self, opcode: u8) -> Result<(), Halt> {
        let value = match opcode {
            b'c' => Value::Global(self.scan.line()?, self.scan.line()?),
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.values.get(module), self.values.get(name)) {
                    (Some(Value::Text(module)), Some(Value::Text(name))) => {
                        Value::Global(module.clone(), name.clone())
                    }
                    _ => return Err(self.scan.broken("a global whose name is no text")),
                }
            }
            b'P' => {
                let text = self.scan.line()?;
                self.make(Value::Text(text))?;
                Value::Persistent(self.pop()?)
            }
            b'Q' => Value::Persistent(self.pop()?),
            // Codes of an extension registry, which stand for globals.
            _ => {
                self.scan.take(usize::from(1_u8 << opcode.saturating_sub(0x82)))?;
                return self.push(OPAQUE);
            }
        };
        self.make(value)
    }

    fn call(&mut self, opcode: u8) -> Result<(), Halt> {
        let (class, arguments) = match opcode {
            b'b' => return self.build(),
            b'i' => {
                let global = Value::Global(self.scan.line()?, self.scan.line()?);
                let arguments = self.since_mark()?;
                (self.keep(global)?, self.keep(Value::Tuple(arguments.into()))?)
            }
            b'o' => {
                let parts = self.since_mark()?;
                let Some((class, arguments)) = parts.split_first() else {
                    return Err(self.scan.broken("an object without its class"));
                };
                (*class, self.keep(Value::Tuple(arguments.into()))?)
            }
            _ => {
                if opcode == 0x92 {
                    self.pop()?; // keyword arguments
                }
                let arguments = self.pop()?;
                (self.pop()?, arguments)
            }
        };
        let object = Object { class, arguments, state: None, pairs: Vec::new(), items: Vec::new() };
        self.make(Value::Object(Box::new(object)))
    }

    fn build(&mut self) -> Result<(), Halt> {
        let state = self.pop()?;
        let target = self.top()?;
        if let Some(Value::Object(object)) = self.values.get_mut(target) {
            object.state = Some(state);
        }
        Ok(())
    }

    fn paired(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, Halt> {
        match items.as_chunks() {
            (pairs, []) => Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()),
            _ => Err(self.scan.broken("a key without its value")),
        }
    }

    fn keep(&mut self, value: Value) -> Result<Id, Halt> {
        let id = self.values.len();
        if id >= MOST_VALUES {
            return Err(self.scan.broken(format!("more than {MOST_VALUES} values")));
        }
        self.values.push(value);
        Ok(id)
    }

    fn make(&mut self, value: Value) -> Result<(), Halt> {
        let id = self.keep(value)?;
        self.push(id)
    }

    fn push(&mut self, id: Id) -> Result<(), Halt> {
        if self.stack.len() >= MOST_VALUES {
            return Err(self.scan.broken(format!("more than {MOST_VALUES} values on the stack")));
        }
        self.stack.push(id);
        Ok(())
    }

    /// The height below which the stack belongs to the code before the last open mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, Halt> {
        self.stack
            .last()
            .copied()
            .filter(|_| self.stack.len() > self.floor())
            .ok_or_else(|| self.scan.broken("the stack is empty"))
    }

    fn pop(&mut self) -> Result<Id, Halt> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_or_mark(&mut self) -> Result<(), Halt> {
        if self.stack.len() == self.floor() && self.marks.pop().is_some() {
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, Halt> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height.min(self.stack.len()))),
            None => Err(self.scan.broken("no mark is open")),
        }
    }
}
