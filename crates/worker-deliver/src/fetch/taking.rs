//! A file that is being taken in, over one transfer or several.

use std::time::Duration;

use http::header::HeaderValue;
use songmill_core::Fault;
use songmill_egress::Response;

use super::coding::{self, Coding};
use super::{reply, unreachable};
use crate::incoming::Incoming;

/// How often a file may be begun anew.
const ANEW: u32 = 1;

/// A file that is being taken in.
pub(super) struct Taking<'a> {
    pub(super) file: &'a mut Incoming,
    /// Bytes that are there.
    pub(super) had: u64,
    /// How many the whole has, where the server said.
    pub(super) whole: Option<u64>,
    /// What tells it from another file at the same address.
    pub(super) mark: Option<HeaderValue>,
    /// What it is said to be coded in.
    pub(super) codings: Vec<Coding>,
    anew: u32,
    pace: Pace,
    /// Within the window that is being measured.
    waited: Duration,
    came: u64,
}

/// The least speed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Bytes a second.
    pub(super) least: u64,
    /// Over how long it is measured.
    pub(super) window: Duration,
}

impl<'a> Taking<'a> {
    pub(super) fn new(file: &'a mut Incoming, pace: Pace) -> Self {
        Self {
            file,
            had: 0,
            whole: None,
            mark: None,
            codings: Vec::new(),
            anew: 0,
            pace,
            waited: Duration::ZERO,
            came: 0,
        }
    }

    /// Forgets what is there; the fault is returned when that was done before.
    pub(super) fn begin_anew(&mut self, why: &Fault) -> Result<(), Fault> {
        if self.anew >= ANEW {
            return Err(why.clone());
        }
        self.file.restart()?;
        (self.had, self.whole, self.mark) = (0, None, None);
        self.anew += 1;
        Ok(())
    }

    /// Notes what the head of a reply says of the file.
    pub(super) fn learn(&mut self, reply: &Response) {
        self.whole = reply::length(reply).or(self.whole);
        if self.had == 0 {
            self.mark = reply::mark(reply);
            self.codings = coding::named(&reply.head.headers);
        }
    }

    /// The entity tag, where the mark is one.
    pub(super) fn tag(&self) -> Option<&HeaderValue> {
        self.mark.as_ref().filter(|mark| mark.as_bytes().starts_with(b"\""))
    }

    /// Whether all is there, as far as anybody knows.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.is_none_or(|whole| self.had == whole)
    }

    pub(super) fn is_too_much(&self) -> bool {
        self.whole.is_some_and(|whole| self.had > whole)
    }

    /// Counts bytes that were waited for; a fault when they come too slowly. Waiting for our own disk does not count.
    pub(super) fn keep_pace(&mut self, waited: Duration, bytes: usize) -> Result<(), Fault> {
        self.waited += waited;
        self.came += bytes as u64;
        if self.waited < self.pace.window {
            return Ok(());
        }
        let rate = self.came as f64 / self.waited.as_secs_f64();
        (self.waited, self.came) = (Duration::ZERO, 0);
        if rate < self.pace.least as f64 {
            return Err(unreachable(format!("slower than {} bytes a second", self.pace.least)));
        }
        Ok(())
    }
}
