//! Where a trace comes from, how it ends, and what breaks on the way.

use super::*;

#[test]
fn every_fixture_comes_through_whole_whatever_the_reads() {
    for (seed, fixture) in v2_fixtures().into_iter().enumerate() {
        let trace = fixture.bytes();
        let reads = RandomReads::new(io::Cursor::new(trace.clone()), seed as u64);
        let stream = TraceMultiplexer::new(StreamSource::new(reads)).unwrap();
        let playback = TraceMultiplexer::new(Playback::new(trace.clone()).unwrap()).unwrap();
        for mux in [stream, playback] {
            let hold = mux.hold();
            let writer = mux.start(Vec::new()).unwrap();
            let channel = mux.channel(QueueConfig::dropping(1 << 20));
            let events = mux.events(QueueConfig::waiting(1));
            let config = FlightRecorderConfig {
                min_age: Duration::from_secs(1000),
                ..FlightRecorderConfig::default()
            };
            let shared = Arc::new(SharedRecorder::new(config));
            let recorder = mux.record(&shared).unwrap();
            drop(hold);
            let (text, error) = live_events(events);
            assert!(error.is_none(), "{}: {error:?}", fixture.name);
            assert!(matches!(recorder.wait().end, EndReason::Finished));
            let mut snapshot = Vec::new();
            shared.write_to(&mut snapshot).unwrap();
            assert!(snapshot == trace, "{}", fixture.name);
            assert!(text == read_events(&trace), "{}", fixture.name);

            let expected = generations(&trace);
            let outcome = writer.wait();
            assert!(matches!(outcome.end, EndReason::Finished));
            assert_eq!(outcome.stats.generations, expected.len() as u64);
            assert_eq!(outcome.stats.bytes, trace.len() as u64 - 16);
            assert!(written(outcome) == trace, "{}", fixture.name);

            let mut numbers = Vec::new();
            let mut bytes = Vec::new();
            for signal in channel {
                match signal {
                    Signal::Header(version) => bytes.extend_from_slice(version.header()),
                    Signal::Batches(batches) => {
                        assert!(batches.iter().all(|chunk| chunk.is_ok()));
                        bytes.extend_from_slice(batches.as_bytes());
                    }
                    Signal::EndOfGeneration(number) => numbers.push(number.get()),
                    Signal::Lost(_) => panic!("nothing is lost"),
                    _ => {}
                }
            }
            assert!(bytes == trace);
            assert!(numbers.into_iter().eq(expected.iter().map(|(n, _)| *n)));
        }
    }
}

#[test]
fn pipes_and_sockets_bring_every_version() {
    fn check(trace: &[u8], reader: impl Read + AsFd + Send + 'static, mut to: impl Write + Send) {
        let source = StreamSource::polled(reader).unwrap();
        let mux = TraceMultiplexer::new(source).unwrap();
        let writer = mux.start(Vec::new()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut random, mut rest) = (Random::new(trace.len() as u64), trace);
                while !rest.is_empty() {
                    let most = [3, 100, 5000, 1 << 20][random.below(4)];
                    let (now, later) = rest.split_at(1 + random.below(rest.len().min(most)));
                    to.write_all(now).unwrap();
                    rest = later;
                }
            });
            let outcome = writer.wait();
            assert!(matches!(outcome.end, EndReason::Finished));
            assert!(written(outcome) == *trace);
        });
    }
    for version in [22, 23, 25, 26, 27] {
        let mut fixtures = v2_fixtures().into_iter();
        let Some(fixture) = fixtures.find(|f| f.go_version == version) else {
            continue;
        };
        let trace = fixture.bytes();
        let (reader, to) = io::pipe().unwrap();
        check(&trace, reader, to);
        let (reader, to) = UnixStream::pair().unwrap();
        check(&trace, reader, to);
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let to = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        check(&trace, listener.accept().unwrap().0, to);
    }
}

#[test]
fn a_stream_that_breaks_leaves_whole_generations_and_says_where() {
    let mut random = Random::new(3);
    let mut broken = 0;
    let of_many = |f: &common::Fixture| generations(&f.bytes()).len() > 1;
    for fixture in v2_fixtures().into_iter().filter(of_many) {
        let trace = fixture.bytes();
        let whole = generations(&trace);
        let mut starts: Vec<usize> = vec![16];
        starts.extend(whole.iter().scan(16, |at, (_, bytes)| {
            *at += bytes.len();
            Some(*at)
        }));
        let mut cuts: Vec<usize> = (0..40)
            .map(|_| 16 + random.below(trace.len() - 16))
            .collect();
        cuts.extend(&starts);
        for cut in cuts {
            let stream = RandomReads::new(io::Cursor::new(trace[..cut].to_vec()), cut as u64);
            let mux = TraceMultiplexer::new(StreamSource::new(stream)).unwrap();
            let hold = mux.hold();
            let writer = mux.start(Vec::new()).unwrap();
            let events = mux.events(QueueConfig::default());
            drop(hold);
            let outcome = writer.wait();
            let complete = starts.iter().rev().find(|&&start| start <= cut).unwrap();
            let what = format!("{} cut at {cut}", fixture.name);
            match &outcome.end {
                EndReason::Finished => assert!(starts.contains(&cut), "{what}"),
                EndReason::Broken(SourceError::Trace(error)) => {
                    broken += 1;
                    assert!(!starts.contains(&cut), "{what}");
                    assert_eq!(error.offset().0, cut as u64, "{what}: {error}");
                    assert!(
                        matches!(
                            error.kind(),
                            ErrorKind::UnexpectedEnd | ErrorKind::IncompleteGeneration
                        ),
                        "{what}: {error}"
                    );
                }
                other => panic!("{what}: {other}"),
            }
            assert!(written(outcome) == trace[..*complete], "{what}");
            let (text, error) = live_events(events);
            assert_eq!(error.is_some(), cut != *complete, "{what}: {error:?}");
            if *complete > 16 {
                assert!(text == read_events(&trace[..*complete]), "{what}");
            }
        }
    }
    assert!(broken > 100, "{broken}");
}

#[test]
fn damage_ends_the_trace_where_it_stands() {
    let trace = common::fixture("annotate-go1.27").bytes();
    let second = 16 + generations(&trace)[0].1.len();
    let mut damaged = trace.clone();
    damaged[second] = 77;
    let mux = TraceMultiplexer::new(StreamSource::new(io::Cursor::new(damaged))).unwrap();
    let outcome = mux.start(Vec::new()).unwrap().wait();
    let EndReason::Broken(SourceError::Trace(error)) = &outcome.end else {
        panic!("{}", outcome.end)
    };
    assert_eq!(error.kind(), ErrorKind::NotABatch);
    assert_eq!((error.value(), error.offset().0), (77, second as u64));
    assert!(written(outcome) == trace[..second]);
    // It cannot go on.
    let outcome = mux.start(Vec::new()).unwrap().wait();
    assert!(matches!(outcome.end, EndReason::Broken(SourceError::Ended)));

    for (bytes, kind) in [
        (&b"go 1.21 trace\0\0\0"[..], ErrorKind::NoGenerations),
        (b"hello, world", ErrorKind::NotATrace),
        (b"go 1.2", ErrorKind::UnexpectedEnd),
    ] {
        let mux = TraceMultiplexer::new(StreamSource::new(bytes)).unwrap();
        match mux.start(Vec::new()).unwrap().wait().end {
            EndReason::Broken(SourceError::Trace(error)) => assert_eq!(error.kind(), kind),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn dropping_the_multiplexer_ends_a_read_that_waits() {
    let (reader, mut pipe) = io::pipe().unwrap();
    let trace = common::fixture("annotate-go1.27").bytes();
    let first = 16 + generations(&trace)[0].1.len();
    let mux = TraceMultiplexer::new(StreamSource::polled(reader).unwrap()).unwrap();
    let hold = mux.hold();
    let writer = mux.start(Vec::new()).unwrap();
    let events = mux.events(QueueConfig::default());
    // Nobody takes anything from this one: the source will wait for it.
    let stuck = mux.channel(QueueConfig::waiting(1));
    drop(hold);
    pipe.write_all(&trace[..first + 100]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    drop(mux);
    // The read end is closed with the source.
    assert_eq!(
        pipe.write_all(&trace).map_err(|e| e.kind()),
        Err(io::ErrorKind::BrokenPipe)
    );
    let outcome = writer.wait();
    assert!(matches!(outcome.end, EndReason::Stopped));
    assert!(is_part_of(&written(outcome), &generations(&trace)) <= 1);
    assert!(live_events(events).1.is_none());
    assert!(matches!(
        stuck.last(),
        Some(Signal::EndOfTrace(EndReason::Stopped))
    ));
}

#[test]
fn a_source_that_is_never_there_can_be_given_up() {
    let (reader, _pipe) = io::pipe().unwrap();
    let mux = TraceMultiplexer::new(StreamSource::polled(reader).unwrap()).unwrap();
    let writer = mux.start(Vec::new()).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    drop(mux);
    let outcome = writer.wait();
    assert!(matches!(outcome.end, EndReason::Stopped));
    assert!(written(outcome).is_empty());
}

#[test]
fn a_growing_file_is_followed() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join("mux-growing.trace");
    let mut file = std::fs::File::create(&path).unwrap();
    let trace = common::fixture("annotate-go1.22").bytes();
    let source = StreamSource::follow(
        std::fs::File::open(&path).unwrap(),
        Some(Duration::from_millis(300)),
    );
    let mux = TraceMultiplexer::new(source).unwrap();
    let writer = mux.start(Vec::new()).unwrap();
    for piece in trace.chunks(1000) {
        file.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    let outcome = writer.wait();
    assert!(
        matches!(outcome.end, EndReason::Finished),
        "{}",
        outcome.end
    );
    assert!(written(outcome) == trace);

    // It may not become shorter; and who follows without end can be stopped.
    let follow = || {
        let file = std::fs::File::open(&path).unwrap();
        TraceMultiplexer::new(StreamSource::follow(file, None)).unwrap()
    };
    let (shrinks, stops) = (follow(), follow());
    let shrunk = shrinks.start(Vec::new()).unwrap();
    let stopped = stops.start(Vec::new()).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    drop(stops);
    assert!(matches!(stopped.wait().end, EndReason::Stopped));
    file.set_len(20).unwrap();
    match shrunk.wait().end {
        EndReason::Broken(SourceError::Io(error)) => {
            assert!(error.to_string().contains("shorter"), "{error}");
        }
        other => panic!("{other}"),
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_playback_has_its_pace_and_can_be_repeated() {
    let trace = common::fixture("annotate-go1.27").bytes();
    let events: Vec<i64> = {
        let trace = Trace::new(&trace).unwrap();
        let batches = trace
            .generations()
            .map(|g| g.unwrap().start_time().unwrap().0);
        batches.collect()
    };
    let length = Duration::from_nanos((events[events.len() - 1] - events[0]) as u64);
    // Whatever the length, the last generation begins after a tenth of a second.
    let speed = length.as_secs_f64() / 0.1;
    let playback = Playback::new(trace.clone()).unwrap().paced(speed);
    let mux = TraceMultiplexer::new(playback).unwrap();
    for _ in 0..2 {
        let began = Instant::now();
        let outcome = mux.start(Vec::new()).unwrap().wait();
        assert!(
            began.elapsed() >= Duration::from_millis(95),
            "{:?}",
            began.elapsed()
        );
        assert!(matches!(outcome.end, EndReason::Finished));
        assert!(written(outcome) == trace);
    }
    // One that takes years can be given up.
    let slow = Playback::new(trace).unwrap().paced(1e-9);
    let mux = TraceMultiplexer::new(slow).unwrap();
    let writer = mux.start(Vec::new()).unwrap();
    std::thread::sleep(Duration::from_millis(10));
    drop(mux);
    assert!(matches!(writer.wait().end, EndReason::Stopped));
}

#[test]
fn errors_and_panics_of_a_source_reach_everyone() {
    struct Panics;
    struct Control;
    impl SourceControl for Control {
        fn advance(&self) -> Result<(), AdvanceUnsupported> {
            Ok(())
        }
        fn interrupt(&self) {}
    }
    impl TraceSource for Panics {
        fn start(&mut self) -> Result<Version, SourceError> {
            Ok(Version::Go126)
        }
        fn next(&mut self) -> Result<Option<Part>, SourceError> {
            std::panic::resume_unwind(Box::new("broken source".to_owned()))
        }
        fn stop(&mut self) {}
        fn control(&self) -> Arc<dyn SourceControl> {
            Arc::new(Control)
        }
    }
    let mux = TraceMultiplexer::new(Panics).unwrap();
    for _ in 0..2 {
        match mux.start(Vec::new()).unwrap().wait().end {
            EndReason::Broken(SourceError::Panicked(message)) => {
                assert_eq!(message, "broken source");
            }
            other => panic!("{other}"),
        }
    }

    struct Fails(io::Cursor<Vec<u8>>);
    impl Read for Fails {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("the line is dead")),
                n => Ok(n),
            }
        }
    }
    let trace = common::fixture("annotate-go1.27").bytes();
    let fails = Fails(io::Cursor::new(trace.clone()));
    let mux = TraceMultiplexer::new(StreamSource::new(fails)).unwrap();
    let outcome = mux.start(Vec::new()).unwrap().wait();
    assert_eq!(outcome.end.to_string(), "the line is dead");
    assert!(written(outcome) == trace);
}

/// Generations that end only when someone asks for it.
struct Patient {
    asked: Arc<AtomicBool>,
    at: u64,
}

impl TraceSource for Patient {
    fn start(&mut self) -> Result<Version, SourceError> {
        Ok(Version::CURRENT)
    }
    fn next(&mut self) -> Result<Option<Part>, SourceError> {
        if self.asked.swap(false, Ordering::SeqCst) {
            self.at += 1;
            return Ok(Some(Part::EndOfGeneration(number(self.at))));
        }
        std::thread::sleep(Duration::from_millis(1));
        Ok(Some(Part::Batches(SharedBatches::from(vec![0; 10]))))
    }
    fn stop(&mut self) {}
    fn control(&self) -> Arc<dyn SourceControl> {
        struct Ask(Arc<AtomicBool>);
        impl SourceControl for Ask {
            fn advance(&self) -> Result<(), AdvanceUnsupported> {
                self.0.store(true, Ordering::SeqCst);
                Ok(())
            }
            fn interrupt(&self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        Arc::new(Ask(Arc::clone(&self.asked)))
    }
}

/// Whoever joins or leaves asks the source to end the generation, so as not to wait for it.
#[test]
fn a_source_that_can_is_asked_to_advance() {
    let asked = Arc::new(AtomicBool::new(false));
    let at = 0;
    let mux = TraceMultiplexer::new(Patient { asked, at }).unwrap();
    let stays = mux.channel(QueueConfig::dropping(1 << 20));
    for _ in 0..5 {
        let soon = Duration::from_secs(20);
        let joins = mux.channel(QueueConfig::default());
        assert!(matches!(
            joins.recv_timeout(soon),
            Ok(Some(Signal::Header(_)))
        ));
        let generations = joins.stats().generations;
        assert_eq!(mux.advance(), Ok(()));
        while joins.stats().generations == generations {
            joins.recv_timeout(soon).unwrap();
        }
        joins.leave();
        while joins.recv_timeout(soon).unwrap().is_some() {}
        assert!(matches!(joins.end(), Some(EndReason::Left)));
    }
    let writer = mux.start(Vec::new()).unwrap().stop();
    assert!(matches!(writer.end, EndReason::Left));
    drop(stays);
    let waiting = Instant::now();
    while mux.enabled() {
        assert!(waiting.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
}
