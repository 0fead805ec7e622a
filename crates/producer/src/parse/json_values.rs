//! JSON values one by one, no more than one of them in memory: those of an array, or one behind the other.

use std::io::BufRead;

use crate::parse::error::ReadError;
use crate::parse::row::LINE_BYTES;

/// Where in an array we are.
enum At {
    /// Before its bracket.
    Start,
    /// Before its first element, or behind its bracket at once.
    First,
    /// Before a further element.
    Element,
    /// In an element.
    Within,
    /// Behind an element.
    Behind,
    /// Behind the array.
    End,
}

/// One value as it comes in.
#[derive(Default)]
pub(crate) struct Element {
    pub(crate) bytes: Vec<u8>,
    depth: u32,
    in_text: bool,
    escaped: bool,
    pub(crate) number: u64,
}

/// What a byte does to an element.
enum Does {
    GoesOn,
    EndsIt,
    /// It ends it and is not part of it: a comma or the array's bracket behind a number.
    EndsBefore,
}

impl Element {
    /// The next one begins.
    fn begin(&mut self, byte: u8) -> At {
        *self = Self { number: self.number + 1, ..Self::default() };
        match self.take(byte) {
            Does::GoesOn => At::Within,
            Does::EndsIt | Does::EndsBefore => At::Behind,
        }
    }

    fn take(&mut self, byte: u8) -> Does {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            self.push(byte);
            return if self.in_text || self.depth > 0 { Does::GoesOn } else { Does::EndsIt };
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth == 0 => return Does::EndsBefore,
            b',' if self.depth == 0 => return Does::EndsBefore,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        self.push(byte);
        if self.depth == 0 && matches!(byte, b'}' | b']') { Does::EndsIt } else { Does::GoesOn }
    }

    /// What is too long is not held, but still followed to its end.
    fn push(&mut self, byte: u8) {
        if self.bytes.len() as u64 <= LINE_BYTES {
            self.bytes.push(byte);
        }
    }
}

impl Element {
    /// Whether it is not held whole.
    pub(crate) fn is_too_long(&self) -> bool {
        self.bytes.len() as u64 > LINE_BYTES
    }
}

/// How values stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Array,
    /// One behind the other, with blanks or line ends between them.
    Sequence,
}

/// Reads values until `each` wants no more.
pub(crate) fn read(
    mut source: impl BufRead,
    layout: Layout,
    mut each: impl FnMut(&Element) -> bool,
) -> Result<(), ReadError> {
    let begin = if layout == Layout::Array { At::Start } else { At::Behind };
    let (mut at, mut element) = (begin, Element::default());
    loop {
        let ahead = source.fill_buf()?;
        if ahead.is_empty() {
            break;
        }
        let length = ahead.len();
        let mut n = 0;
        while n < length {
            let byte = ahead[n];
            n += 1;
            let blank = byte.is_ascii_whitespace();
            at = match at {
                At::Start | At::First | At::Element | At::Behind | At::End if blank => at,
                At::Start if byte == b'[' => At::First,
                At::Start => return Err(form("is not a JSON array: it must begin with [")),
                At::First if byte == b']' => At::End,
                At::First | At::Element if matches!(byte, b',' | b']' | b'}') => {
                    return Err(form(&format!("element {} is missing", element.number + 1)));
                }
                At::Behind if layout == Layout::Sequence && !matches!(byte, b',' | b']' | b'}') => {
                    element.begin(byte)
                }
                At::First | At::Element => element.begin(byte),
                At::Within => match element.take(byte) {
                    Does::GoesOn => At::Within,
                    ends => {
                        if !each(&element) {
                            return Ok(());
                        }
                        match (ends, byte) {
                            (Does::EndsBefore, b']') => At::End,
                            (Does::EndsBefore, b',') => At::Element,
                            _ => At::Behind,
                        }
                    }
                },
                At::Behind if byte == b',' => At::Element,
                At::Behind if byte == b']' && layout == Layout::Array => At::End,
                At::Behind => {
                    return Err(form(&format!("has no comma behind element {}", element.number)));
                }
                At::End => return Err(form("has more behind the array")),
            };
        }
        source.consume(length);
    }
    match at {
        At::End => Ok(()),
        At::Behind if layout == Layout::Sequence => Ok(()),
        At::Start => Err(ReadError::Empty),
        _ => Err(form(&format!("is cut off in element {}", element.number.max(1)))),
    }
}

/// Whether a line holds a value whole, or one that is broken: a text that is not closed on its line.
pub(crate) fn is_whole(line: &[u8]) -> bool {
    let mut element = Element::default();
    for byte in line {
        if !matches!(element.take(*byte), Does::GoesOn) {
            return true;
        }
    }
    element.in_text
}

fn form(why: &str) -> ReadError {
    ReadError::Form(why.to_owned())
}
