//! `host DIR [--update]`: judges what the firmware logged and how large it is.
//!
//! - What the firmware found in the traces, and how the crate formats it for `defmt`, must be what
//!   the crate finds here, with tables that grow.
//! - So must be what the big-endian program printed, the bytes of an arena included.
//! - Sizes and stacks must keep their budgets, and be those that stand in `README.md`; with
//!   `--update`, they are written there.

mod expected;
mod sizes;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A frame that says how much stack a part took, as in `stack of reading: 1234`.
const STACK: &str = "stack of ";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let update = args.last().is_some_and(|arg| arg == "--update") && args.pop().is_some();
    let [dir] = &args[..] else {
        return Err("usage: host DIR [--update]".into());
    };
    let dir = Path::new(dir);

    let lines = decode(&fs::read(dir.join("elf/log"))?, &fs::read(dir.join("log"))?)?;
    let (stacks, told): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.starts_with(STACK));
    compare(&told, &expected::lines()?)?;
    println!("{} lines are what the host finds", told.len());
    if fs::read_to_string(dir.join("big-endian.log"))? != expected::big_endian()? {
        return Err("the big-endian program finds something else".into());
    }
    println!("a big-endian processor finds the same");

    let stacks = stacks.iter().map(|line| {
        let (part, bytes) = line[STACK.len()..].split_once(": ").ok_or("no stack")?;
        Ok((part.to_owned(), bytes.parse()?))
    });
    let stacks = stacks.collect::<Result<Vec<(String, u64)>>>()?;
    sizes::judge(&dir.join("elf"), &stacks, update)
}

/// The messages that the firmware logged; `elf` holds their words.
fn decode(elf: &[u8], log: &[u8]) -> Result<Vec<String>> {
    let table = defmt_decoder::Table::parse(elf)?.ok_or("the firmware has no table of messages")?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(log);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => {
                let line = frame.display_message().to_string();
                println!("  {}", line.escape_debug());
                lines.push(line);
            }
            Err(defmt_decoder::DecodeError::UnexpectedEof) => return Ok(lines),
            Err(error) => return Err(format!("the log is damaged: {error}").into()),
        }
    }
}

fn compare(told: &[&String], expected: &[String]) -> Result<()> {
    for (n, (told, expected)) in told.iter().zip(expected).enumerate() {
        if *told != expected {
            return Err(
                format!("line {n}: the firmware says\n{told}\nthe host\n{expected}").into(),
            );
        }
    }
    if told.len() != expected.len() {
        let (told, expected) = (told.len(), expected.len());
        return Err(format!("the firmware says {told} lines, the host {expected}").into());
    }
    Ok(())
}
