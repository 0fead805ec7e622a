//! A file on its way in: written in large pieces, away from the threads that wait for the network.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
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
    /// The first bytes.
    head: Vec<u8>,
}

/// Bytes that are gathered for one write, in memory for each transfer. A small song is written by [`Incoming::finish`]
/// alone, together with what else blocks.
const PIECE: usize = 64 << 10;
/// How many of the first bytes are remembered.
const HEAD: usize = 128;
/// What the names of files begin with that are on their way in: those that a dead process left are removed by it.
pub(crate) const PREFIX: &str = "in-";

impl Incoming {
    pub(crate) fn new(file: NamedTempFile) -> Self {
        let (file, temp) = file.into_parts();
        Self { file: Arc::new(file), temp, piece: Vec::with_capacity(PIECE), head: Vec::new() }
    }

    /// Adds to the end.
    pub(crate) async fn write(&mut self, chunk: &Bytes) -> Result<(), Fault> {
        let missing = HEAD.saturating_sub(self.head.len()).min(chunk.len());
        self.head.extend_from_slice(&chunk[..missing]);
        if self.piece.len() + chunk.len() <= PIECE {
            self.piece.extend_from_slice(chunk);
            return Ok(());
        }
        self.flush(chunk.clone()).await
    }

    /// Writes what was gathered, and this. A large chunk goes as it is: many transfers at once would hold it twice.
    async fn flush(&mut self, chunk: Bytes) -> Result<(), Fault> {
        let (file, mut piece) = (self.file.clone(), std::mem::take(&mut self.piece));
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
        self.head.clear();
        self.file.set_len(0).and_then(|()| (&*self.file).rewind()).map_err(lost)
    }

    /// The first bytes, as many as tell what a file is.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Puts another file in the place of this one, if `make` makes one of it; `make` may block.
    pub(crate) async fn remake(
        &mut self,
        make: impl FnOnce(&Path) -> Result<Option<NamedTempFile>, Fault> + Send + 'static,
    ) -> Result<(), Fault> {
        self.flush(Bytes::new()).await?;
        let path = self.temp.to_path_buf();
        let made = tokio::task::spawn_blocking(move || make(&path)).await;
        if let Some(made) = made.map_err(|error| lost(io::Error::other(error)))?? {
            *self = Self::new(made);
        }
        Ok(())
    }

    /// The whole file. Blocks.
    pub(crate) fn finish(self) -> io::Result<TempPath> {
        (&*self.file).write_all(&self.piece)?;
        Ok(self.temp)
    }
}

/// A new file beside one that is on its way in, and like it. Blocks.
pub(crate) fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let permissions = path.metadata()?.permissions();
    let folder = path.parent().unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(PREFIX).permissions(permissions).tempfile_in(folder)
}

fn lost(error: io::Error) -> Fault {
    no_room(&error)
}
