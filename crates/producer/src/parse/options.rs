//! How input is to be read.

use std::path::Path;

use serde_json::{Map, Value};

use crate::parse::columns::Mapping;

/// How requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object on each line.
    JsonLines,
    /// JSON objects, in an array or one behind the other.
    Json,
    /// Delimited text with a header of names.
    Csv,
    /// A workbook of Excel's kind.
    Xlsx,
}

impl Format {
    /// What a file's name says that it is.
    pub fn named(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        match name.strip_suffix(".gz").unwrap_or(&name).rsplit('.').next()? {
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "json" => Some(Self::Json),
            "csv" | "tsv" | "txt" => Some(Self::Csv),
            "xlsx" => Some(Self::Xlsx),
            _ => None,
        }
    }
}

/// How input is to be read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What it is; told by what stands in it where nothing is said.
    pub format: Option<Format>,
    /// What its name says that it is; decides where what stands in it does not.
    pub named: Option<Format>,
    /// The name of its encoding, such as `gb18030`; told by its bytes where nothing is said.
    pub encoding: Option<String>,
    /// What columns mean beside what their names say.
    pub mapping: Mapping,
    /// Fields of each request that does not set them itself.
    pub defaults: Map<String, Value>,
    /// The most bytes of a workbook, which is held in memory; 64 MiB where nothing is said.
    pub workbook_bytes: Option<usize>,
}
