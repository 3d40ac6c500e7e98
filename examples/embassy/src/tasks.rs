//! What there is to trace.

use crate::glue::{self, named};
use embassy_executor::Spawner;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use embassy_time::{Duration, Ticker, Timer};

static READINGS: Channel<CriticalSectionRawMutex, u32, 2> = Channel::new();

/// Spawns what runs on any executor, in thread mode.
pub fn spawn(spawner: Spawner) {
    let all = [
        blink().map(|token| spawner.spawn(named(token, "blink"))),
        producer().map(|token| spawner.spawn(named(token, "producer"))),
        consumer().map(|token| spawner.spawn(named(token, "consumer"))),
        parent(spawner).map(|token| spawner.spawn(named(token, "parent"))),
    ];
    // Each is spawned once.
    assert!(all.iter().all(Result::is_ok));
}

#[embassy_executor::task]
async fn blink() {
    let mut on = false;
    let mut ticker = Ticker::every(Duration::from_millis(10));
    loop {
        on = !on;
        glue::log("led", if on { "on" } else { "off" });
        ticker.next().await;
    }
}

#[embassy_executor::task]
async fn producer() {
    for n in 0.. {
        let reading = glue::critical("interrupts disabled", |_| work(n));
        READINGS.send(reading).await;
        Timer::after_millis(3).await;
    }
}

#[embassy_executor::task]
async fn consumer() {
    loop {
        let task = glue::task_begin("reading");
        let reading = READINGS.receive().await;
        glue::region(task, "filter", || work(reading));
        glue::region(task, "store", || work(reading));
        glue::task_end(task);
    }
}

/// Two generations of short-lived tasks in one place: their ids are the same.
#[embassy_executor::task]
async fn parent(spawner: Spawner) {
    loop {
        if let Ok(token) = child() {
            spawner.spawn(named(token, "child"));
        }
        Timer::after_millis(7).await;
    }
}

#[embassy_executor::task]
async fn child() {
    work(5);
    Timer::after_millis(1).await;
}

/// Takes a while.
pub fn work(n: u32) -> u32 {
    (0..100 + n % 100).fold(n, |sum, n| core::hint::black_box(sum ^ n))
}
