//! The process's tracer, and what each thread has of it.

use super::core::Core;
use super::names::Name;
use super::source::Shared;
use super::thread::{State, Thread};
use crate::ids::ThreadId;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::{Cell, OnceCell};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Whether anything is traced: what is looked at first.
static ON: AtomicBool = AtomicBool::new(false);

/// The process that traces.
static PROCESS: AtomicU32 = AtomicU32::new(0);

static CORE: OnceLock<Core> = OnceLock::new();

/// What the thread that ends generations waits for.
pub(super) static SHARED: Shared = Shared::new();

#[inline(always)]
pub(super) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// This is the process that traces.
pub(super) fn claim() {
    PROCESS.store(std::process::id(), Ordering::Relaxed);
}

pub(super) fn switch(on: bool) {
    ON.store(on, Ordering::Release);
}

/// The tracer's state, made at the first call.
pub(super) fn core() -> &'static Core {
    CORE.get_or_init(|| Core::new(|| SHARED.look(), is_forked))
}

/// Whether this is another process than the one that traces: a child, in which nothing is traced.
fn is_forked() -> bool {
    let forked = PROCESS.load(Ordering::Relaxed) != std::process::id();
    if forked {
        ON.store(false, Ordering::Relaxed);
    }
    forked
}

/// Whether nothing can be traced in this process any more, since its parent traced when it was made.
pub(super) fn is_child() -> bool {
    PROCESS.load(Ordering::Relaxed) != 0 && is_forked()
}

/// A thread's part. Its drop is the thread's end.
struct Local {
    /// What a thread does is traced from its own code: a panic hook or an allocator that traces, too,
    /// is left out.
    busy: Cell<bool>,
    thread: OnceCell<Arc<Thread>>,
    /// Numbers of user tasks: the next one, and the end.
    tasks: Cell<(u64, u64)>,
    /// What the innermost poll waits for, if it said so.
    why: Cell<Option<&'static str>>,
}

std::thread_local! {
    static LOCAL: Local = const {
        Local {
            busy: Cell::new(false),
            thread: OnceCell::new(),
            tasks: Cell::new((0, 0)),
            why: Cell::new(None),
        }
    };
}

impl Drop for Local {
    fn drop(&mut self) {
        let Some(thread) = self.thread.get() else {
            return;
        };
        let Some(core) = CORE.get() else { return };
        if is_child() {
            return;
        }
        self.busy.set(true);
        let over = thread.lock().end(core);
        if over {
            core.unregister(thread);
        }
    }
}

/// Does something with what this thread has, if something is traced. Nothing where the thread ends,
/// or where this is called from within itself.
#[inline(always)]
pub(super) fn with<R>(act: impl FnOnce(&mut State, &Core) -> R) -> Option<R> {
    let done = LOCAL.try_with(|local| {
        if local.busy.replace(true) {
            return None;
        }
        let done = act_on(local, act);
        local.busy.set(false);
        done
    });
    if let Ok(Some(done)) = done {
        return Some(done);
    }
    lose();
    None
}

#[inline(always)]
fn act_on<R>(local: &Local, act: impl FnOnce(&mut State, &Core) -> R) -> Option<R> {
    let core = CORE.get()?;
    let thread = local.thread.get_or_init(|| enlist(core));
    let mut state = match thread.try_lock() {
        Some(state) => state,
        None => wait_for(thread)?,
    };
    Some(act(&mut state, core))
}

#[cold]
fn lose() {
    if let Some(core) = CORE.get() {
        core.lose(1);
    }
}

/// Whoever ends a generation is looking at this thread; but in a child it may have been when the
/// process was copied, and nobody is.
#[cold]
fn wait_for(thread: &Thread) -> Option<super::short::Guard<'_, State>> {
    match is_forked() {
        true => None,
        false => Some(thread.lock()),
    }
}

#[cold]
fn enlist(core: &Core) -> Arc<Thread> {
    let current = std::thread::current();
    let number = number();
    let name = match current.name() {
        Some(name) => String::from(name),
        None => alloc::format!("thread {number}"),
    };
    let thread = Thread::new(
        ThreadId::new(number),
        Some(Name::new(Cow::Owned(name), None)),
    );
    core.register(&thread);
    thread
}

/// The number of this thread: the system's where there is one.
#[cfg(target_os = "linux")]
fn number() -> u64 {
    u64::from(
        rustix::thread::gettid()
            .as_raw_nonzero()
            .get()
            .unsigned_abs(),
    )
}

#[cfg(not(target_os = "linux"))]
fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The number of a new user task.
pub(super) fn new_task() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    const BLOCK: u64 = 256;
    let block = || NEXT.fetch_add(BLOCK, Ordering::Relaxed);
    let next = LOCAL.try_with(|local| {
        let (mut next, mut end) = local.tasks.get();
        if next == end {
            next = block();
            end = next.saturating_add(BLOCK);
        }
        local.tasks.set((next.saturating_add(1), end));
        next
    });
    next.unwrap_or_else(|_| block())
}

/// Sets what a poll waits for, and gives what was set before.
pub(super) fn replace_why(why: Option<&'static str>) -> Option<&'static str> {
    let before = LOCAL.try_with(|local| local.why.replace(why));
    before.unwrap_or(None)
}
