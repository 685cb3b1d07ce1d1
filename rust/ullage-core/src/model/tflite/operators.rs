//! The order of operators, and how long each value is kept.

use std::collections::BTreeSet;
use std::io::{Read, Seek};

use super::super::fault::{Failure, Fault};
use super::super::flat::{Flat, Table};
use super::super::graph::{Recorder, Size, ValueId};
use super::weights::Weights;

/// Members of the union `BuiltinOptions` that call subgraphs, with how many they name.
const CALLS: [(u8, u16); 4] = [(16, 1), (92, 2), (93, 2), (103, 1)];

/// Operators that turn stored weights into what others compute with: `DEQUANTIZE` and `DENSIFY`. Of a constant, the
/// runtime does that once and keeps the result.
const EXPANSIONS: [u32; 2] = [6, 124];

/// Operators whose output is their input in another shape, and in the same place: `RESHAPE`, `SQUEEZE`, `EXPAND_DIMS`.
const VIEWS: [u32; 3] = [22, 43, 70];

/// Operators that may write over an input nothing else reads, as long as their output is: `ADD`, `MUL`, `SUB`, `DIV`.
const IN_PLACE: [u32; 4] = [0, 18, 41, 42];

/// How deep subgraphs may call one another.
const DEEPEST: usize = 16;

/// Tensors and operators gone through in one run: calls within calls could come to any number.
const MOST_WORK: usize = 1 << 24;

/// A tensor that is no weight: its size, if it has one, and whether it outlives a run.
type Slot = Option<(Option<Size>, bool)>;

/// The subgraphs of a model.
#[derive(Debug, Default)]
pub(super) struct Program {
    subgraphs: Vec<Subgraph>,
}

#[derive(Debug)]
struct Subgraph {
    slots: Vec<Slot>,
    inputs: Vec<i32>,
    outputs: Vec<i32>,
    operators: Vec<Operator>,
    /// How often each tensor is read, as an input of an operator or an output of the whole.
    reads: Vec<u32>,
}

#[derive(Debug)]
struct Operator {
    code: u32,
    inputs: Vec<i32>,
    outputs: Vec<i32>,
    calls: Vec<usize>,
}

impl Program {
    /// Reads the operators of a `SubGraph` whose tensors are `slots`. What expands `weights` makes more of them.
    pub(super) fn add<R: Read + Seek>(
        &mut self,
        flat: &mut Flat<'_, R>,
        subgraph: Table,
        codes: &[u32],
        mut slots: Vec<Slot>,
        weights: &mut Weights,
    ) -> Result<(), Failure> {
        let inputs = flat.integers(subgraph, 1, "the inputs of a subgraph")?;
        let outputs = flat.integers(subgraph, 2, "the outputs of a subgraph")?;
        let mut operators = Vec::new();
        for operator in flat.tables(subgraph, 3, "the operators")? {
            let mut made = flat.integers(operator, 2, "the outputs of an operator")?;
            made.extend(flat.integers(operator, 8, "the intermediates of an operator")?);
            let code = flat.word(operator, 0, "the code of an operator")?;
            let code = usize::try_from(code).ok().and_then(|code| codes.get(code)).copied();
            operators.push(Operator {
                code: code.unwrap_or(u32::MAX),
                inputs: flat.integers(operator, 1, "the inputs of an operator")?,
                outputs: made,
                calls: calls(flat, operator)?,
            });
        }
        let used = operators.iter().flat_map(|operator| operator.inputs.iter().chain(&operator.outputs));
        for &index in inputs.iter().chain(&outputs).chain(used) {
            // -1 stands for an input that is left out.
            let is_there = usize::try_from(index).is_ok_and(|index| index < slots.len());
            if !is_there && index != -1 {
                return Err(Fault::new(format!("there is no tensor {index}")).offset(subgraph.start).into());
            }
        }
        for operator in operators.iter().filter(|operator| EXPANSIONS.contains(&operator.code)) {
            if let (Some(&input), Some(&output)) = (operator.inputs.first(), operator.outputs.first())
                && let Some(slot) = usize::try_from(output).ok().and_then(|output| slots.get_mut(output))
                && let Some((Some(size), _)) = slot
                && weights.expand(input, output, size)
            {
                *slot = None;
            }
        }
        let mut reads = vec![0_u32; slots.len()];
        for &index in operators.iter().flat_map(|operator| &operator.inputs).chain(&outputs).chain(&inputs) {
            if let Some(count) = usize::try_from(index).ok().and_then(|index| reads.get_mut(index)) {
                *count = count.saturating_add(1);
            }
        }
        self.subgraphs.push(Subgraph { slots, inputs, outputs, operators, reads });
        Ok(())
    }

    /// What the way of counting leaves out.
    pub(super) fn notes(&self) -> Vec<String> {
        let entries = self.entries().len();
        if entries < 2 {
            return Vec::new();
        }
        vec![format!(
            "The model has {entries} entry points; what a graph needs is what the largest needs, though a runtime may \
             keep the arenas of several."
        )]
    }

    /// Runs the entry points one after the other.
    pub(super) fn run(&self, recorder: &mut Recorder) -> Result<(), Failure> {
        let mut work = 0;
        for entry in self.entries() {
            self.subgraph(entry, 0, recorder, &mut work)?;
        }
        Ok(())
    }

    /// The subgraphs that nothing calls.
    fn entries(&self) -> Vec<usize> {
        let operators = self.subgraphs.iter().flat_map(|subgraph| &subgraph.operators);
        let called: BTreeSet<usize> = operators.flat_map(|operator| operator.calls.iter().copied()).collect();
        (0..self.subgraphs.len()).filter(|index| !called.contains(index)).collect()
    }

    fn subgraph(
        &self,
        index: usize,
        depth: usize,
        recorder: &mut Recorder,
        work: &mut usize,
    ) -> Result<(), Failure> {
        if depth > DEEPEST {
            return Err(Fault::new(format!("subgraphs call one another more than {DEEPEST} deep")).into());
        }
        let Some(subgraph) = self.subgraphs.get(index) else {
            return Err(Fault::new(format!("there is no subgraph {index}")).into());
        };
        *work = work
            .saturating_add(subgraph.slots.len())
            .saturating_add(subgraph.operators.len())
            .saturating_add(1);
        if *work > MOST_WORK {
            return Err(Fault::new("subgraphs call one another over and over").into());
        }
        recorder.advance();
        let mut live =
            Live { slots: &subgraph.slots, reads: &subgraph.reads, ids: vec![None; subgraph.slots.len()] };
        let mut kept = Vec::new();
        for (place, slot) in (0_i32..).zip(&subgraph.slots) {
            let is_variable = slot.as_ref().is_some_and(|(_, is_variable)| *is_variable);
            if is_variable {
                kept.extend(live.touch(place, recorder)?);
            }
        }
        for &input in &subgraph.inputs {
            kept.extend(live.touch(input, recorder)?);
        }
        for operator in &subgraph.operators {
            recorder.advance();
            live.all(&operator.inputs, recorder)?;
            for &called in &operator.calls {
                self.subgraph(called, depth.saturating_add(1), recorder, work)?;
                recorder.advance();
            }
            live.pass_on(operator);
            live.all(&operator.outputs, recorder)?;
        }
        recorder.advance();
        live.all(&subgraph.outputs, recorder)?;
        for id in kept {
            recorder.read(id);
        }
        Ok(())
    }
}

/// The tensors of a subgraph while it runs.
struct Live<'a> {
    slots: &'a [Slot],
    reads: &'a [u32],
    ids: Vec<Option<ValueId>>,
}

impl Live<'_> {
    fn all(&mut self, indices: &[i32], recorder: &mut Recorder) -> Result<(), Failure> {
        for &index in indices {
            self.touch(index, recorder)?;
        }
        Ok(())
    }

    /// Gives the output of an operator the place of an input, if it may have it.
    fn pass_on(&mut self, operator: &Operator) {
        let [output] = operator.outputs[..] else { return };
        let Ok(output) = usize::try_from(output) else { return };
        let shares = |input: &&i32| {
            let input = usize::try_from(**input).unwrap_or(usize::MAX);
            VIEWS.contains(&operator.code)
                || IN_PLACE.contains(&operator.code)
                    && self.reads.get(input) == Some(&1)
                    && self.slots.get(input) == self.slots.get(output)
        };
        let input =
            operator.inputs.iter().take(2).find(shares).and_then(|&input| usize::try_from(input).ok());
        let id = input.and_then(|input| self.ids.get(input)).copied().flatten();
        if let (Some(id), Some(place)) = (id, self.ids.get_mut(output)) {
            place.get_or_insert(id);
        }
    }

    /// Makes the tensor if this is its first use, and keeps it until now; nothing for weights.
    fn touch(&mut self, index: i32, recorder: &mut Recorder) -> Result<Option<ValueId>, Failure> {
        let Ok(index) = usize::try_from(index) else { return Ok(None) };
        let (Some(Some((size, _))), Some(id)) = (self.slots.get(index), self.ids.get_mut(index)) else {
            return Ok(None);
        };
        match *id {
            Some(id) => recorder.read(id),
            None => *id = Some(recorder.make(size.clone())?),
        }
        Ok(*id)
    }
}

/// The `BuiltinOperator` of each `OperatorCode` of a `Model`.
pub(super) fn codes<R: Read + Seek>(flat: &mut Flat<'_, R>, model: Table) -> Result<Vec<u32>, Failure> {
    let mut codes = Vec::new();
    for code in flat.tables(model, 1, "the operator codes")? {
        // Older writers have only the byte; newer ones fill both as far as it goes.
        let old = u32::from(flat.byte(code, 0, "an operator code")?);
        codes.push(flat.word(code, 3, "an operator code")?.max(old));
    }
    Ok(codes)
}

/// The subgraphs that an `Operator` calls.
fn calls<R: Read + Seek>(flat: &mut Flat<'_, R>, operator: Table) -> Result<Vec<usize>, Failure> {
    let kind = flat.byte(operator, 3, "the options of an operator")?;
    let Some(&(_, count)) = CALLS.iter().find(|(member, _)| *member == kind) else { return Ok(Vec::new()) };
    let Some(options) = flat.table(operator, 4, "the options of an operator")? else { return Ok(Vec::new()) };
    let mut calls = Vec::new();
    for id in 0..count {
        let index = flat.word(options, id, "the subgraph that an operator calls")?;
        calls.push(usize::try_from(index).unwrap_or(usize::MAX));
    }
    Ok(calls)
}
