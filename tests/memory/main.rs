//! What a whole process is measured by: memory, time, threads, open files.

#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod legacy;
mod mux_leaks;
mod mux_soak;
mod no_alloc;
mod recorder_memory;

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
