//! Traces of before Go 1.22, which are read as a whole.

use super::Engine;
use super::mode::Mode;
use crate::error::Error;
use crate::event::Event;
use crate::tables::Storage;
use crate::wire::{Pieces, Version};

/// The bytes that events of a trace of this version refer to.
#[inline(always)]
pub(in crate::reader) fn input(input: Pieces<'_>, version: Version) -> Pieces<'_> {
    #[cfg(feature = "alloc")]
    if !version.has_generations() {
        return input.followed_by(crate::legacy::PIECES);
    }
    let _ = version;
    input
}

impl<S: Storage, M: Mode> Engine<S, M> {
    /// An event that is not a cursor's.
    pub(super) fn other_event<'t>(&self, input: Pieces<'t>) -> Event<'_, 't> {
        #[cfg(feature = "alloc")]
        if let Some(old) = &self.old {
            return Event {
                raw: old.raw(),
                tables: old.tables(),
                input,
            };
        }
        Event {
            raw: self.ready.last(),
            tables: &self.tables,
            input,
        }
    }

    /// Looks at all records of a trace of before Go 1.22.
    #[cold]
    pub(super) fn load_old(&mut self, input: &Pieces<'_>) -> Result<(), Error> {
        #[cfg(feature = "alloc")]
        if S::GROWS {
            use crate::ids::Offset;
            use crate::legacy::Legacy;
            use crate::wire::Place;
            self.phase = super::Phase::Done;
            self.number = 1;
            self.read = 1;
            self.offset = Offset(input.offset(Place {
                piece: 0,
                at: input.piece(0).map_or(0, <[u8]>::len),
            }));
            let old = Legacy::new(input, self.place.at, self.version);
            self.old = Some(alloc::boxed::Box::new(old.or_else(|e| self.fail(e))?));
            return Ok(());
        }
        let _ = input;
        match self.version.needing_generations() {
            Ok(_) => Ok(()),
            Err(error) => self.fail(error),
        }
    }
}
