//! Reading many requests: JSON lines, a JSON array or CSV, one by one in bounded memory.

use std::collections::HashMap;
use std::io::{BufRead, Read as _};
use std::path::Path;

use serde_json::Value;
use songmill_core::song::Invalid;
use songmill_core::{JobId, SongRequest};
use tokio::sync::mpsc;

/// How requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object on each line.
    Jsonl,
    /// An array of JSON objects.
    Json,
    /// Comma-separated values with a header of field names; `options.<vendor>.<field>` makes objects.
    Csv,
    /// One of these, told by its first character.
    Detect,
}

/// Why no more lines can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file, or the connection, broke.
    #[error("cannot be read on")]
    Io(#[from] std::io::Error),
    /// It is not what it is said to be.
    #[error("{0}")]
    Form(String),
}

/// One request of many.
#[derive(Debug)]
pub struct Line {
    /// Its line, or its place in an array, from 1.
    pub number: u64,
    /// The caller's id, as far as it could be read.
    pub custom_id: Option<String>,
    /// The request, and the key that makes it the same when it is submitted again.
    pub read: Result<(SongRequest, String), Invalid>,
}

/// The longest line that is read.
pub(crate) const LINE_BYTES: u64 = 1 << 20;
/// Lines read ahead of what is being submitted.
const AHEAD: usize = 512;

impl Format {
    /// By the file's name; JSON lines when it does not tell.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(extension) if extension.eq_ignore_ascii_case("csv") => Self::Csv,
            Some(extension) if extension.eq_ignore_ascii_case("json") => Self::Json,
            _ => Self::Jsonl,
        }
    }
}

/// Starts reading on a thread of its own. An error after some lines comes as the last item.
pub fn read(
    source: impl BufRead + Send + 'static,
    format: Format,
) -> mpsc::Receiver<Result<Line, ReadError>> {
    let (lines, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        if let Err(error) = read_as(format, source, &lines) {
            // A closed channel means that nobody wants to know any more.
            let _ = lines.blocking_send(Err(error));
        }
    });
    receiver
}

fn read_as(
    format: Format,
    mut source: impl BufRead,
    lines: &mpsc::Sender<Result<Line, ReadError>>,
) -> Result<(), ReadError> {
    let mut keys = Keys::default();
    let format = if format == Format::Detect { detected(&mut source)? } else { format };
    match format {
        Format::Jsonl => read_jsonl(source, &mut keys, lines),
        Format::Json => crate::array::read_array(source, &mut keys, lines),
        Format::Csv | Format::Detect => crate::table::read_csv(source, &mut keys, lines),
    }
}

/// An array begins with `[`, a line of JSON with `{`, a header with anything else. Blanks before it are passed over.
fn detected(source: &mut impl BufRead) -> Result<Format, ReadError> {
    loop {
        let ahead = source.fill_buf()?;
        let marked = ahead.strip_prefix("\u{feff}".as_bytes()).unwrap_or(ahead);
        let Some(first) = marked.first() else { return Ok(Format::Jsonl) };
        match first {
            b' ' | b'\t' | b'\r' | b'\n' => source.consume(1),
            b'[' => return Ok(Format::Json),
            b'{' => return Ok(Format::Jsonl),
            _ => return Ok(Format::Csv),
        }
    }
}

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
    pub(crate) fn line(&mut self, number: u64, json: &[u8]) -> Line {
        let read = SongRequest::from_json(json).and_then(|song| {
            let key = match &song.custom_id {
                Some(custom_id) => custom_id.clone(),
                None => self.unnamed(&song)?,
            };
            Ok((song, key))
        });
        let read = read.map_err(shortened);
        let custom_id = match &read {
            Ok((song, _)) => song.custom_id.clone(),
            Err(_) => serde_json::from_slice::<Value>(json)
                .ok()
                .and_then(|line| Some(line.get("custom_id")?.as_str()?.chars().take(ID_CHARS).collect())),
        };
        Line { number, custom_id, read }
    }

    fn unnamed(&mut self, song: &SongRequest) -> Result<String, Invalid> {
        let text = serde_json::to_string(song).expect("a song request is always JSON");
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
fn shortened(mut invalid: Invalid) -> Invalid {
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

pub(crate) type Lines = mpsc::Sender<Result<Line, ReadError>>;

fn read_jsonl(mut source: impl BufRead, keys: &mut Keys, lines: &Lines) -> Result<(), ReadError> {
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        source.by_ref().take(LINE_BYTES + 1).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        let line = if bytes.len() as u64 > LINE_BYTES {
            skip_line(&mut source, &bytes)?;
            too_long(number)
        } else {
            let text =
                bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&bytes).trim_ascii();
            if text.is_empty() {
                continue;
            }
            keys.line(number, text)
        };
        if lines.blocking_send(Ok(line)).is_err() {
            break;
        }
    }
    Ok(())
}

pub(crate) fn too_long(number: u64) -> Line {
    let fault =
        Invalid::one("(line)", "is longer than 1 MiB", "put large audio where it has an https address");
    Line { number, custom_id: None, read: Err(fault) }
}

fn skip_line(source: &mut impl BufRead, begun: &[u8]) -> Result<(), ReadError> {
    if begun.last() == Some(&b'\n') {
        return Ok(());
    }
    loop {
        let ahead = source.fill_buf()?;
        let end = ahead.iter().position(|&byte| byte == b'\n');
        let skip = end.map_or(ahead.len(), |end| end + 1);
        let last = end.is_some() || ahead.is_empty();
        source.consume(skip);
        if last {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_lines(name: &str, text: &str) -> Vec<Result<Line, ReadError>> {
        let mut lines = read(std::io::Cursor::new(text.to_owned()), Format::of(Path::new(name)));
        std::iter::from_fn(|| lines.blocking_recv()).collect()
    }

    fn lines(name: &str, text: &str) -> Vec<Line> {
        try_lines(name, text).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn every_line_keeps_its_number_and_bad_ones_their_reason() {
        let lines = lines(
            "a.jsonl",
            "\u{feff}{\"prompt\":\"a\"}\n\n{\"promt\":\"b\",\"custom_id\":\"x\"}\nnonsense\n{\"prompt\":\"c\"}",
        );
        let numbers: Vec<_> = lines.iter().map(|line| (line.number, line.read.is_ok())).collect();
        assert_eq!(numbers, [(1, true), (3, false), (4, false), (5, true)]);
        assert_eq!(lines[1].custom_id.as_deref(), Some("x"));
        assert_eq!(lines[1].read.as_ref().unwrap_err().problems[0].field, "promt");
    }

    #[test]
    fn the_first_character_tells_what_is_written() {
        for text in [
            "[{\"prompt\":\"a\"},{\"prompt\":\"b\"}]",
            "\n\n  {\"prompt\":\"a\"}\n{\"prompt\":\"b\"}",
            "\u{feff}{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}",
            "prompt\na\nb\n",
            "\u{feff}prompt,title\na,\nb,\n",
        ] {
            let mut lines = read(std::io::Cursor::new(text.to_owned()), Format::Detect);
            let lines: Vec<_> = std::iter::from_fn(|| lines.blocking_recv()).collect();
            let prompts: Vec<_> =
                lines.into_iter().map(|line| line.unwrap().read.unwrap().0.prompt.unwrap()).collect();
            assert_eq!(prompts, ["a", "b"], "{text}");
        }
    }

    #[test]
    fn equal_lines_are_two_songs_and_the_same_two_when_read_again() {
        let text = "{\"prompt\":\"a\"}\n{\"prompt\":\"a\"}\n";
        let keys = |lines: Vec<Line>| -> Vec<String> {
            lines.into_iter().map(|line| line.read.unwrap().1).collect()
        };
        let (once, again) = (keys(lines("a.jsonl", text)), keys(lines("b.jsonl", text)));
        assert_ne!(once[0], once[1]);
        assert_eq!(once, again);
    }

    #[test]
    fn a_line_too_long_is_refused_and_the_next_one_read() {
        let lines =
            lines("a.jsonl", &format!("{{\"prompt\":\"{}\"}}\n{{\"prompt\":\"b\"}}\n", "x".repeat(2 << 20)));
        assert_eq!(lines.iter().map(|line| line.read.is_ok()).collect::<Vec<_>>(), [false, true]);
        assert_eq!(lines[1].number, 2);
    }

    #[test]
    fn a_csv_says_what_a_json_line_says() {
        let csv = lines(
            "a.csv",
            "prompt,vendor,count,instrumental,options.tencent.emotion\n\"a, b\",tencent;replicate,3,true,2\n,,,,\nonly one\n",
        );
        let (song, _) = csv[0].read.as_ref().unwrap();
        let json = SongRequest::from_json(
            br#"{"prompt":"a, b","vendor":["tencent","replicate"],"count":3,"instrumental":true,"options":{"tencent":{"emotion":2}}}"#,
        );
        assert_eq!(*song, json.unwrap());
        assert!(csv[1].read.is_err() && csv[2].read.is_err());
        assert_eq!(csv[2].number, 4);
    }

    #[test]
    fn an_array_says_what_lines_say() {
        let text = r#" [ {"prompt":"a ]},[ \" b","options":{"replicate":{"top_k":3}}},{"prompt":"b"} ,
            {"promt":"c","custom_id":"x"}, 7, "x,]" ] "#;
        let lines = lines("a.json", text);
        let read: Vec<_> = lines.iter().map(|line| (line.number, line.read.is_ok())).collect();
        assert_eq!(read, [(1, true), (2, true), (3, false), (4, false), (5, false)]);
        assert_eq!(lines[0].read.as_ref().unwrap().0.prompt.as_deref(), Some("a ]},[ \" b"));
        assert_eq!(lines[2].custom_id.as_deref(), Some("x"));
        assert!(self::lines("a.json", "[]").is_empty());
    }

    #[test]
    fn an_array_that_is_none_or_is_cut_ends_in_an_error_after_its_good_ones() {
        for (text, good) in [
            ("", 0),
            ("{}", 0),
            ("[", 0),
            (r#"[{"prompt":"a"}"#, 1),
            (r#"[{"prompt":"a"},{"prompt":"#, 1),
            (r#"[{"prompt":"a"},]"#, 1),
            (r#"[{"prompt":"a"}] x"#, 1),
            (r#"[{"prompt":"a"} {"prompt":"b"}]"#, 1),
        ] {
            let mut lines = try_lines("a.json", text);
            assert!(lines.pop().unwrap().is_err(), "{text}");
            assert_eq!(
                lines.iter().filter(|line| line.as_ref().unwrap().read.is_ok()).count(),
                good,
                "{text}"
            );
        }
    }

    #[test]
    fn what_would_take_all_memory_is_refused() {
        let deep = format!("prompt,options{}\nx,y\n", ".a".repeat(50_000));
        assert!(matches!(try_lines("a.csv", &deep)[..], [Err(ReadError::Form(_))]));
        let open = format!("prompt\n\"{}", "x".repeat(3 << 20));
        assert!(matches!(try_lines("a.csv", &open)[..], [Err(ReadError::Form(_))]));
        let long = "x".repeat(400_000);
        let lines = lines(
            "a.jsonl",
            &format!("{{\"custom_id\":\"{long}\",\"{long}\":1}}\n[null,\"replicate\",\"hi\"]\n"),
        );
        let problem = &lines[0].read.as_ref().unwrap_err().problems[0];
        assert!(lines[0].custom_id.as_ref().unwrap().len() <= 128 && problem.field.len() < 400);
        assert!(lines[1].read.is_err(), "a list is no request");
    }
}
