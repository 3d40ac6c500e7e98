//! Asynchronous tasks as goroutines.

use super::annotations::{OfThread, Reason, TaskContext, begin_region, end_region};
use super::core::Core;
use super::goroutines::Go;
use super::local::{is_on, replace_why, with};
use super::names::Name;
use super::short::Short;
use super::thread::State;
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::fmt;
use core::marker::PhantomData;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use pin_project_lite::pin_project;

pin_project! {
    /// A future that is a goroutine: made by [`goroutine`].
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Goroutine<F> {
        #[pin]
        future: F,
        life: Life,
    }
}

pin_project! {
    /// A future in whose polls a task is entered: [`TaskContext::instrument`].
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Instrumented<F> {
        #[pin]
        future: F,
        context: TaskContext,
    }
}

pin_project! {
    /// A future that says what it waits for: made by [`waiting`].
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Waiting<F> {
        #[pin]
        future: F,
        reason: Reason,
    }
}

pin_project! {
    /// A future that is a region of its goroutine: made by [`in_region`].
    #[derive(Debug)]
    #[must_use = "a future does nothing unless it is polled"]
    pub struct InRegion<F> {
        #[pin]
        future: F,
        open: Open,
    }
}

/// A future as a goroutine of this name: while it is polled it runs, else it waits, for what
/// [`waiting`] says or for [`Reason::SELECT`]; who wakes it makes it ready. It may be polled by
/// another thread each time.
///
/// It begins to exist here, and is ready: how long an executor takes to poll it first can be seen. It
/// is part of the task that is entered here. When it is polled first within another one, as with
/// `.await`, it ends at once, and is a region of the other one, as [`in_region`] makes it.
///
/// Viewers group goroutines by their names: there should be few. Those made while nothing is traced
/// begin to exist when they are polled.
///
/// ```
/// # async fn accept() {}
/// # fn spawn(_: impl Future) {}
/// use gotrace::tracer::{Reason, goroutine, waiting};
/// spawn(goroutine("server", async {
///     waiting(Reason::NETWORK, accept()).await;
/// }));
/// ```
#[track_caller]
pub fn goroutine<F: Future>(name: impl Into<Cow<'static, str>>, future: F) -> Goroutine<F> {
    let name = match name.into() {
        Cow::Borrowed(name) => Named::Static(name, Location::caller()),
        Cow::Owned(name) => Named::Own(Name::new(name.into(), Some(Location::caller()))),
    };
    let mut life = Life::new(name);
    if is_on() {
        with(|thread, core| life.create(thread, core));
    }
    Goroutine { future, life }
}

/// A future that says what its goroutine waits for while it is pending. Where one goroutine waits for
/// several, as with `join!`, the first of them says it.
pub fn waiting<F: Future>(reason: Reason, future: F) -> Waiting<F> {
    Waiting { future, reason }
}

/// A future that is a region of the goroutine that polls it, from its first poll to its end: also
/// while it is pending, and when it moves to another thread.
pub fn in_region<F: Future>(name: &'static str, future: F) -> InRegion<F> {
    InRegion {
        future,
        open: Open { name, number: 0 },
    }
}

pub(super) fn instrument<F: Future>(context: TaskContext, future: F) -> Instrumented<F> {
    Instrumented { future, context }
}

/// The name of a goroutine, before it is needed.
#[derive(Clone, Debug)]
pub(super) enum Named {
    Static(&'static str, &'static Location<'static>),
    Own(Arc<Name>),
}

/// A goroutine's existence. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Life {
    name: Named,
    go: Option<Arc<Go>>,
    /// The task that was entered when it was made.
    task: u64,
    polled: bool,
    /// It is a region of others.
    region: Option<Open>,
    waker: Option<(Arc<GoWaker>, Waker)>,
}

impl Life {
    pub(super) fn new(name: Named) -> Life {
        Life {
            name,
            go: None,
            task: 0,
            polled: false,
            region: None,
            waker: None,
        }
    }

    pub(super) fn create(&mut self, thread: &mut State, core: &Core) {
        let name = match &self.name {
            Named::Static(text, place) => core.names.name(text, place),
            Named::Own(name) => Arc::clone(name),
        };
        self.task = thread.task;
        self.go = Go::new(name);
        if let Some(go) = &self.go {
            thread.create(core, go);
        }
    }

    /// It is polled, until what this gives is dropped.
    pub(super) fn begin_poll(&mut self) -> Polling {
        let first = !core::mem::replace(&mut self.polled, true);
        let begun = with(|thread, core| {
            if first && thread.is_polling() {
                if let Some(go) = self.go.take() {
                    thread.end_goroutine(core, &go);
                }
                let name = match &self.name {
                    Named::Static(text, _) => text,
                    Named::Own(_) => "future",
                };
                self.region = Some(Open { name, number: 0 });
            }
            if self.region.is_some() {
                return None;
            }
            if self.go.is_none() {
                self.create(thread, core);
            }
            let go = self.go.clone()?;
            thread.poll_begin(core, &go);
            let before = core::mem::replace(&mut thread.task, self.task);
            Some((go, before))
        });
        if let Some(open) = &mut self.region {
            open.begin();
        }
        let of = begun.flatten();
        Polling {
            why: of.as_ref().and_then(|_| replace_why(None)),
            of,
            ended: false,
            thread: PhantomData,
        }
    }

    /// A waker that says who was woken, and wakes.
    fn waker(&mut self, context: &Context<'_>) -> Option<&Waker> {
        let go = self.go.as_ref()?;
        let (inner, waker) = match &mut self.waker {
            Some(waker) => waker,
            none => {
                let inner = Arc::new(GoWaker {
                    go: Arc::clone(go),
                    wakes: Short::new(context.waker().clone()),
                });
                none.insert((Arc::clone(&inner), Waker::from(inner)))
            }
        };
        inner.wakes.lock().clone_from(context.waker());
        Some(waker)
    }

    /// It is over.
    pub(super) fn end(&mut self) {
        if let Some(go) = self.go.take() {
            with(|thread, core| thread.end_goroutine(core, &go));
        }
        if let Some(open) = &mut self.region {
            open.end();
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end();
    }
}

/// A poll. Its end is told also if that is a panic.
pub(super) struct Polling {
    of: Option<(Arc<Go>, u64)>,
    /// What the poll around this one waits for.
    why: Option<&'static str>,
    pub(super) ended: bool,
    thread: OfThread,
}

impl Drop for Polling {
    fn drop(&mut self) {
        if let Some((go, before)) = &self.of {
            let why = replace_why(self.why).unwrap_or(Reason::SELECT.word());
            with(|thread, core| {
                thread.task = *before;
                match self.ended {
                    true => thread.poll_last(core, go),
                    false => thread.poll_end(core, go, why),
                }
            });
        }
    }
}

#[derive(Debug)]
struct GoWaker {
    go: Arc<Go>,
    wakes: Short<Waker>,
}

impl GoWaker {
    fn woken(&self) {
        if is_on() {
            with(|thread, core| thread.wake(core, &self.go));
        }
    }
}

impl Wake for GoWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken();
        // What wakes may come back here.
        let waker = self.wakes.lock().clone();
        waker.wake();
    }
}

impl<F: Future> Future for Goroutine<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if !is_on() {
            let result = this.future.poll(context);
            if result.is_ready() {
                this.life.end();
            }
            return result;
        }
        let mut polling = this.life.begin_poll();
        let result = match this.life.waker(context) {
            Some(waker) => this.future.poll(&mut Context::from_waker(waker)),
            None => this.future.poll(context),
        };
        if result.is_ready() {
            polling.ended = true;
            if polling.of.is_some() {
                // It ends with its poll.
                this.life.go = None;
            }
            drop(polling);
            this.life.end();
        }
        result
    }
}

impl<F: Future> Future for Instrumented<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.context.enter();
        this.future.poll(context)
    }
}

impl<F: Future> Future for Waiting<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let result = this.future.poll(context);
        if result.is_pending() && is_on() {
            let before = replace_why(Some(this.reason.word()));
            // The first to say it is the one.
            if before.is_some() {
                replace_why(before);
            }
        }
        result
    }
}

impl<F: Future> Future for InRegion<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.open.begin();
        let result = this.future.poll(context);
        if result.is_ready() {
            this.open.end();
        }
        result
    }
}

/// A region of a future. It ends when this is dropped.
#[derive(Debug)]
struct Open {
    name: &'static str,
    number: u64,
}

impl Open {
    fn begin(&mut self) {
        if self.number == 0 && is_on() {
            self.number = begin_region(self.name);
        }
    }

    fn end(&mut self) {
        let number = core::mem::take(&mut self.number);
        if number != 0 && is_on() {
            end_region(number);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.end();
    }
}

impl<F: fmt::Debug> fmt::Debug for Goroutine<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goroutine")
            .field("future", &self.future)
            .field("id", &self.life.go.as_ref().map(|go| go.id))
            .finish_non_exhaustive()
    }
}
