//! Tags around audio, and blanks and zeros before it.

use std::io;

use super::bytes::Bytes;
use super::kind::SEARCHED;

/// Where a tag ends, or blanks and zeros do, that stand before audio.
pub(super) fn behind_tag(bytes: &mut Bytes, at: u64) -> io::Result<Option<u64>> {
    let head = bytes.at(at, 32)?;
    if let Some(size) = id3_size(head) {
        return Ok(Some(at + size));
    }
    if head.starts_with(b"APETAGEX") && head.len() == 32 {
        let size = u64::from(u32::from_le_bytes([head[12], head[13], head[14], head[15]]));
        // The size is that of what follows the header; a footer has its items before it.
        let is_header = head[23] & 0x20 != 0;
        return Ok(Some(at + 32 + if is_header { size } else { 0 }));
    }
    if head.starts_with(b"TAG") {
        return Ok(Some(at + 128));
    }
    let next = behind_blanks(bytes, at)?;
    Ok((next > at).then_some(next))
}

/// The size of an ID3v2 tag, header and footer included.
fn id3_size(head: &[u8]) -> Option<u64> {
    let [b'I', b'D', b'3', 0..=0xfe, _, flags, size @ ..] = head.first_chunk::<10>()? else { return None };
    let size = size.iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
    let footer = if flags & 0x10 == 0 { 0 } else { 10 };
    Some(10 + size + footer)
}

/// Where blanks, line ends and zeros end.
pub(super) fn behind_blanks(bytes: &mut Bytes, from: u64) -> io::Result<u64> {
    let mut at = from;
    if bytes.at(at, 3)? == b"\xef\xbb\xbf" {
        at += 3;
    }
    while at - from < SEARCHED {
        let piece = bytes.at(at, 64 << 10)?;
        match piece.iter().position(|byte| !matches!(byte, 0 | b'\r' | b'\n' | b' ' | b'\t')) {
            Some(0) => break,
            Some(n) => return Ok(at + n as u64),
            None if piece.is_empty() => break,
            None => at += piece.len() as u64,
        }
    }
    Ok(at)
}

/// Where the audio ends, and tags of other formats begin that stand behind it.
pub(super) fn before_tags(bytes: &mut Bytes) -> io::Result<u64> {
    let mut end = bytes.len();
    if let Some(at) = end.checked_sub(128)
        && bytes.at(at, 3)? == b"TAG"
    {
        end = at;
    }
    if let Some(at) = end.checked_sub(32)
        && let foot = bytes.at(at, 32)?.to_vec()
        && foot.starts_with(b"APETAGEX")
    {
        let size = u64::from(u32::from_le_bytes([foot[12], foot[13], foot[14], foot[15]]));
        // The size is that of items and footer; a header stands before them where it says so.
        let header = if foot[23] & 0x80 == 0 { 0 } else { 32 };
        end = (at + 32).saturating_sub(size + header);
    }
    Ok(end)
}
