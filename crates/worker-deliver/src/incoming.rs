//! A file on its way in: written in large pieces, away from the threads that wait for the network.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
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

/// Bytes that are gathered for one write, in memory for each transfer. A small song is written by [`Incoming::finish`]
/// alone, together with what else blocks.
const PIECE: usize = 64 << 10;

impl Incoming {
    pub(crate) fn new(file: NamedTempFile) -> Self {
        let (file, temp) = file.into_parts();
        Self { file: Arc::new(file), temp, piece: Vec::with_capacity(PIECE) }
    }

    /// Adds to the end.
    pub(crate) async fn write(&mut self, chunk: &Bytes) -> Result<(), Fault> {
        if self.piece.len() + chunk.len() <= PIECE {
            self.piece.extend_from_slice(chunk);
            return Ok(());
        }
        // A large chunk goes as it is: many transfers at once would hold it twice.
        let (file, mut piece, chunk) = (self.file.clone(), std::mem::take(&mut self.piece), chunk.clone());
        let written = tokio::task::spawn_blocking(move || {
            (&*file).write_all(&piece)?;
            (&*file).write_all(&chunk)?;
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
