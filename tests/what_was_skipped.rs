//! The end of `cargo test`: what it did not test. By its name it is the last binary to run.

#[path = "common/skipped.rs"]
#[allow(dead_code)]
mod skipped;

/// Parts that are left out of the build, and so of the tests.
const PARTS: &[(bool, &str, &str)] = &[
    (
        cfg!(feature = "alloc"),
        "alloc",
        "tables that grow, dumps as text",
    ),
    (
        cfg!(feature = "std"),
        "std",
        "streams, ordering, the multiplexer, comparisons with Go",
    ),
    (
        cfg!(feature = "mmap"),
        "mmap",
        "mapped files and arenas, the README's examples",
    ),
    (cfg!(feature = "gzip"), "gzip", "what gzip compressed"),
    (cfg!(feature = "zstd"), "zstd", "what zstd compressed"),
    (cfg!(feature = "json"), "json", "events as JSON"),
    (
        cfg!(feature = "expressions"),
        "expressions",
        "filters and assertions that are expressions",
    ),
    (
        cfg!(feature = "perfetto"),
        "perfetto",
        "traces for Perfetto",
    ),
    (
        cfg!(feature = "pprof"),
        "pprof",
        "profiles for `go tool pprof`",
    ),
    (
        cfg!(feature = "serde"),
        "serde",
        "`Serialize` and `Deserialize`",
    ),
    (
        cfg!(feature = "embedded-io"),
        "embedded-io",
        "snapshots to `embedded_io::Write`",
    ),
    (cfg!(feature = "defmt"), "defmt", "`defmt::Format`"),
    (cfg!(feature = "tracer"), "tracer", "traces of this process"),
    (
        cfg!(feature = "backtrace"),
        "backtrace",
        "stacks of this process",
    ),
    (cfg!(feature = "tokio"), "tokio", "tokio's hooks"),
    (
        cfg!(feature = "tracing"),
        "tracing",
        "`tracing`'s spans and events",
    ),
    (cfg!(feature = "cli"), "cli", "the tool"),
];

fn main() {
    // A list of tests is asked for by tools, and has none of this.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let list = skipped::list();
    let lines = std::fs::read_to_string(&list).unwrap_or_default();
    std::fs::remove_file(&list).ok();
    let parts: Vec<_> = PARTS.iter().filter(|(tested, ..)| !tested).collect();
    if parts.is_empty() && lines.is_empty() {
        println!("\nnothing was skipped\n");
        return;
    }
    println!();
    for (_, feature, what) in &parts {
        println!("not tested: {what} (feature `{feature}`)");
    }
    if !parts.is_empty() {
        println!("`cargo test --all-features` tests everything");
    }
    print!("{lines}");
    if !lines.is_empty() {
        println!("{} tests were skipped", lines.lines().count());
    }
    println!();
}
