//! The words that Go's reader adds: why a goroutine stopped, why the world did. Traces of before Go
//! 1.22 have numbers for them, or a type of event each.

use crate::num;
use crate::wire::Span;

/// A text that is not in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u32);

/// The words, in the place of the pieces of a trace that follow its first.
pub(crate) static PIECES: &[&[u8]] = &[
    b"forever",
    b"preempted",
    b"runtime.Gosched",
    b"sleep",
    b"chan send",
    b"chan receive",
    b"network",
    b"sync",
    b"sync.(*Cond).Wait",
    b"select",
    b"GC mark assist wait for work",
    b"",
    b"GC mark termination",
    b"GC sweep termination",
    b"write heap dump",
    b"goroutine profile",
    b"goroutine profile cleanup",
    b"all goroutine stack trace",
    b"read mem stats",
    b"AllThreadsSyscall",
    b"GOMAXPROCS",
    b"start trace",
    b"stop trace",
    b"CountPagesInUse (test)",
    b"ReadMetricsSlow (test)",
    b"ReadMemStatsSlow (test)",
    b"PageCachePagesLeaked (test)",
    b"ResetDebugLog (test)",
];

impl Word {
    pub(super) const FOREVER: Word = Word(0);
    pub(super) const PREEMPTED: Word = Word(1);
    pub(super) const GOSCHED: Word = Word(2);
    pub(super) const SLEEP: Word = Word(3);
    pub(super) const CHAN_SEND: Word = Word(4);
    pub(super) const CHAN_RECEIVE: Word = Word(5);
    pub(super) const NETWORK: Word = Word(6);
    pub(super) const SYNC: Word = Word(7);
    pub(super) const COND: Word = Word(8);
    pub(super) const SELECT: Word = Word(9);
    pub(super) const MARK_ASSIST: Word = Word(10);
    pub(super) const EMPTY: Word = Word(11);

    /// Why the world is stopped, by the number that Go 1.N writes; empty for one that it does not
    /// write.
    pub(super) fn stop_the_world(kind: u64, minor: u8) -> Word {
        const KINDS: u64 = 17;
        // Until Go 1.20 there were two, numbered from 0.
        let kind = match minor {
            ..21 if kind < 2 => kind.wrapping_add(1),
            21 if kind < KINDS => kind,
            _ => 0,
        };
        Word(Word::EMPTY.0.saturating_add(num::slot(num::narrow(kind))))
    }

    /// Where the word is in a trace's pieces with [`PIECES`] behind the first.
    pub(super) fn span(self) -> Span {
        let len = PIECES.get(num::index(self.0)).map_or(0, |word| word.len());
        Span {
            piece: self.0.saturating_add(1),
            at: 0,
            len: num::slot(len),
        }
    }
}
