//! Who gets a trace: those who come and go, are slow, fail, write, record.

use super::*;

/// Behaves in one of several ways, for as long as it lives.
struct Fickle {
    writer: TraceWriter<Vec<u8>>,
    random: Random,
    /// Generations until it fails or panics.
    patience: usize,
    how: usize,
    half: Arc<AtomicU64>,
}

impl Subscriber for Fickle {
    fn header(&mut self, version: Version) -> Result<(), SubscriberError> {
        self.writer.header(version)
    }

    fn batches(&mut self, batches: &SharedBatches) -> Result<(), SubscriberError> {
        self.half.store(1, Ordering::Relaxed);
        if self.how == 2 && self.random.below(20) == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
        self.writer.batches(batches)
    }

    fn end_of_generation(&mut self, number: GenerationId) -> Result<(), SubscriberError> {
        self.half.store(0, Ordering::Relaxed);
        self.writer.end_of_generation(number)?;
        self.patience = self.patience.saturating_sub(1);
        match (self.patience, self.how) {
            (0, 0) => Err("had enough".into()),
            // Without a word on the terminal.
            (0, 1) => std::panic::resume_unwind(Box::new("had too much")),
            _ => Ok(()),
        }
    }
}

#[test]
fn subscribers_come_and_go_at_random_and_agree() {
    for (seed, name) in ["flight-go1.25", "annotate-go1.22", "flight-go1.27"]
        .into_iter()
        .enumerate()
    {
        let trace = common::fixture(name).bytes();
        let stop = Arc::new(AtomicBool::new(false));
        let stream = Endless::new(&trace, 100_000).until(Arc::clone(&stop));
        let stream = RandomReads::new(stream, seed as u64);
        let mux = TraceMultiplexer::new(StreamSource::new(stream)).unwrap();
        // One that sees all.
        let witness = mux.start(Vec::new()).unwrap();
        let counts: [AtomicU64; 4] = Default::default();
        let parts = Mutex::new(Vec::new());
        let (began, mut done) = (Instant::now(), false);
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (mux, counts, parts) = (&mux, &counts, &parts);
                scope.spawn(move || {
                    let mut random = Random::new(seed as u64 * 100 + thread);
                    while come_and_go(mux, &mut random, counts, parts) {}
                });
            }
            while !done && began.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(10));
                let enough = |n: &AtomicU64| n.load(Ordering::Relaxed) >= 5;
                done = counts.iter().all(enough);
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(done, "{counts:?} of failures, panics, leaves, parts");
        let outcome = witness.wait();
        assert!(
            matches!(outcome.end, EndReason::Finished),
            "{}",
            outcome.end
        );
        let count = outcome.stats.generations;
        let all = written(outcome);
        assert!(all == Endless::new(&trace, count).bytes());
        let whole = generations(&all);
        for (bytes, generations) in parts.into_inner().unwrap() {
            assert_eq!(is_part_of(&bytes, &whole) as u64, generations);
        }
    }
}

/// Subscribes for a while, and checks how that ends; says whether the source goes on. Counts
/// failures, panics, leaves and parts of the trace.
fn come_and_go(
    mux: &TraceMultiplexer,
    random: &mut Random,
    [failures, panics, leaves, seen]: &[AtomicU64; 4],
    parts: &Mutex<Vec<(Vec<u8>, u64)>>,
) -> bool {
    let how = random.below(4);
    let half = Arc::new(AtomicU64::new(0));
    let fickle = Fickle {
        writer: TraceWriter::new(Vec::new()),
        random: random.clone(),
        patience: 1 + random.below(10),
        how,
        half: Arc::clone(&half),
    };
    let config = QueueConfig::waiting(1 << random.below(20));
    let subscription = mux.subscribe(fickle, config).unwrap();
    std::thread::sleep(Duration::from_micros(random.below(8000) as u64));
    let outcome = match random.below(4) {
        0 if how < 2 => subscription.wait(),
        _ => subscription.stop(),
    };
    let goes_on = match &outcome.end {
        EndReason::Failed(error) => {
            assert_eq!((how, error.to_string().as_str()), (0, "had enough"));
            failures.fetch_add(1, Ordering::Relaxed);
            true
        }
        EndReason::Panicked(message) => {
            assert_eq!((how, message.as_str()), (1, "had too much"));
            assert!(outcome.subscriber.is_none());
            panics.fetch_add(1, Ordering::Relaxed);
            true
        }
        EndReason::Left => {
            leaves.fetch_add(1, Ordering::Relaxed);
            true
        }
        EndReason::Finished | EndReason::Broken(SourceError::Ended) => false,
        other => panic!("{other}"),
    };
    if let Some(fickle) = outcome.subscriber {
        assert_eq!(half.load(Ordering::Relaxed), 0, "cut short");
        let bytes = fickle.writer.into_inner().unwrap();
        if !bytes.is_empty() {
            seen.fetch_add(1, Ordering::Relaxed);
            let mut parts = parts.lock().unwrap();
            parts.push((bytes, outcome.stats.generations));
        }
    }
    goes_on
}

/// Takes a step each time it is told to.
struct Gate<W> {
    writer: TraceWriter<W>,
    steps: Mutex<mpsc::Receiver<()>>,
}

impl<W: Write + Send> Subscriber for Gate<W> {
    fn header(&mut self, version: Version) -> Result<(), SubscriberError> {
        self.writer.header(version)
    }

    fn batches(&mut self, batches: &SharedBatches) -> Result<(), SubscriberError> {
        self.writer.batches(batches)
    }

    fn end_of_generation(&mut self, number: GenerationId) -> Result<(), SubscriberError> {
        // Whether told to or left alone: it goes on.
        let _ = self.steps.lock().unwrap().recv();
        self.writer.end_of_generation(number)
    }
}

#[test]
fn a_slow_subscriber_loses_whole_generations_and_delays_nobody() {
    let all = Endless::new(&common::fixture("flight-go1.27").bytes(), 60).bytes();
    let whole = generations(&all);
    let largest = whole.iter().map(|(_, bytes)| bytes.len()).max().unwrap();
    let mux = TraceMultiplexer::new(StreamSource::new(io::Cursor::new(all.clone()))).unwrap();
    type Shared<T> = Arc<Mutex<Vec<T>>>;
    let parts: Shared<Shared<u8>> = Arc::default();
    #[derive(Clone, Default)]
    struct Part(Shared<u8>);
    impl Write for Part {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (go_on, steps) = mpsc::channel();
    let (go_on_too, steps_too) = mpsc::channel();
    let opened = Arc::clone(&parts);
    let slow = Gate {
        writer: TraceWriter::parts(move |_| {
            let part = Part::default();
            opened.lock().unwrap().push(Arc::clone(&part.0));
            Ok(part)
        }),
        steps: Mutex::new(steps),
    };
    let one = Gate {
        writer: TraceWriter::new(Vec::new()),
        steps: Mutex::new(steps_too),
    };
    let hold = mux.hold();
    let slow = mux
        .subscribe(slow, QueueConfig::dropping(3 * largest))
        .unwrap();
    let one = mux
        .subscribe(one, QueueConfig::dropping(3 * largest))
        .unwrap();
    let never = mux.start_dropping(largest / 4);
    let fast = mux.start(Vec::new()).unwrap();
    drop(hold);
    // The fast one gets all while the slow one is at its first generation.
    assert!(written(fast.wait()) == all);
    assert_eq!(slow.stats().generations, 1);
    drop((go_on, go_on_too));
    let outcome = slow.wait();
    assert!(matches!(outcome.end, EndReason::Finished));
    lost_the_most_of(60, &all, outcome.stats);
    let parts = parts.lock().unwrap();
    let seen: usize = parts
        .iter()
        .map(|part| is_part_of(&part.lock().unwrap(), &whole))
        .sum();
    assert_eq!(seen as u64, outcome.stats.generations);

    // What follows a loss is not written behind what came before.
    let outcome = one.wait();
    if outcome.stats.lost.generations < 60 - outcome.stats.generations {
        let EndReason::Failed(error) = &outcome.end else {
            panic!("{}", outcome.end)
        };
        assert!(error.is::<TraceCut>());
    }
    let bytes = outcome.subscriber.unwrap().writer.into_inner().unwrap();
    assert!(is_part_of(&bytes, &whole) > 0);

    // A generation that is larger than the queue is never there.
    let outcome = never.wait();
    assert_eq!(
        outcome.stats.lost.generations + outcome.stats.generations,
        60
    );
    assert!(outcome.stats.lost.generations >= 20);
}

/// Somebody is waited for who takes nothing; until that is given up.
#[test]
fn who_is_passed_over_is_waited_for_when_it_takes_again() {
    let all = Endless::new(&common::fixture("flight-go1.27").bytes(), 60).bytes();
    let whole = generations(&all);
    let mux = TraceMultiplexer::new(StreamSource::new(io::Cursor::new(all.clone()))).unwrap();
    let (go_on, steps) = mpsc::channel::<()>();
    let signals = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&signals);
    let steps = Mutex::new(steps);
    let stuck = Callback(move |signal: &Signal| {
        // It takes a part of the first generation, and then nothing.
        let is_first = matches!(signal, Signal::Batches(_));
        taken.lock().unwrap().push(signal.clone());
        if is_first {
            let _ = steps.lock().unwrap().recv();
        }
        Ok(())
    });
    let hold = mux.hold();
    let stuck = mux.subscribe(stuck, QueueConfig::waiting(8 << 10)).unwrap();
    let dropping = mux.start_dropping(1 << 20);
    assert!(!dropping.pass_over() && !stuck.pass_over());
    let fast = mux.start(Vec::new()).unwrap();
    drop(hold);
    common::live::wait_for(|| stuck.is_waited_for());
    assert!(!fast.is_finished());
    // Before it is stuck, it may have taken something.
    common::live::wait_for(|| {
        stuck.pass_over();
        fast.is_finished()
    });
    // Once is enough, while it takes nothing.
    assert!(!stuck.pass_over() && !stuck.is_waited_for());
    assert!(written(fast.wait()) == all);
    drop(go_on);
    let outcome = stuck.wait();
    assert!(matches!(outcome.end, EndReason::Finished));
    lost_the_most_of(60, &all, outcome.stats);
    // A generation of which a part is missing has no end, and what follows begins with a header.
    let (mut parts, mut is_whole) = (Vec::new(), true);
    for signal in signals.lock().unwrap().iter() {
        match signal {
            Signal::Header(version) => {
                parts.push((version.header().to_vec(), 16));
                is_whole = true;
            }
            Signal::Batches(batches) => {
                assert!(is_whole);
                parts.last_mut().unwrap().0.extend(batches.as_bytes());
            }
            Signal::EndOfGeneration(_) => {
                let (bytes, end) = parts.last_mut().unwrap();
                *end = bytes.len();
            }
            Signal::Lost(_) => is_whole = false,
            _ => {}
        }
    }
    let seen = parts.iter().map(|(bytes, end)| match end {
        16 => 0,
        end => is_part_of(&bytes[..*end], &whole),
    });
    assert_eq!(seen.sum::<usize>() as u64, outcome.stats.generations);

    // Whoever takes again is waited for again.
    let mux = TraceMultiplexer::new(StreamSource::new(io::Cursor::new(all.clone()))).unwrap();
    let (go_on, steps) = mpsc::channel();
    let gate = Gate {
        writer: TraceWriter::parts(|_| Ok(Vec::new())),
        steps: Mutex::new(steps),
    };
    let hold = mux.hold();
    let slow = mux.subscribe(gate, QueueConfig::waiting(8 << 10)).unwrap();
    let fast = mux.start(Vec::new()).unwrap();
    drop(hold);
    common::live::wait_for(|| {
        slow.pass_over();
        fast.is_finished()
    });
    assert!(written(fast.wait()) == all);
    let lost = slow.stats().lost.generations;
    drop(go_on);
    let outcome = slow.wait();
    assert!(
        matches!(outcome.end, EndReason::Finished),
        "{}",
        outcome.end
    );
    assert_eq!(outcome.stats.generations + lost, 60);
}

trait StartDropping {
    fn start_dropping(&self, capacity: usize) -> Subscription<Callback<Ignore>>;
}

type Ignore = fn(&Signal) -> Result<(), SubscriberError>;

impl StartDropping for TraceMultiplexer {
    fn start_dropping(&self, capacity: usize) -> Subscription<Callback<Ignore>> {
        let ignore: Ignore = |_| Ok(());
        self.subscribe(Callback(ignore), QueueConfig::dropping(capacity))
            .unwrap()
    }
}

#[test]
fn events_go_on_after_a_loss() {
    let trace = common::fixture("annotate-go1.25").bytes();
    let all = Endless::new(&trace, 30).bytes();
    let whole = generations(&all);
    let most = whole.iter().map(|(_, bytes)| bytes.len()).max().unwrap();
    let mux = TraceMultiplexer::new(StreamSource::new(io::Cursor::new(all.clone()))).unwrap();
    let hold = mux.hold();
    // Room for one generation: each that comes through begins a trace of its own, or the reader
    // would find that it does not follow.
    let mut events = mux.events(QueueConfig::dropping(most));
    let all_of_it = mux.start(Vec::new()).unwrap();
    drop(hold);
    all_of_it.wait();
    let mut syncs = 0;
    while let Some(event) = events.next().unwrap() {
        syncs += usize::from(event.kind() == gotrace::EventKind::Sync);
    }
    let stats = events.stats();
    assert_eq!(events.lost(), stats.lost);
    assert!(stats.lost.generations > 0, "{stats:?}");
    assert_eq!(stats.lost.generations + stats.generations, 30);
    assert!(syncs > 1);
}

#[test]
fn the_last_to_leave_stops_the_source_and_it_can_go_on() {
    /// Counts starts and stops.
    struct Counting<S>(S, Arc<[AtomicU64; 2]>);
    impl<S: TraceSource> TraceSource for Counting<S> {
        fn start(&mut self) -> Result<Version, SourceError> {
            self.1[0].fetch_add(1, Ordering::SeqCst);
            self.0.start()
        }
        fn next(&mut self) -> Result<Option<Part>, SourceError> {
            self.0.next()
        }
        fn stop(&mut self) {
            self.1[1].fetch_add(1, Ordering::SeqCst);
            self.0.stop();
        }
        fn control(&self) -> Arc<dyn SourceControl> {
            self.0.control()
        }
    }
    let (reader, mut pipe) = io::pipe().unwrap();
    let counts: Arc<[AtomicU64; 2]> = Arc::default();
    let source = Counting(StreamSource::polled(reader).unwrap(), Arc::clone(&counts));
    let mux = TraceMultiplexer::new(source).unwrap();
    assert!(!mux.enabled());
    assert_eq!(mux.advance(), Err(AdvanceUnsupported));
    let count = |n: usize| counts[n].load(Ordering::SeqCst);
    let all = Endless::new(&common::fixture("annotate-go1.27").bytes(), 6).bytes();
    let whole = generations(&all);
    pipe.write_all(&all[..16]).unwrap();
    let mut at = 16;
    for round in 0..3 {
        let channel = mux.channel(QueueConfig::default());
        assert!(matches!(channel.recv(), Some(Signal::Header(_))));
        assert!(mux.enabled());
        assert_eq!((count(0), count(1)), (round + 1, round));
        let (number, bytes) = whole[round as usize];
        pipe.write_all(&bytes[..6]).unwrap();
        at += bytes.len();
        channel.leave();
        assert!(
            channel.recv_timeout(Duration::from_millis(20)).is_err(),
            "in the middle of a generation"
        );
        pipe.write_all(&bytes[6..]).unwrap();
        let mut got = Vec::new();
        for signal in channel {
            match signal {
                Signal::Batches(batches) => got.extend_from_slice(batches.as_bytes()),
                Signal::EndOfGeneration(n) => assert_eq!(n, super::number(number)),
                Signal::EndOfTrace(end) => assert!(matches!(end, EndReason::Left), "{end}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(got == bytes);
        let waiting = Instant::now();
        while mux.enabled() || count(1) <= round {
            assert!(waiting.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
    }
    // Who leaves before it began gets nothing.
    let writer = mux.start(Vec::new()).unwrap();
    let late = mux.channel(QueueConfig::default());
    drop(mux.channel(QueueConfig::default()));
    pipe.write_all(&all[at..at + 50]).unwrap();
    assert!(matches!(
        late.recv_timeout(Duration::from_millis(20)),
        Err(_) | Ok(Some(Signal::Header(_)))
    ));
    drop(pipe);
    let outcome = writer.wait();
    assert!(matches!(outcome.end, EndReason::Broken(_)));
    assert_eq!(written(outcome), &all[..16]);
    assert_eq!(count(0), count(1));
}

#[test]
fn errors_of_a_writer_reach_its_handle() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.0);
            self.0 -= n;
            Ok(n)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let trace = common::fixture("gc-go1.23").bytes();
    let mux = TraceMultiplexer::new(Playback::new(trace.clone()).unwrap()).unwrap();
    let hold = mux.hold();
    let full = mux.start(Full(1000)).unwrap();
    let fine = mux.start(Vec::new()).unwrap();
    drop(hold);
    let outcome = full.wait();
    let EndReason::Failed(error) = outcome.end else {
        panic!("{}", outcome.end)
    };
    let error = error.downcast_ref::<io::Error>().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    // The header; of the generation only a part could be written.
    assert_eq!(outcome.subscriber.unwrap().written(), 16);
    assert!(written(fine.wait()) == trace);
}

#[test]
fn what_was_written_at_once_of_a_half_generation_is_taken_back() {
    // Of about two megabytes each, of which half a megabyte is written at a time.
    let trace = Endless::new(&common::fixture("flight-go1.27").bytes(), 3);
    let trace = trace.joined(20).bytes();
    let whole = generations(&trace);
    let first = 16 + whole[0].1.len();
    assert!(first > 1 << 20);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("mux-at-once.trace");
    for cut in [
        first,
        first + 1,
        first + 70_000,
        first + 700_000,
        first + 1_300_000,
        trace.len() - 1,
        trace.len(),
    ] {
        let complete = match cut {
            _ if cut == trace.len() => cut,
            _ if cut == trace.len() - 1 => cut + 1 - whole[2].1.len(),
            _ => first,
        };
        let (reader, mut pipe) = io::pipe().unwrap();
        let mux = TraceMultiplexer::new(StreamSource::polled(reader).unwrap()).unwrap();
        let hold = mux.hold();
        let file = std::fs::File::create(&path).unwrap();
        let config = QueueConfig::default();
        let to_file = mux.subscribe(TraceWriter::at_once(file), config).unwrap();
        let to_memory = mux
            .subscribe(TraceWriter::at_once(Vec::new()), config)
            .unwrap();
        drop(hold);
        pipe.write_all(&trace[..cut]).unwrap();
        drop(pipe);
        let outcome = to_file.wait();
        assert_eq!(outcome.subscriber.unwrap().written(), complete as u64);
        assert!(std::fs::read(&path).unwrap() == trace[..complete]);
        assert!(written(to_memory.wait()) == trace[..complete]);
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_flight_recorder_keeps_its_window_when_the_source_breaks() {
    let all = Endless::new(&common::fixture("annotate-go1.25").bytes(), 50).bytes();
    let whole = generations(&all);
    let (reader, mut pipe) = io::pipe().unwrap();
    let mux = TraceMultiplexer::new(StreamSource::polled(reader).unwrap()).unwrap();
    let config = FlightRecorderConfig {
        max_bytes: 20_000,
        ..FlightRecorderConfig::default()
    };
    let shared = Arc::new(SharedRecorder::new(config));
    let hold = mux.hold();
    let subscription = mux.record(&shared).unwrap();
    assert!(matches!(
        mux.record(&shared),
        Err(SharedError::AlreadyStarted)
    ));
    let arena = vec![0; 100_000];
    let alone = FlightRecorder::new(arena, config).unwrap();
    let alone = mux.subscribe(alone, QueueConfig::default()).unwrap();
    drop(hold);
    let last = whole[49].1.len();
    pipe.write_all(&all[..all.len() - last + 100]).unwrap();
    let snapshot = || {
        let mut snapshot = Vec::new();
        shared.write_to(&mut snapshot).unwrap();
        snapshot
    };
    // In the middle, and after the end, which is in the middle of the 50th generation.
    while shared.status().unwrap().newest != GenerationId::new(49) {
        std::thread::yield_now();
        let snapshot = snapshot();
        if !snapshot.is_empty() {
            is_part_of(&snapshot, &whole);
        }
    }
    drop(pipe);
    assert!(matches!(subscription.wait().end, EndReason::Broken(_)));
    let window = snapshot();
    assert!(is_part_of(&window, &whole) > 1);
    assert_eq!(generations(&window).last().unwrap().0, 49);

    // Both have the half generation in their arenas.
    let alone = alone.wait().subscriber.unwrap();
    let mut same = Vec::new();
    alone.write_to(&mut same).unwrap();
    assert!(same == window);
    assert_eq!(alone.status().progress.unwrap().number.get(), 50);
    let shared_status = shared.status().unwrap();
    assert_eq!(shared_status.progress.unwrap().number.get(), 50);

    // One that was stopped behind the subscription's back ends it.
    let mux = TraceMultiplexer::new(Playback::new(all).unwrap()).unwrap();
    let again = Arc::new(SharedRecorder::new(config));
    let hold = mux.hold();
    let subscription = mux.record(&again).unwrap();
    again.stop();
    drop(hold);
    match subscription.wait().end {
        EndReason::Failed(error) => assert!(matches!(
            error.downcast_ref(),
            Some(SharedError::NotStarted)
        )),
        other => panic!("{other}"),
    }
}

#[test]
fn all_are_given_the_same_bytes_not_copies() {
    let trace = common::fixture("flight-go1.27").bytes();
    for dropping in [false, true] {
        let source = StreamSource::new(io::Cursor::new(trace.clone()));
        let mux = TraceMultiplexer::new(source).unwrap();
        let config = match dropping {
            false => QueueConfig::default(),
            true => QueueConfig::dropping(1 << 30),
        };
        let hold = mux.hold();
        let first = mux.channel(QueueConfig::default());
        let others = [(); 3].map(|()| mux.channel(config));
        drop(hold);
        let places = |channel: Receiver| -> Vec<usize> {
            let batches = channel.filter_map(|signal| match signal {
                Signal::Batches(batches) => Some(batches),
                _ => None,
            });
            // Held until all are there: no place is used twice.
            let all: Vec<_> = batches.collect();
            all.iter().map(|b| b.as_bytes().as_ptr().addr()).collect()
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| places(first));
            let others = others.map(|other| scope.spawn(|| places(other)));
            let first = first.join().unwrap();
            assert!(first.len() > 2);
            for other in others {
                assert_eq!(other.join().unwrap(), first);
            }
        });
    }
}

/// All of a trace of so many generations was given or lost, and most was lost.
#[track_caller]
fn lost_the_most_of(generations: u64, all: &[u8], stats: Stats) {
    let lost = stats.lost;
    assert!(lost.generations > generations - generations / 6, "{lost:?}");
    assert_eq!(stats.generations + lost.generations, generations);
    assert_eq!(stats.bytes + lost.bytes + 16, all.len() as u64);
}

/// Gives these parts one after the other, and counts them.
struct Script(std::vec::IntoIter<Part>, Arc<AtomicU64>);

impl TraceSource for Script {
    fn start(&mut self) -> Result<Version, SourceError> {
        Ok(Version::CURRENT)
    }

    fn next(&mut self) -> Result<Option<Part>, SourceError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(self.0.next())
    }

    fn is_at_end(&self) -> bool {
        matches!(self.0.as_slice().first(), Some(Part::EndOfGeneration(_)))
    }

    fn stop(&mut self) {}

    fn control(&self) -> Arc<dyn SourceControl> {
        struct Control;
        impl SourceControl for Control {
            fn advance(&self) -> Result<(), AdvanceUnsupported> {
                Err(AdvanceUnsupported)
            }
            fn interrupt(&self) {}
        }
        Arc::new(Control)
    }
}

/// While the source waits for one subscriber, the others have all that was read.
#[test]
fn who_is_waited_for_keeps_nothing_from_the_others_that_was_read() {
    let trace = common::fixture("flight-go1.27").bytes();
    let whole = generations(&trace);
    assert!(whole.len() > 1);
    let parts = whole.iter().flat_map(|(n, bytes)| {
        let batches = SharedBatches::from(bytes.to_vec());
        [Part::Batches(batches), Part::EndOfGeneration(number(*n))]
    });
    let read = Arc::new(AtomicU64::new(0));
    let parts: Vec<Part> = parts.collect();
    let script = Script(parts.into_iter(), Arc::clone(&read));
    let mux = TraceMultiplexer::new(script).unwrap();
    let hold = mux.hold();
    // It is the first to be given anything.
    let stuck = mux.channel(QueueConfig::waiting(1));
    let writer = mux.start(Vec::new()).unwrap();
    let recorder = Arc::new(SharedRecorder::new(FlightRecorderConfig::default()));
    let recording = mux.record(&recorder).unwrap();
    drop(hold);
    let first = whole[0].1.len() as u64;
    common::live::wait_for(|| recorder.status().is_ok_and(|s| s.recorded.generations == 1));
    common::live::wait_for(|| writer.stats().generations == 1);
    // The source waits: nothing more comes, to anybody.
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(read.load(Ordering::Relaxed), 2);
    assert_eq!((stuck.stats().queued, writer.stats().bytes), (first, first));
    let mut snapshot = Vec::new();
    recorder.write_to(&mut snapshot).unwrap();
    assert!(snapshot == trace[..16 + whole[0].1.len()]);
    while stuck.recv().is_some() {}
    assert!(written(writer.wait()) == trace);
    assert!(matches!(recording.wait().end, EndReason::Finished));
}

/// Whoever comes late counts the source's traces like those who were there from the beginning; what is no
/// trace is not counted.
#[test]
fn readers_of_events_agree_on_the_number_of_the_trace() {
    let trace = common::fixture("flight-go1.27").bytes();
    let whole = generations(&trace);
    let batches = |n: usize| Part::Batches(SharedBatches::from(whole[n].1.to_vec()));
    let end = |n: usize| Part::EndOfGeneration(number(whole[n].0));
    let parts = vec![
        batches(0),
        end(0),
        Part::Restart(None),
        Part::Restart(None),
        Part::Header(Version::CURRENT),
        batches(0),
        end(0),
        batches(1),
        end(1),
        batches(2),
        end(2),
    ];
    let script = Script(parts.into_iter(), Arc::default());
    let mux = TraceMultiplexer::new(script).unwrap();
    let hold = mux.hold();
    // The source waits for it.
    let gate = mux.channel(QueueConfig::waiting(1));
    let mut early = mux.events(QueueConfig::default());
    drop(hold);
    let (mut late, mut headers) = (None, 0);
    while let Some(signal) = gate.recv() {
        if let Signal::Header(_) = signal {
            headers += 1;
            if headers == 2 {
                // Nothing of the second generation has come yet: it can begin with the third.
                late = Some(mux.events(QueueConfig::default()));
            }
        }
    }
    let mut numbers = Vec::new();
    while early.next().unwrap().is_some() {
        let now = (early.traces(), early.generation().map(GenerationId::get));
        if numbers.last() != Some(&now) {
            numbers.push(now);
        }
    }
    let of = |n: usize| Some(number(whole[n].0).get());
    assert_eq!(numbers, [(1, of(0)), (2, of(0)), (2, of(1)), (2, of(2))]);
    let mut late = late.unwrap();
    assert!(late.next().unwrap().is_some());
    assert_eq!(late.traces(), 2);
}
