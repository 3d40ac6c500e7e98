//! What `tracing` reports, as tasks, regions and logs.

use super::annotations::Text;
use super::local::{self, is_on, with};
use core::fmt::{self, Write as _};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id};
use tracing_core::subscriber::Interest;
use tracing_core::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

/// A layer for `tracing_subscriber::Registry` that writes spans and events to the trace.
///
/// A span without a parent is a task, from its creation to its close: tasks may overlap as they like.
/// Each time that a span is entered is a region, of the task that it is part of: where it is busy. An
/// event is a log of that task; its category is the event's target, its text the fields, the message
/// first, of at most 1,024 bytes.
///
/// Regions nest, in the goroutine that they are part of, whatever spans do. One that is exited before
/// those entered in it ends them, too, and they begin again at once. One that is exited on another
/// thread than it was entered on ends when its goroutine does.
///
/// [`while_traced`](Layer::while_traced) gives it with a filter that costs nothing while nothing is traced. Other
/// filters are `tracing-subscriber`'s own.
///
/// ```
/// use tracing_subscriber::layer::SubscriberExt as _;
/// let subscriber = tracing_subscriber::registry().with(gotrace::tracer::Layer::while_traced());
/// tracing::subscriber::with_default(subscriber, || {
///     let trace = gotrace::tracer::start(Vec::new())?;
///     tracing::info_span!("request", path = "/").in_scope(|| tracing::info!("found"));
///     trace.stop();
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Layer;

impl Layer {
    /// The layer, which is asked for nothing while nothing is traced.
    pub fn while_traced<S: Subscriber + for<'a> LookupSpan<'a>>() -> Filtered<Layer, WhileTraced, S>
    {
        Layer.with_filter(WhileTraced)
    }
}

/// A filter that lets everything pass while this process is traced, and nothing else.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WhileTraced;

impl<S> Filter<S> for WhileTraced {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        is_on()
    }

    /// Asked again whenever the tracer is started or stopped.
    fn callsite_enabled(&self, _: &'static Metadata<'static>) -> Interest {
        match is_on() {
            true => Interest::always(),
            false => Interest::never(),
        }
    }
}

/// The task that a span without a parent is.
struct Root(u64);

/// What regions of spans are known by: no number of another region has this bit.
fn number_of(span: &Id) -> u64 {
    span.into_u64() | 1 << 63
}

/// The task that a span is part of.
fn task_of<'a, S: Subscriber + for<'b> LookupSpan<'b>>(span: &Id, context: &Context<'a, S>) -> u64 {
    let Some(span) = context.span(span) else {
        return 0;
    };
    let root = span.scope().find_map(|span| {
        let extensions = span.extensions();
        extensions.get::<Root>().map(|root| root.0)
    });
    root.unwrap_or(0)
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Layer {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if span.parent().is_some() || !is_on() {
            return;
        }
        let (task, name) = (local::new_task(), span.name());
        with(|thread, core| thread.begin_task(core, task, thread.task, name));
        span.extensions_mut().insert(Root(task));
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if !is_on() {
            return;
        }
        let Some(span) = context.metadata(id) else {
            return;
        };
        let parent = context.span(id).and_then(|span| span.parent());
        let parent = parent.map(|parent| number_of(&parent.id()));
        with(|thread, core| {
            // As a rule, its parent is open here.
            let task = match (thread.innermost(), parent) {
                (Some((number, task)), Some(parent)) if number == parent => task,
                _ => task_of(id, &context),
            };
            thread.begin_region_as(core, task, span.name(), number_of(id));
        });
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        if is_on() {
            with(|thread, core| thread.end_region(core, number_of(id)));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if !is_on() {
            return;
        }
        let Some(span) = context.span(&id) else {
            return;
        };
        let root = span.extensions().get::<Root>().map(|root| root.0);
        if let Some(task) = root {
            with(|thread, core| thread.end_task(core, task));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !is_on() {
            return;
        }
        let mut fields = Fields {
            message: Text::new(),
            others: None,
        };
        event.record(&mut fields);
        let mut text = fields.message;
        if let Some(others) = fields.others {
            // What does not fit is cut off.
            let others = core::str::from_utf8(others.bytes()).unwrap_or("");
            let others = match text.bytes().is_empty() {
                true => others.trim_start(),
                false => others,
            };
            let _ = text.write_str(others);
        }
        let target = event.metadata().target();
        if event.is_contextual() {
            with(|thread, core| {
                let task = thread.innermost().map_or(thread.task, |(_, task)| task);
                thread.log(core, task, target, text.bytes());
            });
        } else {
            let parent = event.parent();
            let task = parent.map_or(0, |span| task_of(span, &context));
            with(|thread, core| thread.log(core, task, target, text.bytes()));
        }
    }
}

/// An event's fields: the message, and others, each with its name.
struct Fields {
    message: Text,
    others: Option<Text>,
}

// What does not fit is cut off: errors say only that.
impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let others = self.others.get_or_insert_with(Text::new);
            let _ = write!(others, " {}={value:?}", field.name());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            let _ = self.message.write_str(value);
        } else {
            self.record_debug(field, &value);
        }
    }
}
