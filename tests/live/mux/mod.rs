//! The multiplexer fed with recorded traces.
#![cfg(unix)]

mod sources;
mod subscribers;

use crate::common;
use common::live::{Endless, Random, RandomReads, generations, is_part_of};
use gotrace::mux::{
    Callback, EndReason, Hold, LiveError, LiveReader, Outcome, QueueConfig, Receiver, Signal,
    Stats, Subscriber, SubscriberError, Subscription, TraceCut, TraceMultiplexer, TraceWriter,
};
use gotrace::recorder::{FlightRecorder, FlightRecorderConfig, SharedError, SharedRecorder};
use gotrace::source::{
    AdvanceUnsupported, Part, Playback, SharedBatches, SourceControl, SourceError, StreamSource,
    TraceSource,
};
use gotrace::wire::Version;
use gotrace::{ErrorKind, Growing, Reader, Trace, ids::GenerationId};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

fn v2_fixtures() -> Vec<common::Fixture> {
    let all = common::fixtures().into_iter();
    all.filter(|f| f.go_version >= 22).collect()
}

fn written(outcome: Outcome<TraceWriter<Vec<u8>>>) -> Vec<u8> {
    let writer = outcome.subscriber.expect("no panic");
    writer.into_inner().expect("one writer")
}

fn number(n: u64) -> GenerationId {
    GenerationId::new(n).unwrap()
}

/// All events as text, and the error at the end.
fn live_events(mut events: LiveReader) -> (String, Option<LiveError>) {
    let mut text = String::new();
    loop {
        match events.next() {
            Ok(Some(event)) => writeln!(text, "{event}").unwrap(),
            Ok(None) => return (text, None),
            Err(error) => {
                assert!(events.next().unwrap().is_none());
                return (text, Some(error));
            }
        }
    }
}

fn read_events(trace: &[u8]) -> String {
    let trace = Trace::new(trace).unwrap();
    let mut reader: Reader<'_, Growing> = Reader::new(&trace);
    let mut text = String::new();
    while let Some(event) = reader.next().unwrap() {
        writeln!(text, "{event}").unwrap();
    }
    text
}

/// What may be used from any thread, or moved to another: this compiles, or not.
const _: () = {
    const fn send<T: Send>() {}
    const fn share<T: Send + Sync>() {}
    share::<TraceMultiplexer>();
    share::<Hold>();
    share::<Subscription<TraceWriter<Vec<u8>>>>();
    share::<Subscription<Arc<SharedRecorder>>>();
    share::<Receiver>();
    share::<Signal>();
    share::<SharedBatches>();
    share::<EndReason>();
    share::<LiveError>();
    share::<Arc<dyn SourceControl>>();
    send::<Box<dyn TraceSource>>();
    send::<StreamSource<std::fs::File>>();
    send::<Playback>();
    send::<Box<dyn Subscriber>>();
    send::<TraceWriter<std::fs::File>>();
    send::<FlightRecorder<Vec<u8>>>();
    send::<LiveReader>();
    send::<Outcome<TraceWriter<Vec<u8>>>>();
};
