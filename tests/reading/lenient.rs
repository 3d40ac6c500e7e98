//! Lenient reading: everything that can be read, and what is missing.
#![cfg(feature = "std")]

use crate::common;
use crate::validator::{
    facts::Fact,
    model::{Trust, Validator},
};
use common::live::RandomReads;
use gotrace::reader::{Item, Lenient, Losses};
use gotrace::{Growing, Reader, StreamReader, Trace};
use std::fmt::Write as _;

/// What a lenient reader gives.
#[derive(Debug, Default, PartialEq)]
struct Run {
    /// Events of the trace as Go prints them.
    events: String,
    /// All items, a line each.
    items: Vec<String>,
    losses: Losses,
}

impl Run {
    fn add(&mut self, item: &Item<'_>) {
        self.items.push(match item {
            Item::Event(event) => {
                writeln!(self.events, "{event}").unwrap();
                format!("{event}")
            }
            Item::MadeUp(event, error) => format!("made up: {event} ({error})"),
            Item::LeftOut(event, error) => format!("left out: {event} ({error})"),
            other => format!("{other:?}"),
        });
    }
}

fn read(bytes: &[u8]) -> Run {
    let mut run = Run::default();
    let mut reader: Reader<'_, Growing, Lenient> = Trace::new(bytes).unwrap().reader().lenient();
    while let Some(item) = reader.next().unwrap() {
        run.add(&item);
    }
    assert!(reader.next().unwrap().is_none());
    run.losses = reader.losses();
    run
}

fn read_stream(source: impl std::io::Read) -> Run {
    let mut run = Run::default();
    let mut reader = StreamReader::new(source).unwrap().lenient();
    while let Some(item) = reader.next().unwrap() {
        run.add(&item);
    }
    run.losses = reader.losses();
    run
}

/// The events and the error of a strict reader.
fn read_strictly(bytes: &[u8]) -> (String, bool) {
    let trace = Trace::new(bytes).unwrap();
    let mut reader = trace.reader();
    let mut text = String::new();
    loop {
        match reader.next() {
            Ok(Some(event)) => writeln!(text, "{event}").unwrap(),
            Ok(None) => return (text, true),
            Err(_) => return (text, false),
        }
    }
}

#[test]
fn of_sound_traces_it_gives_what_a_strict_reader_gives() {
    for fixture in common::fixtures() {
        let bytes = fixture.bytes();
        let (text, sound) = read_strictly(&bytes);
        if !sound {
            continue;
        }
        let run = read(&bytes);
        assert!(
            run.losses.is_nothing(),
            "{}: {:?}",
            fixture.name,
            run.losses
        );
        assert!(run.events == text, "{}", fixture.name);
        let stream = read_stream(RandomReads::new(&bytes[..], 7));
        assert!(stream == run, "{}", fixture.name);
    }
}

#[test]
fn scratch() {
    let Some(path) = std::env::var_os("SCRATCH") else {
        return;
    };
    for path in std::env::split_paths(&path) {
        let bytes = std::fs::read(&path).unwrap();
        let run = read(&bytes);
        println!("== {} {:?}", path.display(), run.losses);
        let mut n = 0;
        for item in &run.items {
            if !item.starts_with("M=") && n < 40 {
                n += 1;
                println!("   {}", item.lines().next().unwrap());
            }
        }
        let mut validator = Validator::new(Trust::Nothing);
        let trace = Trace::new(&bytes).unwrap();
        let mut reader = trace.reader().lenient();
        while let Some(item) = reader.next().unwrap() {
            if let Some(event) = item.event() {
                let mut fact = Fact::of(&event);
                fact.first = false;
                if let Err(e) = validator.see(fact) {
                    println!("   INVALID {e}\n      {event}");
                    break;
                }
            }
        }
    }
}
