//! Why a file is refused as a whole.

/// Why no more rows can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file, or the connection, broke.
    #[error("cannot be read on")]
    Io(#[from] std::io::Error),
    /// It is not what it is said to be; what is wrong, where, and what to do about it.
    #[error("{0}")]
    Form(String),
    /// There is no row in it.
    #[error("has no songs: write one on each row below the header")]
    Empty,
}
