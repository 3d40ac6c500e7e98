//! Chapters: what a trace is made of, coming from Go, tracing a Rust program, memory, bare metal,
//! questions and what answers them, answers for programs, expressions, recording on call, differences from
//! Go.
//!
//! Nothing but text. The reference is in the modules.

#[doc = include_str!("format.md")]
pub mod format {}

#[doc = include_str!("memory.md")]
pub mod memory {}

#[doc = include_str!("bare_metal.md")]
pub mod bare_metal {}

#[doc = include_str!("coming_from_go.md")]
pub mod coming_from_go {}

#[cfg(feature = "std")]
#[doc = include_str!("questions.md")]
pub mod questions {}

/// The schema of a command's JSON and CSV, as its help has it.
#[cfg(feature = "std")]
macro_rules! schema {
    ($name:literal) => {
        concat!(
            "\n## `gotrace ",
            $name,
            "`\n\n```text\n",
            include_str!(concat!("schema/", $name, ".txt")),
            "```\n"
        )
    };
}

#[cfg(feature = "std")]
#[doc = concat!(
    include_str!("answers.md"),
    schema!("summary"),
    schema!("explain"),
    schema!("blocked"),
    schema!("latency"),
    schema!("leaks"),
    schema!("at"),
    schema!("goroutines"),
    schema!("tasks"),
    schema!("regions"),
    schema!("gc"),
    schema!("doctor"),
    schema!("assert"),
    schema!("diff"),
    schema!("top"),
    schema!("stat")
)]
pub mod answers {}

#[doc = include_str!("differences.md")]
pub mod differences {}

#[doc = include_str!("expressions.md")]
pub mod expressions {}

#[cfg(feature = "std")]
#[doc = include_str!("on_call.md")]
pub mod on_call {}

#[cfg(feature = "tracer")]
#[doc = include_str!("tracing.md")]
pub mod tracing {}
