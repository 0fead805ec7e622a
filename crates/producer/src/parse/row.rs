//! One request of many, and what makes it the same when it is submitted again.

use std::collections::HashMap;

use serde_json::Value;
use songmill_core::song::Invalid;
use songmill_core::{JobId, SongRequest};
use tokio::sync::mpsc;

use crate::parse::error::ReadError;

/// One request of many.
#[derive(Debug)]
pub struct Row {
    /// Its row in a table (the header is the first, blank ones count), its line, or its place in an array; from 1.
    pub number: u64,
    /// The caller's id, as far as it could be read.
    pub custom_id: Option<String>,
    /// The song's title, as far as it could be read.
    pub title: Option<String>,
    /// The request, and the key that makes it the same when it is submitted again.
    pub read: Result<(SongRequest, String), Invalid>,
}

/// The longest line that is read.
pub(crate) const LINE_BYTES: u64 = 1 << 20;

/// Where rows go.
pub(crate) type Sink = mpsc::Sender<Result<Row, ReadError>>;

/// Lines without a `custom_id` are known by their content and how often it stood in the file before.
#[derive(Default)]
pub(crate) struct Keys(HashMap<u64, u32>);

/// Lines without a `custom_id` that one input may have: each is remembered in a few bytes.
const UNNAMED: usize = 4_000_000;
/// How much of what a bad line says is kept: of its id, and of each thing that is wrong.
const ID_CHARS: usize = 128;
const WORDS_CHARS: usize = 300;
/// Things wrong with one line that are told.
const PROBLEMS: usize = 20;

impl Keys {
    pub(crate) fn row(&mut self, number: u64, json: &[u8]) -> Row {
        let object = || serde_json::from_slice(json).unwrap_or_default();
        self.read(number, SongRequest::from_json(json), object)
    }

    /// The same for an object that is there already.
    pub(crate) fn object(&mut self, number: u64, object: Value) -> Row {
        self.read(number, SongRequest::from_object(&object), || object)
    }

    fn read(
        &mut self,
        number: u64,
        song: Result<SongRequest, Invalid>,
        object: impl FnOnce() -> Value,
    ) -> Row {
        let read = song.and_then(|song| {
            let key = match &song.custom_id {
                Some(custom_id) => custom_id.clone(),
                None => self.unnamed(&song)?,
            };
            Ok((song, key))
        });
        let read = read.map_err(shortened);
        let (custom_id, title) = match &read {
            Ok((song, _)) => (song.custom_id.clone(), song.title.clone()),
            Err(_) => {
                let line = object();
                let text = |name: &str| Some(line.get(name)?.as_str()?.chars().take(ID_CHARS).collect());
                (text("custom_id"), text("title"))
            }
        };
        Row { number, custom_id, title, read }
    }

    fn unnamed(&mut self, song: &SongRequest) -> Result<String, Invalid> {
        let text = serde_json::to_string(&*song.without_leave()).expect("a song request is always JSON");
        let content = JobId::derive("line", &text);
        if self.0.len() >= UNNAMED {
            let fault = format!("is missing, as in {UNNAMED} lines before");
            return Err(Invalid::one(
                "custom_id",
                fault,
                "give each line a custom_id, or send fewer at once",
            ));
        }
        let seen = self.0.entry(content.short()).or_default();
        *seen += 1;
        Ok(format!("#{content}-{seen}"))
    }
}

/// What is wrong with a line, in no more words than it takes: a line may be long.
pub(crate) fn shortened(mut invalid: Invalid) -> Invalid {
    invalid.problems.truncate(PROBLEMS);
    for problem in &mut invalid.problems {
        for text in [&mut problem.field, &mut problem.fault, &mut problem.fix] {
            if text.len() > WORDS_CHARS {
                text.truncate(text.floor_char_boundary(WORDS_CHARS));
                text.push('…');
            }
        }
    }
    invalid
}

pub(crate) fn too_long(number: u64) -> Row {
    let fault =
        Invalid::one("(row)", "is longer than 1 MiB", "put large audio where it has an https address");
    Row { number, custom_id: None, title: None, read: Err(fault) }
}
