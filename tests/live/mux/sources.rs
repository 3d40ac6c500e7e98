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
            // What a person can read is shown.
            EndReason::Broken(SourceError::Text(line)) => assert_eq!(line, "hello, world"),
            other => panic!("{other}"),
        }
    }
    for (text, line) in [
        (
            &b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n"[..],
            "HTTP/1.1 401 Unauthorized",
        ),
        (&[b'x'; 5000], &*"x".repeat(200)),
    ] {
        let source = StreamSource::new(RandomReads::new(text, 4));
        let mux = TraceMultiplexer::new(source).unwrap();
        let end = mux.start(Vec::new()).unwrap().wait().end;
        assert!(
            matches!(&end, EndReason::Broken(SourceError::Text(l)) if l == line),
            "{end}"
        );
    }
}

/// What comes of a source, as traces, each with its generations and whether it broke off.
fn traces(source: &mut dyn TraceSource) -> Vec<(Vec<u8>, Vec<u64>, bool)> {
    let version = source.start().unwrap();
    let mut all = vec![(version.header().to_vec(), Vec::new(), false)];
    let mut ended = false;
    while let Some(part) = source.next().unwrap() {
        let last = all.last_mut().unwrap();
        assert_eq!(ended, matches!(part, Part::Header(_)));
        match part {
            Part::Batches(batches) => last.0.extend_from_slice(batches.as_bytes()),
            Part::EndOfGeneration(number) => last.1.push(number.get()),
            Part::Restart(reason) => (last.2, ended) = (reason.is_some(), true),
            Part::Header(version) => {
                all.push((version.header().to_vec(), Vec::new(), false));
                ended = false;
            }
        }
    }
    all
}

/// Of every version, behind every other, whole and cut short, in reads of any size.
#[test]
fn one_trace_may_follow_another_in_a_stream() {
    let trace = |name: &str| common::fixture(name).bytes();
    let all = [
        "annotate-go1.22",
        "gc-go1.25",
        "flight-go1.27",
        "annotate-go1.23",
    ]
    .map(trace);
    for (a, first) in all.iter().enumerate() {
        for (b, second) in all.iter().enumerate() {
            let whole = [&first[..], second].concat();
            for seed in 1..4 {
                let mut source = StreamSource::new(RandomReads::new(&whole[..], seed));
                let found = traces(&mut source);
                assert_eq!(found.len(), 2, "{a} {b}");
                for ((bytes, numbers, broken), trace) in found.iter().zip([first, second]) {
                    assert!(bytes == trace && !broken, "{a} {b}");
                    let expected = generations(trace);
                    assert!(numbers.iter().eq(expected.iter().map(|(n, _)| n)));
                }
            }
        }
    }
    // The first program died: between two batches, the next one is known by its header.
    let [_, _, first, second] = &all;
    let half = {
        let trace = Trace::new(first).unwrap();
        let mut batches = trace.batches_from(gotrace::ids::Offset(16));
        batches.next().unwrap().unwrap();
        batches.offset().0 as usize
    };
    let both = [&first[..half], second].concat();
    let found = traces(&mut StreamSource::new(&both[..]));
    assert!(found[0].2 && found[0].1.is_empty() && found[0].0 == first[..half]);
    assert!(found[1].0 == *second && !found[1].2);

    // For one trace, the second is an error.
    let mut once = StreamSource::new(&both[..]).once();
    once.start().unwrap();
    let error = loop {
        match once.next() {
            Ok(Some(Part::Batches(_))) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SourceError::Trace(e) if e.offset().0 == half as u64));
}

#[test]
fn a_file_that_is_written_anew_has_another_trace() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join("mux-anew.trace");
    let all = ["annotate-go1.22", "gc-go1.25", "flight-go1.27"];
    let all = all.map(|name| common::fixture(name).bytes());
    // The last byte comes later: in the middle of a generation.
    let write = |bytes: &[u8]| std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    write(&all[0]);
    let idle = Some(Duration::from_millis(400));
    let source = StreamSource::follow(std::fs::File::open(&path).unwrap(), idle);
    let mux = TraceMultiplexer::new(source).unwrap();
    let channel = mux.channel(QueueConfig::default());
    let mut headers = 0;
    let mut restarts = 0;
    for signal in channel {
        match signal {
            Signal::Header(_) => {
                headers += 1;
                std::thread::sleep(Duration::from_millis(60));
                match all.get(headers) {
                    // Shorter or longer: it is seen.
                    Some(next) => write(next),
                    None => {
                        let last = all.last().and_then(|bytes| bytes.last()).unwrap();
                        let file = std::fs::OpenOptions::new().append(true).open(&path);
                        std::io::Write::write_all(&mut file.unwrap(), &[*last]).unwrap();
                    }
                }
            }
            Signal::Restart(reason) => {
                restarts += 1;
                assert!(matches!(reason, Some(SourceError::Rewritten)), "{reason:?}");
            }
            Signal::EndOfTrace(end) => assert!(matches!(end, EndReason::Finished), "{end}"),
            _ => {}
        }
    }
    // The last one was only completed.
    assert_eq!((headers, restarts), (3, 2));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_file_that_takes_the_place_of_another_has_another_trace() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("mux-replaced");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("a.trace");
    let all = ["annotate-go1.22", "gc-go1.25", "flight-go1.27"];
    let all = all.map(|name| common::fixture(name).bytes());
    // The second one is replaced before it is complete: what there is of it is read to its end.
    let cut = all[1].len() - 1;
    let parts = [&all[0][..], &all[1][..cut], &all[2][..]];
    let place = |part: usize| {
        let beside = dir.join("beside");
        std::fs::write(&beside, parts[part]).unwrap();
        std::fs::rename(&beside, &path).unwrap();
    };
    for once in [false, true] {
        place(0);
        let idle = Some(Duration::from_millis(500));
        let source = StreamSource::follow_path(&path, idle).unwrap();
        let mux = TraceMultiplexer::new(if once { source.once() } else { source }).unwrap();
        let (mut traces, mut reasons) = (Vec::new(), Vec::new());
        for signal in mux.channel(QueueConfig::default()) {
            match signal {
                Signal::Header(version) => {
                    traces.push(version.header().to_vec());
                    std::thread::sleep(Duration::from_millis(60));
                    // For a while there is none with this name.
                    std::fs::remove_file(&path).unwrap();
                    std::thread::sleep(Duration::from_millis(60));
                    if traces.len() < parts.len() {
                        place(traces.len());
                    }
                }
                Signal::Batches(batches) => {
                    traces.last_mut().unwrap().extend(batches.as_bytes());
                }
                Signal::Restart(reason) => reasons.push(reason),
                Signal::EndOfTrace(end) => assert!(matches!(end, EndReason::Finished), "{end}"),
                _ => {}
            }
        }
        assert!(traces[0] == all[0]);
        if once {
            assert_eq!((traces.len(), reasons.len()), (1, 0));
            continue;
        }
        assert!(all[1].starts_with(&traces[1]) && traces[2] == all[2]);
        assert_eq!((traces.len(), reasons.len()), (3, 2));
        assert!(reasons[0].is_none(), "{reasons:?}");
        let at = |error: &gotrace::Error| error.offset().0 == cut as u64;
        assert!(
            matches!(&reasons[1], Some(SourceError::Trace(e)) if at(e)),
            "{reasons:?}"
        );
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[cfg(unix)]
#[test]
fn a_listener_takes_traces_and_nothing_else() {
    use gotrace::source::{ListenSource, Refused};
    use std::net::{TcpListener, TcpStream};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let source = ListenSource::tcp(listener).unwrap();
    let source = source.on_refused(move |refused| tell.send(refused).unwrap());
    let mux = TraceMultiplexer::new(source).unwrap();
    let channel = mux.channel(QueueConfig::default());
    let connect = || TcpStream::connect(address).unwrap();
    let first = common::fixture("annotate-go1.27").bytes();
    let second = common::fixture("gc-go1.22").bytes();

    let silent = connect();
    drop(connect());
    assert_eq!(told.recv().unwrap(), Refused::Closed(0));
    connect().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(
        told.recv().unwrap(),
        Refused::Other("GET / HTTP/1.1".to_owned())
    );
    let mut program = connect();
    program.write_all(&first[..10]).unwrap();
    assert!(channel.recv_timeout(Duration::from_millis(50)).is_err());
    program.write_all(&first[10..5000]).unwrap();
    assert!(matches!(channel.recv(), Some(Signal::Header(_))));
    // The next one, before the first is gone, and more of those who are no program.
    let mut next = connect();
    next.write_all(&second).unwrap();
    drop(next);
    drop(connect());
    assert_eq!(told.recv().unwrap(), Refused::Closed(0));
    drop(program);
    let mut bytes = Vec::new();
    let mut restarts = Vec::new();
    for signal in channel {
        match signal {
            Signal::Restart(reason) => {
                restarts.push(reason.is_some());
                if restarts.len() == 2 {
                    break;
                }
            }
            Signal::Header(version) => bytes = version.header().to_vec(),
            Signal::Batches(batches) => bytes.extend_from_slice(batches.as_bytes()),
            Signal::EndOfGeneration(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(restarts, [true, false]);
    assert!(bytes == second);
    // It can be interrupted while it waits, and lets go of its socket.
    drop(mux);
    drop(silent);
    TcpListener::bind(address).unwrap();
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

/// What is wrong with a file is told; whatever takes its place is read.
#[test]
fn a_damaged_file_is_left_for_its_successor() {
    let trace = common::fixture("annotate-go1.27").bytes();
    let whole = generations(&trace);
    let end = 16 + whole[0].1.len();
    let damaged = [&trace[..end], &[0xff; 40][..], &trace[end..]].concat();
    let junk = b"this is no trace but a log of something else\n".to_vec();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("mux-damaged.trace");
    let next = path.with_extension("next");
    let place = |bytes: &[u8]| {
        std::fs::write(&next, bytes).unwrap();
        std::fs::rename(&next, &path).unwrap();
    };
    let write = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
    // Each of these comes when the one before was found to be damaged.
    let steps: [&dyn Fn(); 4] = [
        &|| place(&junk),
        &|| {
            // In the same file, and longer.
            write(&[&junk[1..], &junk, &junk].concat());
        },
        &|| write(&damaged[end..]),
        &|| place(&trace),
    ];
    place(&damaged);
    let idle = Some(Duration::from_millis(500));
    let source = StreamSource::follow_path(&path, idle).unwrap();
    let mux = TraceMultiplexer::new(source).unwrap();
    let (mut traces, mut reasons) = (Vec::new(), Vec::new());
    for signal in mux.channel(QueueConfig::default()) {
        match signal {
            Signal::Header(version) => traces.push(version.header().to_vec()),
            Signal::Batches(batches) => traces.last_mut().unwrap().extend(batches.as_bytes()),
            Signal::Restart(reason) => {
                // What is appended changes nothing.
                let mut file = std::fs::File::options().append(true).open(&path).unwrap();
                file.write_all(b"more of the same").unwrap();
                std::thread::sleep(Duration::from_millis(60));
                steps[reasons.len()]();
                reasons.push(reason.unwrap());
            }
            Signal::EndOfTrace(end) => assert!(matches!(end, EndReason::Finished), "{end}"),
            _ => {}
        }
    }
    assert_eq!(traces.len(), 2);
    assert!(traces[0] == trace[..end] && traces[1] == trace);
    assert!(matches!(reasons[0], SourceError::Trace(_)), "{reasons:?}");
    assert!(matches!(reasons[1], SourceError::Text(_)), "{reasons:?}");
    assert_eq!(reasons.len(), 4);

    // If nothing comes, or only one trace is wanted, the damage is the end.
    for once in [false, true] {
        place(&damaged);
        let source = StreamSource::follow_path(&path, idle).unwrap();
        let mux = TraceMultiplexer::new(if once { source.once() } else { source }).unwrap();
        let outcome = mux.start(Vec::new()).unwrap().wait();
        let EndReason::Broken(SourceError::Trace(error)) = &outcome.end else {
            panic!("{}", outcome.end)
        };
        assert_eq!(error.offset().0, end as u64);
        assert!(written(outcome) == trace[..end]);
    }
    std::fs::remove_file(path).unwrap();
}

/// A second trace in a file is none that took the first one's place.
#[test]
fn a_file_of_two_traces_may_grow() {
    let first = common::fixture("annotate-go1.27").bytes();
    let second = common::fixture("flight-go1.27").bytes();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("mux-two.trace");
    let (front, back) = second.split_at(second.len() - 100);
    std::fs::write(&path, [&first, front].concat()).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let source = StreamSource::follow(file, Some(Duration::from_millis(500)));
    let grows = path.clone();
    let back = back.to_vec();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        let mut file = std::fs::File::options().append(true).open(grows).unwrap();
        file.write_all(&back).unwrap();
    });
    let mut source = source;
    let found = traces(&mut source);
    writer.join().unwrap();
    assert_eq!(found.len(), 2);
    assert!(found[0].0 == first && found[1].0 == second);
    std::fs::remove_file(path).unwrap();
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

    // For one trace, it may not become shorter; and who follows without end can be stopped.
    let follow = || {
        let file = std::fs::File::open(&path).unwrap();
        TraceMultiplexer::new(StreamSource::follow(file, None).once()).unwrap()
    };
    let (shrinks, stops) = (follow(), follow());
    let shrunk = shrinks.start(Vec::new()).unwrap();
    let stopped = stops.start(Vec::new()).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    drop(stops);
    assert!(matches!(stopped.wait().end, EndReason::Stopped));
    file.set_len(20).unwrap();
    match shrunk.wait().end {
        EndReason::Broken(SourceError::Rewritten) => {}
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
