//! Files of song requests: how they are read, and what is said of them.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Result;
use axum::body::Body;
use clap::Args;
use serde_json::{Map, Value};
use songmill_core::song::Field;
use songmill_producer::parse::{self, Format, Input, Options, ReadError};

use crate::client::Ask;
use crate::exit::{unreadable, usage};
use crate::output;

/// A file of song requests.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// A table (CSV or .xlsx, with column names in its first row), JSON lines or JSON, plain or gzipped; - for standard input
    pub(crate) file: PathBuf,
    /// Input format [default: told by what is in the file]
    #[arg(long)]
    format: Option<FormatArg>,
    /// Encoding of the file, such as gb18030 or windows-1252 [default: told by its bytes]
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Read a column as a field, such as "Duration (s)=duration_s"; as COLUMN= to leave it out. Can be repeated
    #[arg(long, value_name = "COLUMN=FIELD", value_parser = mapped)]
    map: Vec<(String, String)>,
    /// Set a field of every song that does not set it, such as vendor=replicate. Can be repeated
    #[arg(long, value_name = "FIELD=VALUE")]
    default: Vec<String>,
    /// Submit songs although their vendor ignores this field: lyrics or count. Can be repeated
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    allow_ignored: Vec<String>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FormatArg {
    /// A JSON object on each line
    Jsonl,
    /// JSON objects, one behind the other or in an array
    Json,
    /// Delimited text with a header of column names
    Csv,
    /// A workbook of Excel's kind
    Xlsx,
}

fn mapped(text: &str) -> Result<(String, String), String> {
    let (column, field) =
        text.rsplit_once('=').ok_or("write COLUMN=FIELD, such as \"Duration (s)=duration_s\"")?;
    Ok((column.trim().to_owned(), field.trim().to_owned()))
}

impl InputArgs {
    /// How it is to be read.
    pub(crate) fn options(&self) -> Result<Options> {
        let mut defaults = Map::new();
        for text in &self.default {
            parse::default_field(text, &mut defaults)
                .map_err(|why| usage(format!("--default {text}: {why}")))?;
        }
        if !self.allow_ignored.is_empty() {
            let allowed = format!("allow_ignored={}", self.allow_ignored.join(","));
            parse::default_field(&allowed, &mut defaults)
                .map_err(|why| usage(format!("--allow-ignored: {why}")))?;
            let known = |field: &String| Field::ESSENTIAL.iter().any(|known| known.as_str() == field);
            if let Some(other) = self.allow_ignored.iter().find(|field| !known(field)) {
                return Err(usage(format!(
                    "--allow-ignored: {other:?} is neither lyrics nor count; other fields may be ignored anyway"
                )));
            }
        }
        let format = self.format.map(|format| match format {
            FormatArg::Jsonl => Format::JsonLines,
            FormatArg::Json => Format::Json,
            FormatArg::Csv => Format::Csv,
            FormatArg::Xlsx => Format::Xlsx,
        });
        let mapping = self.map.iter().cloned().collect::<BTreeMap<_, _>>();
        let named = Format::named(&self.file);
        Ok(Options {
            format,
            named,
            encoding: self.encoding.clone(),
            mapping,
            defaults,
            workbook_bytes: None,
        })
    }
}

/// Whether a path stands for standard input.
pub(crate) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// How a file is read of which nothing is said.
pub(crate) fn by_name(path: &Path) -> Options {
    Options { named: Format::named(path), ..Options::default() }
}

/// Opens a file, or standard input.
pub(crate) fn open(path: &Path) -> Result<Input> {
    if is_standard(path) {
        return Ok(Input::Stream(Box::new(BufReader::new(std::io::stdin()))));
    }
    std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(Input::File(path.to_owned()))
}

/// The same as a body of a request.
pub(crate) async fn body(path: &Path) -> Result<Body> {
    let reader: Box<dyn tokio::io::AsyncRead + Send + Unpin> = if is_standard(path) {
        Box::new(tokio::io::stdin())
    } else {
        Box::new(tokio::fs::File::open(path).await.map_err(|error| unreadable(path, &error))?)
    };
    Ok(Body::from_stream(tokio_util::io::ReaderStream::with_capacity(reader, 1 << 16)))
}

/// What the API calls a format.
pub(crate) const fn media(format: Option<Format>) -> &'static str {
    match format {
        Some(Format::JsonLines) => "application/jsonl",
        Some(Format::Json) => "application/json",
        Some(Format::Csv) => "text/csv",
        Some(Format::Xlsx) => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        None => "application/octet-stream",
    }
}

/// Adds how a file is to be read to a request that sends it.
pub(crate) fn asked(ask: Ask, options: &Options) -> Ask {
    let json = |is_empty: bool, value: Value| (!is_empty).then(|| value.to_string());
    let columns = options.mapping.iter().map(|(column, field)| (column.clone(), Value::from(field.as_str())));
    ask.with("columns", json(options.mapping.is_empty(), Value::Object(columns.collect())))
        .with("defaults", json(options.defaults.is_empty(), Value::Object(options.defaults.clone())))
        .with("encoding", options.encoding.as_ref())
}

/// A file that is refused as a whole.
pub(crate) fn refused(path: &Path, error: ReadError) -> anyhow::Error {
    let name = if is_standard(path) { "standard input".to_owned() } else { path.display().to_string() };
    match error {
        ReadError::Io(error) => anyhow::Error::new(error).context(format!("{name} cannot be read on")),
        error => usage(format!("{name} {error}")),
    }
}

/// Says what was noticed in a file.
pub(crate) fn notes(path: &Path, notes: &[String]) {
    for note in notes {
        output::note(format_args!("{}: {note}", path.display()));
    }
}
