//! Text in whatever encoding people's programs write, as UTF-8.

use std::io::{BufRead, Read, Result};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{CoderResult, Decoder, Encoding, GB18030, GBK, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Input as UTF-8. Until the first byte that is not ASCII all encodings are the same; then what follows decides.
pub(crate) struct Utf8<R> {
    source: Ahead<R>,
    state: State,
    begun: bool,
    found: Found,
}

/// The encoding that was found, when it is not UTF-8.
pub(crate) type Found = std::sync::Arc<std::sync::OnceLock<&'static Encoding>>;

enum State {
    /// Nothing but ASCII so far, and so much of it ahead.
    Ascii(usize),
    Utf8,
    Other(Box<Converted>),
}

struct Converted {
    decoder: Decoder,
    text: Vec<u8>,
    at: usize,
    ended: bool,
}

/// How much is looked at to find an encoding.
const WINDOW: usize = 64 << 10;
/// Fewer bytes that are not ASCII are few.
const FEW: usize = 100;
/// How much is converted at once.
const CHUNK: usize = 64 << 10;

impl<R: BufRead> Utf8<R> {
    /// Reads as this encoding, or as the one that is found.
    pub(crate) fn new(source: R, encoding: Option<&'static Encoding>, found: Found) -> Self {
        let state = match encoding {
            None => State::Ascii(0),
            Some(encoding) if encoding == UTF_8 => State::Utf8,
            Some(encoding) => State::converted(encoding),
        };
        Self { source: Ahead::new(source), state, begun: false, found }
    }

    /// Looks for a byte order mark, which says more than whoever names an encoding, or for the zeros that UTF-16 is full of.
    fn begin(&mut self) -> Result<()> {
        self.begun = true;
        let is_named = !matches!(self.state, State::Ascii(_));
        // No more is waited for than it takes: whoever sends may wait, too.
        let begin = self.source.peek(4)?;
        let (encoding, mark) = match begin {
            [0xef, 0xbb, 0xbf, ..] => (UTF_8, 3),
            [0xff, 0xfe, ..] => (UTF_16LE, 2),
            [0xfe, 0xff, ..] => (UTF_16BE, 2),
            begin if !is_named && begin.contains(&0) => match without_mark(self.source.peek(64)?) {
                Some(encoding) => (encoding, 0),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        self.source.consume(mark);
        self.is(encoding);
        Ok(())
    }

    fn is(&mut self, encoding: &'static Encoding) {
        self.state = if encoding == UTF_8 { State::Utf8 } else { State::converted(encoding) };
        if encoding != UTF_8 {
            // Set once: only one encoding is found.
            let _ = self.found.set(encoding);
        }
    }

    /// Finds how much of what comes next is ASCII; where nothing is, the encoding is decided.
    fn look(&mut self) -> Result<()> {
        let ahead = self.source.fill_buf()?;
        let ascii = match ahead.is_ascii() {
            true => ahead.len(),
            false => ahead.iter().take_while(|byte| byte.is_ascii()).count(),
        };
        if ascii == 0 && !ahead.is_empty() {
            let window = self.source.peek(WINDOW)?;
            let encoding = guess(window, window.len() < WINDOW);
            self.is(encoding);
        } else {
            self.state = State::Ascii(ascii);
        }
        Ok(())
    }
}

impl State {
    fn converted(encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_without_bom_handling();
        Self::Other(Box::new(Converted { decoder, text: Vec::new(), at: 0, ended: false }))
    }
}

impl Converted {
    fn fill<R: BufRead>(&mut self, source: &mut Ahead<R>) -> Result<()> {
        while self.at == self.text.len() && !self.ended {
            let ahead = source.fill_buf()?;
            let last = ahead.is_empty();
            let most = self.decoder.max_utf8_buffer_length(ahead.len().min(CHUNK)).unwrap_or(CHUNK * 4);
            self.text.resize(most.max(16), 0);
            let chunk = &ahead[..ahead.len().min(CHUNK)];
            let (result, read, written, _) = self.decoder.decode_to_utf8(chunk, &mut self.text, last);
            self.text.truncate(written);
            self.at = 0;
            source.consume(read);
            self.ended = last && result == CoderResult::InputEmpty;
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Utf8<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        read_from(self, into)
    }
}

impl<R: BufRead> BufRead for Utf8<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if !self.begun {
            self.begin()?;
        }
        if let State::Ascii(0) = self.state {
            self.look()?;
        }
        match &mut self.state {
            State::Ascii(ascii) => Ok(&self.source.fill_buf()?[..*ascii]),
            State::Utf8 => self.source.fill_buf(),
            State::Other(converted) => {
                converted.fill(&mut self.source)?;
                Ok(&converted.text[converted.at..])
            }
        }
    }

    fn consume(&mut self, some: usize) {
        match &mut self.state {
            State::Ascii(ascii) => {
                *ascii -= some;
                self.source.consume(some);
            }
            State::Utf8 => self.source.consume(some),
            State::Other(converted) => converted.at += some,
        }
    }
}

/// UTF-16 by its zeros: a header is mostly Latin letters.
fn without_mark(ahead: &[u8]) -> Option<&'static Encoding> {
    let zeros = |from: usize| ahead.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let some = (ahead.len() / 4).max(1);
    match (zeros(0), zeros(1)) {
        (0, odd) if odd >= some => Some(UTF_16LE),
        (even, 0) if even >= some => Some(UTF_16BE),
        _ => None,
    }
}

/// The encoding of bytes of which the first is not ASCII.
fn guess(window: &[u8], is_all: bool) -> &'static Encoding {
    let (mut whole, mut broken, mut seen) = (0, 0, 0);
    for chunk in window.utf8_chunks() {
        whole += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        seen += chunk.valid().len() + chunk.invalid().len();
        // The last character may be cut.
        let is_cut = seen == window.len() && !is_all;
        broken += usize::from(!chunk.invalid().is_empty() && !is_cut);
    }
    // A few that are broken do not make it another encoding.
    if broken == 0 || whole > 20 * broken {
        return UTF_8;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(window, is_all);
    let found = detector.guess(None, Utf8Detection::Deny);
    // Of a few characters little can be told; what can be Chinese is, before it is anything rare.
    let few = window.iter().filter(|byte| !byte.is_ascii()).count() < FEW;
    let is_chinese = || !GB18030.decode_without_bom_handling(window).1;
    // All of GBK, and more.
    if found == GBK || (few && found != WINDOWS_1252 && is_chinese()) { GB18030 } else { found }
}

/// A reader that can be looked ahead in.
pub(crate) struct Ahead<R> {
    bytes: Vec<u8>,
    at: usize,
    inner: R,
}

impl<R: BufRead> Ahead<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { bytes: Vec::new(), at: 0, inner }
    }

    /// So many bytes, or all that there are.
    pub(crate) fn peek(&mut self, count: usize) -> Result<&[u8]> {
        let ahead = self.peek_at_least(count)?;
        Ok(&ahead[..ahead.len().min(count)])
    }

    /// So many bytes and what has come with them, or all that there are.
    pub(crate) fn peek_at_least(&mut self, count: usize) -> Result<&[u8]> {
        self.bytes.drain(..self.at);
        self.at = 0;
        while self.bytes.len() < count {
            let ahead = self.inner.fill_buf()?;
            if ahead.is_empty() {
                break;
            }
            self.bytes.extend_from_slice(ahead);
            let some = ahead.len();
            self.inner.consume(some);
        }
        Ok(&self.bytes)
    }
}

impl<R: BufRead> Read for Ahead<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        read_from(self, into)
    }
}

impl<R: BufRead> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        if self.at < self.bytes.len() { Ok(&self.bytes[self.at..]) } else { self.inner.fill_buf() }
    }

    fn consume(&mut self, some: usize) {
        if self.at < self.bytes.len() { self.at += some } else { self.inner.consume(some) }
    }
}

/// Reads by way of the buffer.
fn read_from(source: &mut impl BufRead, into: &mut [u8]) -> Result<usize> {
    let ahead = source.fill_buf()?;
    let some = ahead.len().min(into.len());
    into[..some].copy_from_slice(&ahead[..some]);
    source.consume(some);
    Ok(some)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    const TEXT: &str = "标题,歌词\n旧信,\"我把旧信折成纸船\n放进春天的河\"\n";

    fn read(
        bytes: &[u8],
        buffer: usize,
        encoding: Option<&'static Encoding>,
    ) -> (String, Option<&'static str>) {
        let found = Found::default();
        let mut text = String::new();
        let source = BufReader::with_capacity(buffer, bytes);
        Utf8::new(source, encoding, found.clone()).read_to_string(&mut text).unwrap();
        (text, found.get().map(|encoding| encoding.name()))
    }

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        let bytes = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn every_encoding_is_found_whatever_the_buffers() {
        let header = "title;lyrics\n".repeat(10);
        let french = format!("{header}L'été à Besançon;Où es-tu passée, mon âme ?\n");
        let chinese = format!("{header}{TEXT}");
        for buffer in [1, 3, 7, 64, 1 << 16] {
            for (bytes, text, name) in [
                (TEXT.as_bytes().to_vec(), TEXT, None),
                (format!("\u{feff}{TEXT}").into_bytes(), TEXT, None),
                ([&[0xff, 0xfe][..], &utf16(TEXT, true)].concat(), TEXT, Some("UTF-16LE")),
                ([&[0xfe, 0xff][..], &utf16(TEXT, false)].concat(), TEXT, Some("UTF-16BE")),
                (utf16(&chinese, true), &*chinese, Some("UTF-16LE")),
                (utf16(&chinese, false), &*chinese, Some("UTF-16BE")),
                (GB18030.encode(TEXT).0.into_owned(), TEXT, Some("gb18030")),
                (GBK.encode(&chinese).0.into_owned(), &*chinese, Some("gb18030")),
                (encoding_rs::WINDOWS_1252.encode(&french).0.into_owned(), &*french, Some("windows-1252")),
                (header.clone().into_bytes(), &*header, None),
                (Vec::new(), "", None),
            ] {
                assert_eq!(read(&bytes, buffer, None), (text.to_owned(), name), "{buffer}");
            }
        }
    }

    #[test]
    fn an_encoding_that_is_named_is_believed() {
        let bytes = encoding_rs::BIG5.encode("標題\n").0.into_owned();
        assert_eq!(read(&bytes, 64, Some(encoding_rs::BIG5)).0, "標題\n");
    }

    #[test]
    fn a_broken_character_does_not_make_it_another_encoding() {
        let mut bytes = TEXT.repeat(5).into_bytes();
        bytes.extend(b"\xc3,\n");
        let found = Found::default();
        let mut all = Vec::new();
        Utf8::new(&bytes[..], None, found.clone()).read_to_end(&mut all).unwrap();
        assert_eq!((all, found.get()), (bytes, None));
    }
}
