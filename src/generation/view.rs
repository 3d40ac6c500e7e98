//! What a user sees of a generation's tables: stacks, samples, and the tables themselves.

use super::mix::Mix;
use super::tables::{Lookup, Tables};
use super::trace::{Generation, Trace};
use crate::error::Error;
use crate::ids::{Experiment, GenerationId, GoId, Offset, ProcId, StackId, StringId, ThreadId};
use crate::string::GoStr;
use crate::tables::Storage;
use crate::time::{ClockSnapshot, Frequency, Time};
use crate::wire::{Batch, Batches, Chunk, RawFrames};
use crate::wire::{Pieces, Place, Span};
use core::fmt;
use core::hash::{Hash, Hasher};
use core::iter::FusedIterator;

/// A call stack of a generation (`trace.Stack` in Go's API).
///
/// Two stacks of one generation are equal if they have the same id. Frames are decoded when asked
/// for; their names borrow from the trace.
#[derive(Clone, Copy)]
pub struct Stack<'a, 't> {
    pub(crate) id: u64,
    pub(crate) frames: &'t [u8],
    pub(crate) input: Pieces<'t>,
    pub(crate) tables: &'a dyn Lookup,
}

impl<'a, 't> Stack<'a, 't> {
    /// The id within the generation; `None` for an empty stack that the table does not hold.
    pub const fn id(&self) -> Option<StackId> {
        StackId::new(self.id)
    }

    /// The frames, the innermost first, at most 128.
    pub const fn frames(&self) -> Frames<'a, 't> {
        Frames {
            raw: RawFrames::new(self.frames),
            input: self.input,
            tables: self.tables,
        }
    }

    /// A key by which equal stacks of different generations are equal. Every frame is decoded to
    /// compute it: keep it by [`id`](Stack::id) within a generation.
    ///
    /// ```
    /// use gotrace::Trace;
    /// use std::collections::HashMap;
    ///
    /// let bytes = include_bytes!("../../tests/fixtures/annotate-go1.27.trace");
    /// let trace = Trace::new(bytes)?;
    /// let mut reader = trace.reader();
    /// let mut events = HashMap::new();
    /// while let Some(event) = reader.next()? {
    ///     if let Some(stack) = event.stack() {
    ///         *events.entry(stack.key()).or_insert(0) += 1;
    ///     }
    /// }
    /// assert!(events.values().any(|n| *n > 1));
    /// # Ok::<(), gotrace::Error>(())
    /// ```
    pub fn key(&self) -> StackKey {
        let mut hash = Mix::new();
        for frame in self.frames() {
            hash.number(frame.pc);
            hash.number(frame.line);
            hash.bytes(frame.func.as_bytes());
            hash.bytes(frame.file.as_bytes());
        }
        StackKey(hash.finish())
    }
}

impl PartialEq for Stack<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && core::ptr::eq(self.frames, other.frames)
    }
}

impl Eq for Stack<'_, '_> {}

/// By what [`PartialEq`] compares: for sets of the stacks of one generation. [`Stack::key`] is what to
/// hash or compare by across generations.
impl Hash for Stack<'_, '_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
        self.frames.as_ptr().hash(state);
    }
}

/// What a call stack is, whatever its id: equal for stacks of the same frames (functions, files,
/// lines and program counters), in any generation or trace.
///
/// A hash of the frames, of 128 bits: two different stacks of a trace that holds a million of them
/// have the same key with a probability of less than 10<sup>-26</sup>, unless its author looked for
/// such a pair: the hash is fast, not cryptographic. It may change between versions of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StackKey(pub u128);

impl fmt::Debug for Stack<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.frames()).finish()
    }
}

/// Two lines a frame, as Go's `Stack.String` prints it: function and program counter, then file and
/// line, indented. With `{:#}` indented by one more tab, as within an event. Control characters in
/// names are escaped.
impl fmt::Display for Stack<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tab = if f.alternate() { "\t" } else { "" };
        self.frames().try_for_each(|frame| {
            writeln!(f, "{tab}{} @ 0x{:x}", frame.func.printable(), frame.pc)?;
            writeln!(f, "{tab}\t{}:{}", frame.file.printable(), frame.line)
        })
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Stack<'_, '_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "stack {=u64}", self.id);
    }
}

/// A frame of a call stack (`trace.StackFrame`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Frame<'t> {
    /// The program counter: of the call, or in the innermost frame where the stack was taken.
    pub pc: u64,
    /// The function.
    pub func: GoStr<'t>,
    /// The source file.
    pub file: GoStr<'t>,
    /// The line within the file, from 1.
    pub line: u64,
}

/// The frames of a [`Stack`].
#[derive(Clone)]
pub struct Frames<'a, 't> {
    raw: RawFrames<'t>,
    input: Pieces<'t>,
    tables: &'a dyn Lookup,
}

impl<'t> Iterator for Frames<'_, 't> {
    type Item = Frame<'t>;

    fn next(&mut self) -> Option<Frame<'t>> {
        let raw = self.tables.frame(self.raw.next()?);
        let name = |id| {
            let span = self.tables.string(id).filter(|span| span.len > 0);
            span.map_or(GoStr::EMPTY, |span| GoStr::new(self.input.bytes(span)))
        };
        Some(Frame {
            pc: raw.pc,
            func: name(raw.func),
            file: name(raw.file),
            line: raw.line,
        })
    }

    /// A frame takes at least four bytes, and a stack has at most 128 frames.
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.raw.size_hint()
    }
}

impl FusedIterator for Frames<'_, '_> {}

/// A sample of the CPU profiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sample<'a, 't> {
    /// When.
    pub time: Time,
    /// The thread sampled.
    pub thread: Option<ThreadId>,
    /// Its proc, if it had one.
    pub proc: Option<ProcId>,
    /// Its goroutine, if it ran one.
    pub goroutine: Option<GoId>,
    /// What it was doing; `None` also if the stack table does not have it.
    pub stack: Option<Stack<'a, 't>>,
}

/// The tables of one generation: strings by id, stacks by id, CPU samples, the clock.
///
/// `S` says where the index lives: [`Growing`](crate::Growing) on the heap, or
/// [`Fixed`](crate::Fixed), whose first three capacities count here. An entry takes 24 bytes.
pub struct GenerationTables<'t, S: Storage> {
    pub(crate) input: Pieces<'t>,
    number: GenerationId,
    batches: Batches<'t>,
    end: Offset,
    pub(crate) tables: Tables<S>,
}

impl<'t, S: Storage> GenerationTables<'t, S> {
    /// Indexes the tables of a generation.
    ///
    /// Errors: everything that can be wrong with a table or a batch header, and
    /// [`TableFull`](crate::ErrorKind::TableFull).
    pub fn load(trace: &Trace<'t>, generation: &Generation) -> Result<Self, Error> {
        let mut tables = Tables::new();
        let mut batches = trace.batches_from(generation.start);
        while batches.offset() < generation.end {
            let Some(Chunk::Batch(batch)) = batches.next()? else {
                break;
            };
            let place = Place {
                at: batches.place().at.saturating_sub(batch.data.len()),
                ..batches.place()
            };
            tables.add(&batch, place, trace.version())?;
        }
        let number = generation.number;
        tables.finish(
            &trace.input,
            number.get(),
            trace.version(),
            generation.end.0,
        )?;
        Ok(GenerationTables {
            input: trace.input,
            number,
            batches: trace.batches_from(generation.start),
            end: generation.end,
            tables,
        })
    }

    /// The generation's number.
    pub const fn number(&self) -> GenerationId {
        self.number
    }

    /// The clock frequency.
    pub const fn frequency(&self) -> Option<Frequency> {
        self.tables.frequency
    }

    /// The clock snapshot, since Go 1.25.
    pub fn clock(&self) -> Option<ClockSnapshot> {
        Lookup::clock(&self.tables)
    }

    /// A string by id: empty for no id, `None` for one that the table does not have.
    pub fn string(&self, id: Option<StringId>) -> Option<GoStr<'t>> {
        let Some(id) = id else {
            return Some(GoStr::EMPTY);
        };
        Lookup::string(&self.tables, id.get()).map(|span| GoStr::new(self.input.bytes(span)))
    }

    /// A stack by id; `None` if the table does not have it.
    pub fn stack(&self, id: StackId) -> Option<Stack<'_, 't>> {
        self.stack_at(id.get(), Lookup::stack(&self.tables, id.get())?)
    }

    fn stack_at(&self, id: u64, span: Span) -> Option<Stack<'_, 't>> {
        Some(Stack {
            id,
            frames: self.input.bytes(span),
            input: self.input,
            tables: &self.tables,
        })
    }

    /// All strings, by rising id.
    pub fn strings(&self) -> impl Iterator<Item = (StringId, GoStr<'t>)> {
        self.tables
            .strings()
            .iter()
            .filter_map(|e| Some((StringId::new(e.id)?, GoStr::new(self.input.bytes(e.span)))))
    }

    /// All stacks, by rising id.
    pub fn stacks(&self) -> impl Iterator<Item = Stack<'_, 't>> {
        self.tables
            .stacks()
            .iter()
            .filter_map(|e| self.stack_at(e.id, e.span))
    }

    /// All CPU samples, by rising time.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'_, 't>> {
        self.tables.samples().iter().filter_map(|entry| {
            let sample = entry.record(&self.input)?;
            Some(Sample {
                time: entry.time,
                thread: sample.thread,
                proc: sample.proc,
                goroutine: sample.goroutine,
                stack: sample.stack.and_then(|id| self.stack(id)),
            })
        })
    }

    /// The batches of experiments, in the order in which they are in the trace.
    pub fn experimental_batches(&self) -> ExperimentalBatches<'t> {
        ExperimentalBatches::new(self.batches.clone(), self.end)
    }
}

impl<S: Storage> fmt::Debug for GenerationTables<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerationTables")
            .field("number", &self.number)
            .field("strings", &self.tables.strings().len())
            .field("stacks", &self.tables.stacks().len())
            .field("samples", &self.tables.samples().len())
            .finish_non_exhaustive()
    }
}

/// A batch of an experiment: opaque data of one thread (`trace.ExperimentalBatch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ExperimentalBatch<'t> {
    /// The experiment.
    pub experiment: Experiment,
    /// The thread that wrote the data.
    pub thread: Option<ThreadId>,
    /// The data.
    pub data: &'t [u8],
}

/// The experimental batches of a generation.
#[derive(Clone, Debug)]
pub struct ExperimentalBatches<'t> {
    batches: Batches<'t>,
    end: Offset,
}

impl<'t> ExperimentalBatches<'t> {
    pub(crate) const fn new(batches: Batches<'t>, end: Offset) -> Self {
        ExperimentalBatches { batches, end }
    }
}

impl<'t> Iterator for ExperimentalBatches<'t> {
    type Item = ExperimentalBatch<'t>;

    fn next(&mut self) -> Option<ExperimentalBatch<'t>> {
        while self.batches.offset() < self.end {
            if let Chunk::Batch(Batch { head, data, .. }) = self.batches.next().ok()??
                && let Some(experiment) = head.experiment
            {
                return Some(ExperimentalBatch {
                    experiment,
                    thread: head.thread,
                    data,
                });
            }
        }
        None
    }
}

// Batches that are at their end, or failed, stay there.
impl FusedIterator for ExperimentalBatches<'_> {}
