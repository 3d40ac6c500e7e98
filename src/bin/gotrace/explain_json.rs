//! What `gotrace explain` says, for programs.

use super::answer::{JsonFrame, json_stack};
use super::explain::View;
use gotrace::analysis::explain::{Explanation, Times, What};
use gotrace::{GoId, TaskId, Time};
use serde::Serialize;

#[derive(Serialize)]
struct JsonTimes {
    state: &'static str,
    reason: String,
    ns: i64,
}

#[derive(Serialize)]
struct JsonStep {
    from_ns: i64,
    to_ns: i64,
    goroutine: Option<GoId>,
    function: String,
    state: &'static str,
    reason: String,
    depth: usize,
    stack: Option<Vec<JsonFrame>>,
}

#[derive(Serialize)]
struct JsonWorker {
    goroutine: GoId,
    function: String,
    at_work: Vec<(i64, i64)>,
    ns: i64,
    times: Vec<JsonTimes>,
}

#[derive(Serialize)]
struct JsonWait {
    state: &'static str,
    reason: String,
    count: u64,
    total_ns: i64,
    longest_ns: i64,
    goroutine: GoId,
    function: String,
    woken_by: Option<GoId>,
    woken_by_function: Option<String>,
    woken_by_ns: i64,
    stack: Option<Vec<JsonFrame>>,
}

/// The schema of the JSON form: members may be added, none will change its meaning.
#[derive(Serialize)]
pub struct Json {
    file: String,
    what: What,
    #[serde(rename = "type")]
    ty: String,
    task: Option<TaskId>,
    goroutine: Option<GoId>,
    time: Time,
    start_ns: i64,
    duration_ns: i64,
    has_start: bool,
    has_end: bool,
    created_by: Option<GoId>,
    created_at: Option<Vec<JsonFrame>>,
    path: Vec<JsonStep>,
    path_times: Vec<JsonTimes>,
    goroutines: Vec<JsonWorker>,
    waits: Vec<JsonWait>,
}

impl View<'_> {
    fn json_times(&self, times: &Times) -> Vec<JsonTimes> {
        let times = times.iter().map(|(spent, ns)| JsonTimes {
            state: spent.state.name(),
            reason: self.text(spent.reason),
            ns: *ns,
        });
        times.collect()
    }

    /// An explanation as one object.
    pub fn json(&self, explanation: &Explanation) -> Json {
        let found = &explanation.found;
        Json {
            file: self.file.to_string_lossy().into_owned(),
            what: found.what,
            ty: found.ty.clone(),
            task: found.task,
            goroutine: found.goroutine,
            time: found.start,
            start_ns: self.since(found.start),
            duration_ns: found.duration(),
            has_start: found.has_start,
            has_end: found.has_end,
            created_by: explanation.creator.map(|creator| creator.id),
            created_at: json_stack(self.names, explanation.creator.and_then(|by| by.stack)),
            path: (explanation.path.iter())
                .map(|step| JsonStep {
                    from_ns: self.since(step.from),
                    to_ns: self.since(step.to),
                    goroutine: step.goroutine,
                    function: self.text(step.name),
                    state: step.state.name(),
                    reason: self.text(step.spent().reason),
                    depth: step.depth,
                    stack: json_stack(self.names, step.stack),
                })
                .collect(),
            path_times: self.json_times(&explanation.path_times),
            goroutines: (explanation.workers.iter())
                .map(|worker| JsonWorker {
                    goroutine: worker.id,
                    function: self.text(worker.name),
                    at_work: (worker.at_work.iter())
                        .map(|(from, to)| (self.since(*from), self.since(*to)))
                        .collect(),
                    ns: worker.nanoseconds(),
                    times: self.json_times(&worker.times),
                })
                .collect(),
            waits: (explanation.waits.iter())
                .map(|wait| JsonWait {
                    state: wait.spent.state.name(),
                    reason: self.text(wait.spent.reason),
                    count: wait.count,
                    total_ns: wait.total,
                    longest_ns: wait.longest,
                    goroutine: wait.who,
                    function: self.text(wait.name),
                    woken_by: wait.waker.map(|(id, _, _)| id),
                    woken_by_function: wait.waker.map(|(_, name, _)| self.text(name)),
                    woken_by_ns: wait.waker.map_or(0, |(_, _, ns)| ns),
                    stack: json_stack(self.names, wait.stack),
                })
                .collect(),
        }
    }
}
