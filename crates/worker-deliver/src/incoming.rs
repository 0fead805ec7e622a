//! A file on its way in: written in large pieces, away from the threads that wait for the network.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::sync::Arc;

use songmill_core::Fault;
use tempfile::{NamedTempFile, TempPath};

use crate::fetch::no_room;

/// A file that goes away by itself unless it is finished and moved.
pub(crate) struct Incoming {
    file: Arc<File>,
    temp: TempPath,
    /// What is not written yet.
    piece: Vec<u8>,
}

/// Bytes of one write. A small song is written by [`Incoming::finish`] alone, together with what else blocks.
const PIECE: usize = 128 << 10;

impl Incoming {
    pub(crate) fn new(file: NamedTempFile) -> Self {
        let (file, temp) = file.into_parts();
        Self { file: Arc::new(file), temp, piece: Vec::new() }
    }

    /// Adds to the end.
    pub(crate) async fn write(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        self.piece.extend_from_slice(chunk);
        if self.piece.len() < PIECE {
            return Ok(());
        }
        let (file, mut piece) = (self.file.clone(), std::mem::take(&mut self.piece));
        let written = tokio::task::spawn_blocking(move || {
            (&*file).write_all(&piece)?;
            piece.clear();
            Ok(piece)
        });
        self.piece = written.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(lost)?;
        Ok(())
    }

    /// Begins anew.
    pub(crate) fn restart(&mut self) -> Result<(), Fault> {
        self.piece.clear();
        self.file.set_len(0).and_then(|()| (&*self.file).rewind()).map_err(lost)
    }

    /// The whole file. Blocks.
    pub(crate) fn finish(self) -> io::Result<TempPath> {
        (&*self.file).write_all(&self.piece)?;
        Ok(self.temp)
    }
}

fn lost(error: io::Error) -> Fault {
    no_room(&error)
}
