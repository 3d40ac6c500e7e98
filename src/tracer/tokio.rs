//! tokio's runtime: its workers' waits, and with `--cfg tokio_unstable` its tasks.
//!
//! [`goroutine`](super::goroutine) works with every runtime and says who wakes whom. The hooks here
//! need no change where tasks are spawned; but tokio has none for wakes, so a task is seen to become
//! ready when it is polled.

use super::local::{is_on, with};
use ::tokio::runtime::Builder;

/// Lets a runtime say what its threads and tasks do.
///
/// A worker that waits for work gives its proc back. With `--cfg tokio_unstable`, each task that is
/// spawned is a goroutine, named after the place where it was spawned; a future in it that is a
/// [`goroutine`](super::goroutine) is a region of it.
///
/// It takes the hooks `on_thread_park` of the builder, and `on_task_spawn`, `on_before_task_poll`,
/// `on_after_task_poll` and `on_task_terminate`; each hook is there once: the last to be set is used.
///
/// ```
/// let mut builder = tokio::runtime::Builder::new_multi_thread();
/// let runtime = gotrace::tracer::tokio::instrument(&mut builder).build()?;
/// runtime.block_on(async { 7 });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn instrument(builder: &mut Builder) -> &mut Builder {
    builder.on_thread_park(|| {
        if is_on() {
            with(|thread, core| thread.park(core));
        }
    });
    #[cfg(tokio_unstable)]
    tasks::hook(builder);
    builder
}

#[cfg(tokio_unstable)]
mod tasks {
    use super::super::goroutines::Go;
    use super::super::local::replace_why;
    use super::super::names::Name;
    use super::{Builder, is_on, with};
    use ::tokio::runtime::TaskMeta;
    use ::tokio::task::Id;
    use alloc::borrow::Cow;
    use alloc::format;
    use alloc::sync::Arc;
    use core::panic::Location;
    use std::collections::HashMap;
    use std::hash::{BuildHasher, RandomState};
    use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

    const SHARDS: usize = 16;

    /// The goroutines of the tasks that are alive.
    static TASKS: LazyLock<[Mutex<HashMap<Id, Arc<Go>>>; SHARDS]> =
        LazyLock::new(|| core::array::from_fn(|_| Mutex::new(HashMap::new())));

    fn tasks(id: Id) -> Option<MutexGuard<'static, HashMap<Id, Arc<Go>>>> {
        static HASH: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let shard = crate::num::narrow(HASH.hash_one(id) & 0xf);
        let shard = TASKS.get(shard)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn hook(builder: &mut Builder) {
        builder
            .on_task_spawn(|task| {
                if is_on() {
                    begin(task);
                }
            })
            .on_before_task_poll(|task| {
                if !is_on() {
                    return;
                }
                let known = tasks(task.id()).and_then(|tasks| tasks.get(&task.id()).cloned());
                if let Some(go) = known.or_else(|| begin(task)) {
                    with(|thread, core| thread.poll_begin(core, &go));
                }
            })
            .on_after_task_poll(|task| {
                let known = tasks(task.id()).and_then(|tasks| tasks.get(&task.id()).cloned());
                if let Some(go) = known {
                    let why = replace_why(None).unwrap_or("select");
                    with(|thread, core| thread.poll_end(core, &go, why));
                }
            })
            // In the last poll, or from elsewhere.
            .on_task_terminate(|task| {
                let known = tasks(task.id()).and_then(|mut tasks| tasks.remove(&task.id()));
                if let Some(go) = known {
                    with(|thread, core| thread.poll_last(core, &go));
                }
            });
    }

    fn begin(task: &TaskMeta<'_>) -> Option<Arc<Go>> {
        let go = Go::new(name(task.spawned_at()))?;
        tasks(task.id())?.insert(task.id(), Arc::clone(&go));
        with(|thread, core| thread.create(core, &go));
        Some(go)
    }

    /// The name of the tasks that are spawned at a place.
    fn name(place: &'static Location<'static>) -> Arc<Name> {
        static NAMES: LazyLock<Mutex<HashMap<usize, Arc<Name>>>> = LazyLock::new(Mutex::default);
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let name = names
            .entry(core::ptr::from_ref(place).addr())
            .or_insert_with(|| {
                let text = format!("task {}:{}", place.file(), place.line());
                Name::new(Cow::Owned(text), Some(place))
            });
        Arc::clone(name)
    }
}
