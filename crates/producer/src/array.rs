//! The elements of a JSON array, one by one: no more than one is ever held.

use std::io::BufRead;

use crate::lines::{Keys, LINE_BYTES, Lines, ReadError, too_long};

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

/// One element as it comes in.
#[derive(Default)]
struct Element {
    bytes: Vec<u8>,
    depth: u32,
    in_text: bool,
    escaped: bool,
    number: u64,
}

/// What a byte does to an element.
enum Does {
    GoesOn,
    EndsIt,
    /// It ends it and is not part of it: a comma or the array's bracket behind a number.
    EndsBefore,
}

impl Element {
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

pub(crate) fn read_array(mut source: impl BufRead, keys: &mut Keys, lines: &Lines) -> Result<(), ReadError> {
    let (mut at, mut element) = (At::Start, Element::default());
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
                At::Start => return Err(form("is no JSON array: it must begin with [")),
                At::First if byte == b']' => At::End,
                At::First | At::Element if matches!(byte, b',' | b']' | b'}') => {
                    return Err(form(&format!("element {} is missing", element.number + 1)));
                }
                At::First | At::Element => {
                    element = Element { number: element.number + 1, ..Element::default() };
                    match element.take(byte) {
                        Does::GoesOn => At::Within,
                        Does::EndsIt | Does::EndsBefore => At::Behind,
                    }
                }
                At::Within => match element.take(byte) {
                    Does::GoesOn => At::Within,
                    ends => {
                        if !send(&element, keys, lines) {
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
                At::Behind if byte == b']' => At::End,
                At::Behind => {
                    return Err(form(&format!("there is no comma behind element {}", element.number)));
                }
                At::End => return Err(form("there is more behind the array")),
            };
        }
        source.consume(length);
    }
    match at {
        At::End => Ok(()),
        At::Start => Err(form("is empty; send a JSON array of song requests")),
        _ => Err(form(&format!("the array is cut at element {}", element.number.max(1)))),
    }
}

/// Whether anybody still wants to know.
fn send(element: &Element, keys: &mut Keys, lines: &Lines) -> bool {
    let line = if element.bytes.len() as u64 > LINE_BYTES {
        too_long(element.number)
    } else {
        keys.line(element.number, element.bytes.trim_ascii())
    };
    lines.blocking_send(Ok(line)).is_ok()
}

fn form(why: &str) -> ReadError {
    ReadError::Form(why.to_owned())
}
