//! What should be logged, worked out here.
//!
//! `defmt` formats a structure on one line, as `Debug` does; what the crate formats in another way
//! is written out.

use super::Result;
use firmware::{ARENA_LEN, Found, Image, Kept, READ, RECORDED};
use gotrace::{Details, Event, FlightRecorder, Reader, Trace};
use std::fmt::Display;

/// All messages of the firmware but those about the stack.
pub fn lines() -> Result<Vec<String>> {
    let mut lines = vec![format!("decoded {:?}", firmware::decode(READ)?)];

    let counts = firmware::read(&mut Trace::new(READ)?.reader(), |_| ())?;
    // Go's own reader gave as many.
    let events = include_str!("../../../../tests/fixtures/expected.tsv")
        .lines()
        .find_map(|line| {
            line.strip_prefix("annotate-go1.27.trace\t")?
                .split('\t')
                .nth(5)
        });
    if events.ok_or("no such fixture")?.parse() != Ok(counts.events) {
        return Err(format!("Go gives {events:?} events, this crate {}", counts.events).into());
    }
    lines.push(format!("read {counts:?}"));

    let mut arena = vec![0; ARENA_LEN];
    let mut recorder = FlightRecorder::new(&mut arena[..], Default::default())?;
    firmware::record(&mut recorder, RECORDED)?;
    lines.push(format!("recorded {:?}", Kept::of(&recorder.snapshot())));
    drop(recorder);

    let recovered = FlightRecorder::recover(&arena)?;
    lines.push(format!("recovered {:?}", Found::of(&recovered)));
    lines.push(format!("status {:?}", recovered.status()));
    let snapshot = recovered.snapshot();
    let mut reader = Reader::<gotrace::Growing>::new(&snapshot.trace()?);
    let counts = firmware::read(&mut reader, |event| lines.extend(log(event)))?;
    lines.push(format!("read {counts:?}"));
    Ok(lines)
}

/// What the big-endian program should print: of an arena, all bytes.
pub fn big_endian() -> Result<String> {
    let decoded = firmware::decode(READ)?;
    let counts = firmware::read(&mut Trace::new(READ)?.reader(), |_| ())?;
    let mut arena = vec![0; ARENA_LEN];
    let mut recorder = FlightRecorder::new(&mut arena[..], Default::default())?;
    firmware::record(&mut recorder, RECORDED)?;
    let kept = Kept::of(&recorder.snapshot());
    let image = Image::of(recorder.arena());
    Ok(format!("{decoded:?}\n{counts:?}\n{kept:?}\n{image:?}\n"))
}

/// A user's log message.
fn log(event: &Event<'_, '_>) -> Option<String> {
    let Details::Log(log) = event.details() else {
        return None;
    };
    Some(format!(
        "M={} P={} G={} {:?} Time={} Log {{ task: {}, category: {:?}, message: {:?} }}",
        optional(event.thread()),
        optional(event.proc()),
        optional(event.goroutine()),
        event.kind(),
        event.time(),
        optional(log.task),
        log.category,
        log.message,
    ))
}

fn optional(id: Option<impl Display>) -> String {
    id.map_or("None".into(), |id| format!("Some({id})"))
}
