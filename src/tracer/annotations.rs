//! Tasks, regions, logs, waits, system calls, metrics.

use super::local::{self, is_on, with};
use crate::emit::Metric;
use crate::ids::TaskId;
use crate::num;
use crate::wire::{MAX_STRING_SIZE, timed};
use core::fmt::{self, Write as _};
use core::marker::PhantomData;

/// What is bound to the thread on which it began.
pub(super) type OfThread = PhantomData<*const ()>;

/// A task: something that takes a while, across threads and futures, as a request does
/// (`trace.NewTask`).
///
/// It ends when it is dropped. Regions and logs are part of the task that their thread has
/// [entered](Task::enter); what runs elsewhere enters it there, by a [`TaskContext`].
///
/// One that is made while nothing is traced is not part of any trace.
///
/// ```
/// use gotrace::tracer::{self, Task};
/// let task = Task::new("request");
/// let context = task.context();
/// let worker = std::thread::spawn(move || {
///     let _entered = context.enter();
///     tracer::with_region("compress", || 7)
/// });
/// worker.join().unwrap();
/// let part = task.child("send");
/// part.end();
/// ```
#[derive(Debug)]
#[must_use = "a task ends when it is dropped"]
pub struct Task {
    context: TaskContext,
}

/// A task as others know it: what they do may be part of it, but does not end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskContext {
    id: u64,
}

impl Task {
    /// A task begins: a child of the one that this thread has entered, if any.
    #[inline]
    pub fn new(name: &'static str) -> Task {
        Task::begin(None, name)
    }

    /// A task begins that is part of this one.
    #[inline]
    pub fn child(&self, name: &'static str) -> Task {
        self.context.child(name)
    }

    #[inline]
    pub(super) fn begin(parent: Option<u64>, name: &'static str) -> Task {
        let context = match is_on() {
            true => TaskContext {
                id: begin_task(parent, name),
            },
            false => TaskContext { id: 0 },
        };
        Task { context }
    }

    /// What other threads and futures enter.
    pub fn context(&self) -> TaskContext {
        self.context
    }

    /// Its number in the trace; 0, the background task, if it is in none.
    pub fn id(&self) -> TaskId {
        self.context.id()
    }

    /// As [`TaskContext::enter`].
    #[inline]
    pub fn enter(&self) -> Entered {
        self.context.enter()
    }

    /// As [`TaskContext::instrument`].
    pub fn instrument<F: Future>(&self, future: F) -> super::Instrumented<F> {
        self.context.instrument(future)
    }

    /// The task ends, as it does when it is dropped.
    pub fn end(self) {}
}

impl Drop for Task {
    #[inline]
    fn drop(&mut self) {
        if self.context.id != 0 && is_on() {
            end_task(self.context.id);
        }
    }
}

#[inline(never)]
fn begin_task(parent: Option<u64>, name: &'static str) -> u64 {
    let id = local::new_task();
    with(|thread, core| {
        let parent = parent.unwrap_or(thread.task);
        thread.begin_task(core, id, parent, name);
    });
    id
}

#[inline(never)]
fn end_task(id: u64) {
    with(|thread, core| thread.end_task(core, id));
}

impl TaskContext {
    /// No task: the background.
    pub const NONE: TaskContext = TaskContext { id: 0 };

    /// Its number in the trace; 0, the background task, if it is in none.
    pub fn id(self) -> TaskId {
        TaskId::new(self.id).unwrap_or(TaskId::BACKGROUND)
    }

    /// A task begins that is part of this one.
    #[inline]
    pub fn child(self, name: &'static str) -> Task {
        Task::begin(Some(self.id), name)
    }

    /// Regions, logs and tasks of this thread are part of this task until the guard is dropped.
    ///
    /// Guards are dropped in the opposite order; one that is dropped late brings back the task that
    /// was entered before it.
    #[inline]
    pub fn enter(self) -> Entered {
        let before = match is_on() {
            true => with(|thread, _| core::mem::replace(&mut thread.task, self.id)),
            false => None,
        };
        Entered {
            before,
            thread: PhantomData,
        }
    }

    /// A future in whose polls this task is entered.
    pub fn instrument<F: Future>(self, future: F) -> super::Instrumented<F> {
        super::futures::instrument(self, future)
    }
}

/// The task that this thread, or the future that it polls, has entered.
pub fn current_task() -> TaskContext {
    let id = match is_on() {
        true => with(|thread, _| thread.task),
        false => None,
    };
    TaskContext {
        id: id.unwrap_or(0),
    }
}

/// A task is entered while this lives: [`TaskContext::enter`].
#[derive(Debug)]
#[must_use = "the task is left when this is dropped"]
pub struct Entered {
    before: Option<u64>,
    thread: OfThread,
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        if let Some(before) = self.before {
            with(|thread, _| thread.task = before);
        }
    }
}

/// A region begins: a part of what this thread does, until the guard is dropped
/// (`trace.StartRegion`).
///
/// Regions nest. One that ends before those that began in it ends them, too, and they begin again at
/// once, so that their times stay what they are. It is part of the goroutine on which it began: the
/// thread's own, or the future that it polls. For a region that lasts over `.await` see
/// [`in_region`](super::in_region).
#[inline]
pub fn region(name: &'static str) -> Region {
    let number = match is_on() {
        true => begin_region(name),
        false => 0,
    };
    Region {
        number,
        thread: PhantomData,
    }
}

/// As [`region`], around a call (`trace.WithRegion`).
#[inline]
pub fn with_region<T>(name: &'static str, run: impl FnOnce() -> T) -> T {
    let _region = region(name);
    run()
}

#[inline(never)]
pub(super) fn begin_region(name: &'static str) -> u64 {
    with(|thread, core| thread.begin_region(core, thread.task, name)).unwrap_or(0)
}

#[inline(never)]
pub(super) fn end_region(number: u64) {
    with(|thread, core| thread.end_region(core, number));
}

/// A region is open while this lives: [`region`].
#[derive(Debug)]
#[must_use = "a region ends when it is dropped"]
pub struct Region {
    number: u64,
    thread: OfThread,
}

impl Region {
    /// The region ends, as it does when it is dropped.
    pub fn end(self) {}
}

impl Drop for Region {
    #[inline]
    fn drop(&mut self) {
        if self.number != 0 && is_on() {
            end_region(self.number);
        }
    }
}

/// Writes a message to the trace (`trace.Log`). What exceeds 1,024 bytes is cut off.
///
/// The category tells messages of one kind from others: there should be few, since viewers list them.
#[inline]
pub fn log(category: &'static str, message: &str) {
    if is_on() {
        log_bytes(category, message.as_bytes());
    }
}

#[inline(never)]
pub(super) fn log_bytes(category: &'static str, message: &[u8]) {
    with(|thread, core| thread.log(core, thread.task, category, message));
}

/// As [`log`], of what is formatted only if something is traced (`trace.Logf`).
///
/// ```
/// let user = 7;
/// gotrace::tracer::log_fmt("user", format_args!("{user} came"));
/// ```
#[inline]
pub fn log_fmt(category: &'static str, message: fmt::Arguments<'_>) {
    if is_on() {
        log_arguments(category, message);
    }
}

#[inline(never)]
pub(super) fn log_arguments(category: &'static str, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(message) => log_bytes(category, message.as_bytes()),
        None => {
            // Formatted before anything is locked: what is formatted may be traced itself.
            let mut text = Text::new();
            // What does not fit is cut off.
            let _ = text.write_fmt(message);
            log_bytes(category, text.bytes());
        }
    }
}

/// The longest text of a log.
pub(super) struct Text {
    bytes: [u8; LONGEST],
    len: usize,
}

const LONGEST: usize = num::narrow(MAX_STRING_SIZE);

impl Text {
    pub(super) const fn new() -> Text {
        Text {
            bytes: [0; LONGEST],
            len: 0,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let free = self.bytes.get_mut(self.len..).unwrap_or(&mut []);
        // A cut between characters.
        let cut = text.floor_char_boundary(free.len());
        let fits = text.get(..cut).unwrap_or("");
        let (place, _) = free.split_at_mut_checked(fits.len()).unwrap_or_default();
        place.copy_from_slice(fits.as_bytes());
        self.len = self.len.saturating_add(fits.len());
        match fits.len() == text.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

/// What a goroutine waits for.
///
/// Go's own words are known to viewers: they have lanes, profiles and colours for them. Others are
/// shown as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason(&'static str);

impl Reason {
    /// The network: what `go tool trace -pprof=net` sums up.
    pub const NETWORK: Reason = Reason("network");
    /// A lock or a condition: part of `-pprof=sync`.
    pub const SYNC: Reason = Reason("sync");
    /// A message: part of `-pprof=sync`.
    pub const RECEIVE: Reason = Reason("chan receive");
    /// Room for a message: part of `-pprof=sync`.
    pub const SEND: Reason = Reason("chan send");
    /// One of several things: part of `-pprof=sync`. What a future waits for that does not say more.
    pub const SELECT: Reason = Reason("select");
    /// Time.
    pub const SLEEP: Reason = Reason("sleep");

    /// A reason by a word of one's own. `forever`, by which Go's reader means that a goroutine never
    /// runs again, becomes `waiting`.
    pub const fn new(word: &'static str) -> Reason {
        match word.as_bytes() {
            b"forever" => Reason("waiting"),
            _ => Reason(word),
        }
    }

    /// The word.
    pub const fn word(self) -> &'static str {
        self.0
    }
}

/// This thread, or the future that it polls, waits until the guard is dropped; or until something is
/// annotated, which only what runs can do.
#[inline]
pub fn blocked(reason: Reason) -> Blocked {
    let on = is_on();
    if on {
        with(|thread, core| thread.block(core, reason.word()));
    }
    Blocked {
        on,
        thread: PhantomData,
    }
}

/// A thread waits while this lives: [`blocked`].
#[derive(Debug)]
#[must_use = "the wait is over when this is dropped"]
pub struct Blocked {
    on: bool,
    thread: OfThread,
}

impl Drop for Blocked {
    #[inline]
    fn drop(&mut self) {
        if self.on && is_on() {
            with(|thread, core| thread.run_current(core).is_some());
        }
    }
}

/// This thread is in a system call until the guard is dropped; or until something is annotated.
#[inline]
pub fn syscall() -> Syscall {
    let on = is_on() && with(|thread, core| thread.begin_syscall(core)).unwrap_or(false);
    Syscall {
        on,
        thread: PhantomData,
    }
}

/// A thread is in a system call while this lives: [`syscall`].
#[derive(Debug)]
#[must_use = "the system call is over when this is dropped"]
pub struct Syscall {
    on: bool,
    thread: OfThread,
}

impl Drop for Syscall {
    #[inline]
    fn drop(&mut self) {
        if self.on && is_on() {
            with(|thread, core| thread.run_current(core).is_some());
        }
    }
}

/// A quantity as it is now. Viewers show it as the heap and its goal.
#[inline]
pub fn metric(metric: Metric, value: u64) {
    if is_on() {
        with(|thread, core| match metric {
            Metric::HeapAlloc => {
                let heapalloc_value = value;
                thread.metric(core, timed::HeapAlloc { heapalloc_value });
            }
            Metric::HeapGoal => {
                let heapgoal_value = value;
                thread.metric(core, timed::HeapGoal { heapgoal_value });
            }
        });
    }
}
