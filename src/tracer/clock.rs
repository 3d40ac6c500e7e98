//! The trace clock: the processor's counter where it is reliable, else the system's clock.

use crate::time::WallTime;

/// Where times come from. Its readings begin near 0 and have a resolution of a few nanoseconds, so
/// that differences take few bytes.
#[cfg(not(loom))]
#[derive(Debug)]
pub(super) struct Clock {
    source: quanta::Clock,
    base: u64,
    shift: u32,
    hertz: u64,
}

/// The coarsest resolution: units a second.
#[cfg(not(loom))]
const COARSE: u64 = 250_000_000;

#[cfg(not(loom))]
impl Clock {
    /// Measures how fast the counter is, which takes up to 200 milliseconds where the processor does
    /// not say so.
    pub(super) fn new() -> Clock {
        let source = quanta::Clock::new();
        const SPAN: u64 = 1 << 40;
        let nanoseconds = u128::from(source.delta_as_nanos(0, SPAN)).max(1);
        let ticks = u128::from(SPAN).saturating_mul(1_000_000_000);
        let hertz = ticks.checked_div(nanoseconds).unwrap_or(0);
        let hertz = u64::try_from(hertz).unwrap_or(u64::MAX).max(1);
        let mut shift = 0u32;
        while hertz.wrapping_shr(shift.wrapping_add(1)) >= COARSE {
            shift = shift.wrapping_add(1);
        }
        Clock {
            base: source.raw(),
            source,
            shift,
            hertz: hertz.wrapping_shr(shift),
        }
    }

    #[inline(always)]
    pub(super) fn now(&self) -> u64 {
        let passed = self.source.raw().saturating_sub(self.base);
        passed.wrapping_shr(self.shift)
    }

    /// Units a second.
    pub(super) fn hertz(&self) -> u64 {
        self.hertz
    }
}

/// A clock that ticks when it is read: what threads do then depends on nothing but their order.
#[cfg(loom)]
#[derive(Debug)]
pub(super) struct Clock(core::sync::atomic::AtomicU64);

#[cfg(loom)]
impl Clock {
    pub(super) fn new() -> Clock {
        Clock(core::sync::atomic::AtomicU64::new(1))
    }

    pub(super) fn now(&self) -> u64 {
        self.0.fetch_add(1, core::sync::atomic::Ordering::SeqCst)
    }

    pub(super) fn hertz(&self) -> u64 {
        1_000_000_000
    }
}

/// The system's clocks: monotonic, in nanoseconds, and the time of day.
pub(super) fn system() -> (u64, WallTime) {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let wall = WallTime::new(since.as_secs(), u64::from(since.subsec_nanos()));
    (monotonic(), wall)
}

#[cfg(unix)]
fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let rest = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// Counts from the first call, where the system's own count is out of reach.
#[cfg(not(unix))]
fn monotonic() -> u64 {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let first = FIRST.get_or_init(std::time::Instant::now);
    u64::try_from(first.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
