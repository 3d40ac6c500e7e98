//! Where one trace ends in a stream, and the next one begins.

use super::{Part, SourceError, StreamSource};
use crate::error::{Error, ErrorKind};
use crate::generation::{Finish, Splitter};
use crate::num;
use crate::source::follow::Followed;
use crate::wire::{HEADER_LEN, Version};
use alloc::string::String;
use alloc::vec::Vec;
use std::io::Read;

/// How much of text that is no trace is shown: its first line up to so many bytes.
const LINE: usize = 200;

/// Between two traces.
pub(super) enum Turn {
    /// How the one ended is to be handed out.
    Ended(Option<SourceError>),
    /// The other one's header is to be read.
    Header,
    /// The file is damaged, which is to be handed out as why the trace ended.
    Damaged(SourceError),
    /// What more the damaged file has is passed over, until another takes its place.
    Skip(SourceError),
}

impl<R: Read + Send> StreamSource<R> {
    /// Reads the header of a trace; gives none if nothing came at all.
    pub(super) fn begin(&mut self) -> Result<Option<Version>, SourceError> {
        while self.rest().len() < HEADER_LEN {
            match self.read(HEADER_LEN) {
                Ok(0) if self.takes_successor() => {}
                Ok(0) if self.rest().is_empty() => return Ok(None),
                Ok(0) => break,
                Ok(_) => {}
                Err(SourceError::Rewritten) if !self.once => self.rewind()?,
                Err(error) => return Err(error),
            }
        }
        let version = match Version::from_header(self.rest()) {
            Err(error) if error.kind() == ErrorKind::NotATrace => {
                return Err(self.text().map_or(error.into(), SourceError::Text));
            }
            version => version?.needing_generations()?,
        };
        self.offset = 0u64.wrapping_sub(num::wide(self.given));
        self.given = self.given.saturating_add(HEADER_LEN);
        self.scanned = self.given;
        self.splitter = Some(Splitter::new(version));
        self.version = Some(version);
        Ok(Some(version))
    }

    /// The first line of what is to be read, if that is text.
    pub(super) fn text(&mut self) -> Option<String> {
        let is_text = |bytes: &[u8]| {
            let mut chars = String::from_utf8_lossy(bytes)
                .chars()
                .collect::<Vec<_>>()
                .into_iter();
            chars.all(|c| !c.is_control() || c.is_ascii_whitespace())
        };
        let has_line = |bytes: &[u8]| bytes.contains(&b'\n') || bytes.len() >= LINE;
        // What cannot be read any more is not needed.
        while is_text(self.rest())
            && !has_line(self.rest())
            && self.read(LINE).is_ok_and(|read| read > 0)
        {}
        let rest = self.rest();
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or(rest);
        let line = line.get(..LINE).unwrap_or(line);
        let text = String::from_utf8_lossy(line).trim_end().into();
        is_text(line).then_some(text)
    }

    /// Goes back to the beginning of a file in which another trace is written.
    pub(super) fn rewind(&mut self) -> Result<(), SourceError> {
        if let Some(file) = &mut self.file {
            file.forget();
            file.rewind(&self.reader)?;
        }
        (self.given, self.scanned, self.filled) = (0, 0, 0);
        Ok(())
    }

    /// Whether another file is read from now on; then what is left of the one before is forgotten.
    pub(super) fn takes_successor(&mut self) -> bool {
        let file = self.file.as_mut();
        let is_next = file.is_some_and(Followed::has_successor);
        if is_next {
            (self.given, self.scanned, self.filled) = (0, 0, 0);
        }
        is_next
    }

    /// Whether another trace is written in the file than the one that is read.
    pub(super) fn is_written_anew(&self) -> bool {
        let is_another = |file: &Followed<R>| file.is_another(&self.reader).unwrap_or(false);
        !self.once && self.file.as_ref().is_some_and(is_another)
    }

    /// The trace ends here, between two batches, because another one begins.
    pub(super) fn end_trace(&mut self, finish: Finish) {
        let end = self.offset.wrapping_add(num::wide(self.scanned));
        self.turn = Some(Turn::Ended(match finish {
            Finish::Closed => None,
            Finish::Ends(number) => {
                self.ends = Some(number);
                None
            }
            Finish::Unended { number, .. } => {
                let kind = ErrorKind::IncompleteGeneration;
                Some(Error::at(kind, number.get(), end).into())
            }
        }));
    }

    /// What comes between two traces.
    pub(super) fn turn(&mut self, turn: Turn) -> Result<Option<Part>, SourceError> {
        // What there is of the one before comes first.
        if let Turn::Ended(_) | Turn::Damaged(_) = turn
            && let Some(part) = self.give()
        {
            self.turn = Some(turn);
            return Ok(Some(part));
        }
        match turn {
            Turn::Ended(reason) => {
                self.turn = Some(Turn::Header);
                Ok(Some(Part::Restart(reason)))
            }
            Turn::Damaged(error) => {
                self.turn = Some(Turn::Skip(error.clone()));
                Ok(Some(Part::Restart(Some(error))))
            }
            Turn::Header => match self.begin() {
                Ok(Some(version)) => Ok(Some(Part::Header(version))),
                Ok(None) => {
                    self.over = Some(Ok(()));
                    Ok(None)
                }
                Err(error) if self.is_damage(&error) => self.turn(Turn::Damaged(error)),
                Err(error) => Err(error),
            },
            Turn::Skip(damage) => match self.skip()? {
                true => self.turn(Turn::Header),
                false => Err(damage),
            },
        }
    }

    /// Whether this is what is wrong with a file that another one may take the place of.
    pub(super) fn is_damage(&self, error: &SourceError) -> bool {
        let is_content = matches!(error, SourceError::Trace(_) | SourceError::Text(_));
        is_content && !self.once && self.file.is_some()
    }

    /// Passes over what there is and what comes, until another trace is written in the file or another
    /// file has its name; gives false if neither is waited for any longer.
    pub(super) fn skip(&mut self) -> Result<bool, SourceError> {
        if let Some(file) = &mut self.file {
            file.remember_start(&self.reader)?;
        }
        loop {
            (self.given, self.scanned, self.filled) = (0, 0, 0);
            match self.read(1) {
                Ok(0) => return Ok(self.takes_successor()),
                Ok(_) => {}
                Err(SourceError::Rewritten) => return self.rewind().map(|()| true),
                Err(error) => return Err(error),
            }
        }
    }
}
