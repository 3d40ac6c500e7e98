//! `run FILE` runs the tasks for a while and writes their trace; `judge FILE...` says what is in
//! traces, and fails if one is not what it should be.

use embassy::glue::{self, named};
use embassy::{clock, tasks};
use embassy_executor::Executor;
use embassy_time::Timer;
use gotrace::event::GoState;
use gotrace::{Details, Reader, StreamReader, Trace};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::process::{Command, exit};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", file] => run(file.to_owned()),
        ["judge", ref files @ ..] if !files.is_empty() => files.iter().try_for_each(|f| judge(f)),
        _ => Err("run FILE, or judge FILE...".into()),
    }
}

fn run(file: String) -> ! {
    // 40 ms a generation, as on the Cortex-M3.
    glue::start(clock::HERTZ / 25);
    let executor = Box::leak(Box::new(Executor::new()));
    executor.run(|spawner| {
        tasks::spawn(spawner);
        let token = recording(file).expect("spawned once");
        spawner.spawn(named(token, "recording"));
    })
}

/// Hands generations to a vector, and writes it in the end.
#[embassy_executor::task]
async fn recording(file: String) {
    let mut trace = Vec::new();
    for _ in 0..400 {
        glue::advance_if_due(&mut trace);
        Timer::after_millis(1).await;
    }
    glue::stop(&mut trace);
    assert_eq!(glue::lost(), Default::default(), "something was lost");
    std::fs::write(file, trace).expect("the file");
    exit(0);
}

/// What must be in every trace.
const NAMES: [&str; 6] = [
    "blink",
    "child",
    "consumer",
    "parent",
    "producer",
    "recording",
];
/// And in that of the firmware.
const INTERRUPTS: [&str; 2] = ["SysTick", "sampler"];

fn judge(file: &str) -> Result<()> {
    let bytes = std::fs::read(file)?;
    let trace = Trace::new(&bytes)?;
    let starts: Vec<u64> = trace
        .generations()
        .map(|g| Ok::<_, gotrace::Error>(g?.start.0))
        .collect::<std::result::Result<_, _>>()?;
    if starts.len() < 3 {
        return Err(format!("{file}: {} generations", starts.len()).into());
    }
    // Any generation may be the first.
    for (n, start) in starts.iter().enumerate() {
        let suffix = [&bytes[..16], &bytes[*start as usize..]].concat();
        let mut names = BTreeSet::new();
        let mut reader = StreamReader::new(&suffix[..])?;
        while let Some(event) = reader.next()? {
            names.extend(event.stack().and_then(root));
            if let Details::StateTransition(change) = event.details() {
                names.extend(change.stack.and_then(root));
            }
        }
        let all = NAMES.iter().filter(|name| **name != "child");
        if let Some(name) = all.clone().find(|name| !names.contains(**name)) {
            return Err(format!("{file} without {n} generations: no {name}").into());
        }
        go_opens(&suffix)?;
    }
    report(file, &trace, starts.len())
}

fn root(stack: gotrace::Stack<'_, '_>) -> Option<String> {
    stack.frames().last().map(|f| f.func.to_string())
}

#[derive(Default)]
struct Task {
    goroutines: BTreeSet<u64>,
    runs: u64,
}

fn report(file: &str, trace: &Trace, generations: usize) -> Result<()> {
    let mut tasks: BTreeMap<String, Task> = BTreeMap::new();
    let mut name_of = BTreeMap::new();
    let (mut events, mut ranges, mut regions, mut logs) = (0u64, 0, 0, 0);
    let mut reader = Reader::<gotrace::Growing>::new(trace);
    while let Some(event) = reader.next()? {
        events += 1;
        match event.details() {
            Details::StateTransition(change) => {
                let gotrace::event::Change::Goroutine {
                    id: Some(go), to, ..
                } = change.change
                else {
                    continue;
                };
                if let Some(name) = change.stack.and_then(root) {
                    name_of.entry(go).or_insert(name);
                }
                if let Some(name) = name_of.get(&go) {
                    let task = tasks.entry(name.clone()).or_default();
                    task.goroutines.insert(go.get());
                    task.runs += u64::from(to == GoState::Running);
                }
            }
            Details::RangeBegin(_) => ranges += 1,
            Details::RegionBegin(_) => regions += 1,
            Details::Log(_) => logs += 1,
            _ => {}
        }
    }
    let per_event = trace.len() as f64 / events as f64;
    println!(
        "{file}: {events} events, {generations} generations, {} bytes, {per_event:.1} an event; \
         {ranges} critical sections, {regions} regions, {logs} logs",
        trace.len()
    );
    for (name, task) in &tasks {
        println!(
            "  {name:<10} {:>3} goroutines ran {:>4} times",
            task.goroutines.len(),
            task.runs
        );
    }
    let firmware = INTERRUPTS.iter().filter(|_| file.contains("recovered"));
    for name in NAMES.iter().chain(firmware) {
        if tasks.get(*name).is_none_or(|task| task.runs == 0) {
            return Err(format!("{file}: {name} never ran").into());
        }
    }
    match ranges > 0 && regions > 0 && logs > 0 && tasks["child"].goroutines.len() > 1 {
        true => Ok(()),
        false => Err(format!("{file}: something is missing").into()),
    }
}

/// `go tool trace` reads it to the end, if there is Go.
fn go_opens(trace: &[u8]) -> Result<()> {
    let Some(go) = std::env::var_os("GO") else {
        return Ok(());
    };
    let file = "target/suffix.trace";
    std::fs::write(file, trace)?;
    let output = Command::new(go)
        .args(["tool", "trace", "-d=parsed", file])
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    match output.status.success() && errors.is_empty() {
        true => Ok(()),
        false => Err(format!("go tool trace: {errors}").into()),
    }
}
