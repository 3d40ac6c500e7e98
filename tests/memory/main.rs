//! What a whole process is measured by: memory, time, threads, open files.

#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod legacy;
mod mux_leaks;
mod mux_soak;
mod no_alloc;
mod recorder_memory;

#[cfg(feature = "std")]
use std::time::Duration;

#[global_allocator]
static HEAP: common::heap::Heap = common::heap::Heap::new();

/// At the top of a test: lets the rest of it run in a process in which nothing else happens.
#[cfg(feature = "std")]
macro_rules! alone {
    () => {
        fn here() {}
        if !crate::is_alone(std::any::type_name_of_val(&here)) {
            return;
        }
    };
}
#[cfg(feature = "std")]
use alone;

/// Whether this is the process for the test in which the function of that name is. If not, it is run
/// in a process of its own, one such process at a time.
#[cfg(feature = "std")]
fn is_alone(function: &str) -> bool {
    use std::process::Command;
    use std::sync::Mutex;

    const ALONE: &str = "GOTRACE_ALONE";
    static TURN: Mutex<()> = Mutex::new(());
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    // "memory::mux_leaks::nothing_is_left_behind::here", of which the middle is the test.
    let (_, path) = function.split_once("::").expect("a path");
    let (test, _) = path.rsplit_once("::").expect("a path");
    let turn = TURN.lock();
    let output = Command::new(std::env::current_exe().expect("the path of this process"))
        .args(["--exact", test, "--test-threads=1", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .expect("starting a test");
    drop(turn);
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    eprint!("{stderr}");
    let passed = output.status.success() && stdout.contains("\ntest result: ok. 1 passed;");
    assert!(passed, "{}:\n{stdout}", output.status);
    false
}

/// How long this thread was at work. Others may be at work on this machine, too.
#[cfg(feature = "std")]
fn time_at_work() -> Duration {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(time).expect("a time since the thread began")
    }
    #[cfg(not(unix))]
    {
        static BEGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        BEGIN.get_or_init(std::time::Instant::now).elapsed()
    }
}

/// The shortest of a few times.
#[cfg(feature = "std")]
fn time_of(work: &impl Fn()) -> Duration {
    let times = (0..3).map(|_| {
        let start = time_at_work();
        work();
        time_at_work() - start
    });
    times.min().unwrap_or_default()
}

/// Work on an input, and on one of forty times the size: that may take three hundred times as long.
/// What is in proportion takes forty; the logarithm, and caches that the small one fits into, make it
/// a hundred; what is quadratic takes sixteen hundred.
#[cfg(feature = "std")]
fn assert_in_proportion(name: &str, small: impl Fn(), large: impl Fn()) {
    // Nothing is told by less than a clock can tell.
    let mut before = time_of(&small).max(Duration::from_micros(50));
    let mut after = time_of(&large);
    // Others that fill the caches can make one look bad, but not again and again.
    for _ in 0..5 {
        if after <= 300 * before {
            return;
        }
        before = before.max(time_of(&small));
        after = after.min(time_of(&large));
    }
    assert!(after <= 300 * before, "{name}: {before:?}, {after:?}");
}
