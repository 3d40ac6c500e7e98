//! Events that are kept after their reader went on.

use super::details::{GoState, ProcState};
use super::{Event, EventKind, Raw, SYNC};
use crate::generation::GenerationTables;
use crate::ids::{GenerationId, GoId, Offset, ProcId, ThreadId};
use crate::num;
use crate::tables::Storage;
use crate::time::Time;
#[cfg(feature = "serde")]
use crate::wire::MAX_TIMED_ARGS;
use crate::wire::{EventType, Span, TimedEvent};

/// An event without its trace: everything that it says by itself, with the generation whose tables
/// have the rest and the offset of its record.
///
/// [`Event::record`] makes one. It borrows nothing, may be sent to other threads, and takes 128 bytes
/// at most. When, where and of what kind it is it says at any time; with the tables of its
/// generation, [`event`](EventRecord::event) is the [`Event`] again, with its strings and stacks.
///
/// ```
/// use gotrace::{Details, EventKind, Growing, Trace, generation::GenerationTables};
///
/// let bytes = include_bytes!("../../tests/fixtures/annotate-go1.27.trace");
/// let trace = Trace::new(bytes)?;
/// let mut reader = trace.reader();
/// let mut last_log = None;
/// while let Some(event) = reader.next()? {
///     if event.kind() == EventKind::Log {
///         last_log = Some(event.record());
///     }
/// }
///
/// // Much later:
/// let record = last_log.unwrap();
/// for generation in trace.generations() {
///     let generation = generation?;
///     if Some(generation.number) == record.generation() {
///         let tables = GenerationTables::<Growing>::load(&trace, &generation)?;
///         if let Some(event) = record.event(&tables)
///             && let Details::Log(log) = event.details()
///         {
///             println!("{}: {}", event.time(), log.message);
///         }
///     }
/// }
/// # Ok::<(), gotrace::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "Stored", from = "Stored")
)]
pub struct EventRecord {
    /// With places that count from the start of the trace: [`Span::absolute`].
    pub(super) raw: Raw,
    generation: u64,
    offset: u64,
}

impl EventRecord {
    pub(super) fn of(event: &Event<'_, '_>) -> EventRecord {
        let offset = event.offset().0;
        let (piece, at) = (Span::ABSOLUTE, num::narrow(offset));
        let name = match event.input.origin(event.raw.name) {
            Some(at) => Span::absolute(at, event.raw.name.len),
            None => Span::default(),
        };
        EventRecord {
            raw: Raw {
                piece,
                at,
                name,
                ..*event.raw
            },
            generation: event.generation().map_or(0, GenerationId::get),
            offset,
        }
    }

    /// The record of an event that no trace has: for tests, with
    /// [`TestTables`](super::TestTables). It happened at `time`, in no context.
    ///
    /// `event` is as on the wire; its time difference means nothing here. See
    /// [`TestTables`](super::TestTables) for an example.
    pub fn new(time: Time, event: TimedEvent) -> EventRecord {
        EventRecord {
            raw: Raw {
                time,
                event,
                ..Raw::default()
            },
            generation: 1,
            offset: 0,
        }
    }

    /// The same event on a thread.
    #[must_use]
    pub const fn with_thread(mut self, thread: Option<ThreadId>) -> Self {
        self.raw.thread = thread;
        self
    }

    /// The same event on a proc.
    #[must_use]
    pub const fn with_proc(mut self, proc: Option<ProcId>) -> Self {
        self.raw.proc = proc;
        self
    }

    /// The same event in a goroutine.
    #[must_use]
    pub const fn with_goroutine(mut self, goroutine: Option<GoId>) -> Self {
        self.raw.go = goroutine;
        self
    }

    /// The same status of a goroutine, which was in this state before. Has no meaning for other
    /// events.
    #[must_use]
    pub const fn with_go_state_before(mut self, from: GoState) -> Self {
        self.raw.from = from.number();
        self
    }

    /// The same status of a proc, which was in this state before. Has no meaning for other events.
    #[must_use]
    pub const fn with_proc_state_before(mut self, from: ProcState) -> Self {
        self.raw.from = from.number();
        self
    }

    /// The kind of event.
    pub fn kind(&self) -> EventKind {
        self.raw.kind()
    }

    /// As [`Event::wire_type`].
    pub fn wire_type(&self) -> Option<EventType> {
        (self.raw.event.ty != SYNC).then_some(self.raw.event.ty)
    }

    /// When it happened.
    pub const fn time(&self) -> Time {
        self.raw.time
    }

    /// The thread on which it happened.
    pub const fn thread(&self) -> Option<ThreadId> {
        self.raw.thread
    }

    /// The proc that the thread had before the event.
    pub const fn proc(&self) -> Option<ProcId> {
        self.raw.proc
    }

    /// The goroutine that the thread ran before the event.
    pub const fn goroutine(&self) -> Option<GoId> {
        self.raw.go
    }

    /// The generation that the event is of: that of the tables which [`event`](EventRecord::event)
    /// needs. `None` for the last sync event of a trace.
    pub const fn generation(&self) -> Option<GenerationId> {
        GenerationId::new(self.generation)
    }

    /// As [`Event::offset`].
    pub const fn offset(&self) -> Offset {
        Offset(self.offset)
    }

    /// The event again; `None` if the tables are those of another generation. Of traces of before Go
    /// 1.22 there are no such tables.
    ///
    /// The tables must be of the trace that the event was read from. The type of a task that ends, and
    /// the reason of a stop of the world that ends, may be in an earlier part of the trace: they are
    /// empty if it was read by a [`StreamReader`](crate::reader), which does not keep that part, or if
    /// the tables are of a trace without it.
    pub fn event<'a, 't, S: Storage>(
        &'a self,
        tables: &'a GenerationTables<'t, S>,
    ) -> Option<Event<'a, 't>> {
        (self.generation == tables.number().get()).then_some(Event {
            raw: &self.raw,
            tables: &tables.tables,
            input: tables.input,
        })
    }
}

/// What is stored of a record, with the names that it has there.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Stored {
    time: Time,
    thread: Option<ThreadId>,
    proc: Option<ProcId>,
    goroutine: Option<GoId>,
    #[serde(rename = "type")]
    ty: u8,
    dt: u64,
    args: [u64; MAX_TIMED_ARGS - 1],
    before: u8,
    /// Where the name that is at another place begins, and how long it is.
    name: Option<(Offset, u32)>,
    generation: u64,
    offset: Offset,
}

#[cfg(feature = "serde")]
impl From<EventRecord> for Stored {
    fn from(record: EventRecord) -> Stored {
        let raw = record.raw;
        let (start, len) = (Offset(num::wide(raw.name.at)), raw.name.len);
        Stored {
            time: raw.time,
            thread: raw.thread,
            proc: raw.proc,
            goroutine: raw.go,
            ty: raw.event.ty.0,
            dt: raw.event.dt,
            args: raw.event.args,
            before: raw.from,
            name: (raw.name.piece == Span::ABSOLUTE).then_some((start, len)),
            generation: record.generation,
            offset: record.offset(),
        }
    }
}

#[cfg(feature = "serde")]
impl From<Stored> for EventRecord {
    fn from(stored: Stored) -> EventRecord {
        let name = stored.name.map(|(at, len)| Span::absolute(at.0, len));
        EventRecord {
            raw: Raw {
                time: stored.time,
                thread: stored.thread,
                proc: stored.proc,
                go: stored.goroutine,
                event: TimedEvent::new(EventType(stored.ty), stored.dt, stored.args),
                from: stored.before,
                piece: Span::ABSOLUTE,
                at: num::narrow(stored.offset.0),
                name: name.unwrap_or_default(),
            },
            generation: stored.generation,
            offset: stored.offset.0,
        }
    }
}
