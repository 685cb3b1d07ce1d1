//! A program: its constants, what its backends were handed, and the arenas of its methods.

use std::collections::HashSet;
use std::io::{Read, Seek};

use super::super::Contents;
use super::super::dtype::Dtype;
use super::super::fault::{Failure, Fault};
use super::super::flat::{Flat, Table};
use super::super::graph::Graph;
use super::super::source::Source;
use super::super::tensor::Tensor;
use super::{Layout, Range, described, header_length, segments};
use crate::units::{Bytes, clip};

/// The member `Tensor` of the union `KernelTypes`.
const TENSOR: u8 = 5;

/// Reads a program.
pub(super) fn read<R: Read + Seek>(source: &mut Source<R>) -> Result<Contents, Failure> {
    let file_bytes = Bytes::new(source.length());
    let layout = layout(source)?;
    let mut flat = Flat::new(source, layout.flat_end)?;
    let root = flat.root()?;
    let segments = segments(&mut flat, root, 4, layout.segment_base)?;
    let inline = flat.tables(root, 3, "backend_delegate_data")?;
    let mut program = Program {
        flat,
        root,
        segments,
        inline,
        constants: Vec::new(),
        mutable: Vec::new(),
        tensors: Vec::new(),
        counted: HashSet::new(),
        notes: Vec::new(),
    };
    program.constants = program.constants()?;
    program.mutable = program.mutable()?;
    let plans = program.flat.tables(root, 1, "the execution plans")?;
    let mut planned: Vec<(Bytes, String)> = Vec::new();
    for plan in plans {
        planned.push(program.plan(plan)?);
    }
    program.named_data()?;
    let planned = program.largest(planned);
    let graph = Some(Graph { planned, ..Graph::default() });
    Ok(Contents { tensors: program.tensors, file_bytes, graph, notes: program.notes, ..Contents::default() })
}

struct Program<'a, R> {
    flat: Flat<'a, R>,
    root: Table,
    segments: Vec<Range>,
    /// Data of delegates in the flatbuffer itself.
    inline: Vec<Table>,
    /// Where the constants begin, by the number that tensors know them by.
    constants: Vec<u64>,
    /// Where the initial values of mutable tensors begin, by segment.
    mutable: Vec<Vec<u64>>,
    tensors: Vec<Tensor>,
    /// Where everything begins that was counted, so that what methods share is counted once.
    counted: HashSet<u64>,
    notes: Vec<String>,
}

impl<R: Read + Seek> Program<'_, R> {
    /// The tensors and delegates of an `ExecutionPlan`; returns its arenas and its name.
    fn plan(&mut self, plan: Table) -> Result<(Bytes, String), Failure> {
        let name = self.flat.text(plan, 0, "the name of a method")?;
        for value in self.flat.tables(plan, 2, "the values")? {
            if self.flat.byte(value, 0, "the kind of a value")? == TENSOR
                && let Some(tensor) = self.flat.table(value, 1, "a tensor")?
            {
                self.tensor(tensor)?;
            }
        }
        self.delegates(plan)?;
        Ok((self.arenas(plan, &name)?, name))
    }

    /// The arenas of a plan; the first entry stands for constants and is not allocated.
    fn arenas(&mut self, plan: Table, name: &str) -> Result<Bytes, Failure> {
        let sizes = self.flat.longs(plan, 8, "non_const_buffer_sizes")?;
        let fault = || Fault::new("non_const_buffer_sizes makes no sense").offset(plan.start).field(name);
        if sizes.iter().any(|&size| i64::try_from(size).is_err()) {
            return Err(fault().into());
        }
        Bytes::sum(sizes.into_iter().skip(1).map(Bytes::new), "the arenas").map_err(|_| fault().into())
    }

    /// Where the constants begin, by the number that tensors know them by.
    fn constants(&mut self) -> Result<Vec<u64>, Failure> {
        let inline = self.flat.tables(self.root, 2, "constant_buffer")?;
        if inline.len() > 1 {
            let mut starts = Vec::with_capacity(inline.len());
            for buffer in inline {
                starts.push(self.flat.vector(buffer, 0, 1, "the storage of a constant")?.start);
            }
            return Ok(starts);
        }
        match self.flat.table(self.root, 5, "constant_segment")? {
            Some(offsets) => self.starts(offsets),
            None => Ok(Vec::new()),
        }
    }

    /// Where the initial values of mutable tensors begin, by segment.
    fn mutable(&mut self) -> Result<Vec<Vec<u64>>, Failure> {
        let mut starts = Vec::new();
        for offsets in self.flat.tables(self.root, 6, "mutable_data_segments")? {
            starts.push(self.starts(offsets)?);
        }
        Ok(starts)
    }

    /// The places in a `SubsegmentOffsets`.
    fn starts(&mut self, offsets: Table) -> Result<Vec<u64>, Failure> {
        let index = self.flat.word(offsets, 0, "a segment index")?;
        let places = self.flat.longs(offsets, 1, "the offsets into a segment")?;
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let segment = self.segment(index, offsets)?;
        if places.iter().any(|&place| place > segment.length) {
            return Err(Fault::new("an offset passes the end of its segment").offset(offsets.start).into());
        }
        Ok(places.iter().map(|&place| segment.start.saturating_add(place)).collect())
    }

    fn segment(&self, index: u32, of: Table) -> Result<Range, Failure> {
        let found = usize::try_from(index).ok().and_then(|index| self.segments.get(index)).copied();
        found.ok_or_else(|| Fault::new(format!("there is no segment {index}")).offset(of.start).into())
    }

    /// Takes a `Tensor` in, if the file holds its data.
    fn tensor(&mut self, tensor: Table) -> Result<(), Failure> {
        let index = self.flat.word(tensor, 5, "data_buffer_idx")?;
        let extra = self.flat.table(tensor, 9, "extra_tensor_info")?;
        let (mut name, mut is_external, mut segment) = (String::new(), false, 0);
        if let Some(extra) = extra {
            segment = self.flat.long(extra, 0, "mutable_data_segments_idx")?;
            name = self.flat.text(extra, 1, "fully_qualified_name")?;
            is_external = self.flat.byte(extra, 2, "the location of a tensor")? == 1;
        }
        if is_external {
            self.note("Weights in a .ptd file of their own are not counted; open that file too.");
            return Ok(());
        }
        if index == 0 {
            return Ok(());
        }
        let is_mutable = self.flat.table(tensor, 6, "allocation_info")?.is_some();
        let of_segment = usize::try_from(segment).ok().and_then(|segment| self.mutable.get(segment));
        let starts = if is_mutable { of_segment.map_or(&[][..], Vec::as_slice) } else { &self.constants };
        let start = usize::try_from(index).ok().and_then(|index| starts.get(index)).copied();
        if name.is_empty() {
            name = format!("{}.{index}", if is_mutable { "mutable" } else { "constant" });
        }
        let Some(start) = start else {
            let reason = format!("there are no data of number {index}");
            return Err(Fault::new(reason).offset(tensor.start).field(&name).into());
        };
        if self.counted.insert(start) {
            let stored = self.stored(tensor, name, start)?;
            self.tensors.push(stored);
        }
        Ok(())
    }

    fn stored(&mut self, tensor: Table, name: String, start: u64) -> Result<Tensor, Failure> {
        let sizes = self.flat.integers(tensor, 2, "the sizes of a tensor")?;
        let scalar_type = self.flat.byte(tensor, 0, "the type of a tensor")?;
        let stored = described(name, scalar_type, &sizes, start)?;
        let end = start.checked_add(stored.bytes.get());
        if end.is_none_or(|end| end > self.flat.source.length()) {
            let reason = format!("its {} bytes pass the end of the file", stored.bytes.get());
            return Err(Fault::new(reason).offset(start).field(&stored.name).into());
        }
        Ok(stored)
    }

    /// What the backends of a plan were handed: one tensor of bytes each.
    fn delegates(&mut self, plan: Table) -> Result<(), Failure> {
        for delegate in self.flat.tables(plan, 7, "the delegates")? {
            let id = self.flat.text(delegate, 0, "the name of a backend")?;
            let Some(reference) = self.flat.table(delegate, 1, "the data of a delegate")? else { continue };
            let is_segment = self.flat.byte(reference, 0, "the location of a delegate")? == 1;
            let index = self.flat.word(reference, 1, "the index of a delegate")?;
            let range = if is_segment {
                self.segment(index, reference)?
            } else {
                self.inline_delegate(index, reference)?
            };
            self.opaque(format!("delegate.{}.{index}", clip(&id)), range);
            self.note(&format!(
                "What {} was handed is opaque: its bytes are counted, its parameters are not, and the packed copies that \
                 a backend makes when it starts come on top.",
                clip(&id)
            ));
        }
        Ok(())
    }

    fn inline_delegate(&mut self, index: u32, of: Table) -> Result<Range, Failure> {
        let Some(&blob) = usize::try_from(index).ok().and_then(|index| self.inline.get(index)) else {
            return Err(Fault::new(format!("there are no data of delegate {index}")).offset(of.start).into());
        };
        let data = self.flat.vector(blob, 0, 1, "the data of a delegate")?;
        Ok(Range { start: data.start, length: data.count })
    }

    /// Data that backends look up by name, such as weights that several methods share.
    fn named_data(&mut self) -> Result<(), Failure> {
        for named in self.flat.tables(self.root, 7, "named_data")? {
            let key = self.flat.text(named, 0, "the key of named data")?;
            let index = self.flat.word(named, 1, "the segment of named data")?;
            let range = self.segment(index, named)?;
            self.opaque(key, range);
            self.note(
                "Named data are counted by their bytes; what type they are is known to their backend alone.",
            );
        }
        Ok(())
    }

    fn opaque(&mut self, name: String, range: Range) {
        if self.counted.insert(range.start) {
            let bytes = Bytes::new(range.length);
            self.tensors.push(Tensor::plain(name, Dtype::U8, vec![range.length], range.start, bytes));
        }
    }

    fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.to_owned());
        }
    }

    /// The arenas of the method that has most.
    fn largest(&mut self, planned: Vec<(Bytes, String)>) -> Option<Bytes> {
        let methods = planned.len();
        let (bytes, name) = planned.into_iter().max_by_key(|(bytes, _)| *bytes)?;
        if methods > 1 {
            let name = clip(&name);
            self.note(&format!(
                "The planned arenas are those of the method {name:?}, the largest of {methods}."
            ));
        }
        Some(bytes)
    }
}

/// The header of a program: size of the flatbuffer, start of the segments. Without one, the file is a flatbuffer.
fn layout<R: Read + Seek>(source: &mut Source<R>) -> Result<Layout, Failure> {
    const LENGTH: u32 = 24;
    let length = source.length();
    if length < 32 || &source.array::<4>(8, "the header")? != b"eh00" {
        return Ok(Layout { flat_end: length, segment_base: 0 });
    }
    header_length(source, LENGTH)?;
    let flat_end = u64::from_le_bytes(source.array(16, "the program size")?);
    let segment_base = u64::from_le_bytes(source.array(24, "the segment base")?);
    Ok(Layout { flat_end, segment_base })
}
