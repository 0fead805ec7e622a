//! Sizes that are wrong in containers which the library takes at their word: it reads the file as if they were right.

use std::io;

use super::bytes::Bytes;
use super::kind::Container;
use super::{Fail, NotAudio};

/// Which part of a file is read, and which bytes of it differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where, from the start on, other bytes are read than there are.
    pub(super) patch: Option<(u64, Vec<u8>)>,
    /// Bytes of audio that should be there and are not, and those that are.
    pub(super) cut: Option<(u64, u64)>,
}

/// Boxes and chunks that are looked at.
const BOXES: u32 = 1 << 16;

/// How a file of this kind is read between two places.
pub(super) fn view(bytes: &mut Bytes, container: Container, start: u64, end: u64) -> Result<View, Fail> {
    let view = View { start, end, patch: None, cut: None };
    match container {
        Container::Mp4 => mp4(bytes, view),
        Container::Caf => Ok(caf(bytes, view)?),
        Container::Ogg => ogg(bytes, view),
        _ => Ok(view),
    }
}

/// Media data that is cut ends with the file, and so does the film where no box follows.
fn mp4(bytes: &mut Bytes, mut view: View) -> Result<View, Fail> {
    let (mut at, mut has_index) = (view.start, false);
    for _ in 0..BOXES {
        let head = bytes.at(at, 16)?;
        let (Some(size), Some(kind)) = (head.first_chunk().copied().map(u32::from_be_bytes), head.get(4..8))
        else {
            break;
        };
        let large = head.get(8..).and_then(|size| size.first_chunk()).copied().map(u64::from_be_bytes);
        let (size, head_size) = match size {
            0 => (view.end - at, 8),
            1 => (large.unwrap_or(0), 16),
            size => (u64::from(size), 8),
        };
        has_index |= kind == b"moov";
        let is_cut = size > view.end - at;
        if is_cut && kind == b"mdat" {
            let rest = view.end - at;
            view.patch = Some(match head_size {
                16 => (at + 8 - view.start, rest.to_be_bytes().to_vec()),
                // 0 is for one that ends with the file.
                _ => (at - view.start, u32::try_from(rest).unwrap_or(0).to_be_bytes().to_vec()),
            });
            break;
        }
        if is_cut || size < head_size || !kind.iter().all(|byte| matches!(byte, b' '..=b'~' | 0xa9)) {
            view.end = at;
            break;
        }
        at += size;
        if at >= view.end {
            break;
        }
    }
    if !has_index {
        return Err(Fail::Broken("its index is missing".into()));
    }
    Ok(view)
}

/// Audio of unknown length ends with the file, and so does audio that is cut.
fn caf(bytes: &mut Bytes, mut view: View) -> io::Result<View> {
    let mut at = view.start + 8;
    for _ in 0..BOXES {
        let head = bytes.at(at, 12)?;
        let (Some(kind), Some(size)) =
            (head.first_chunk::<4>(), head.get(4..).and_then(|size| size.first_chunk()))
        else {
            break;
        };
        let (is_data, size) = (kind == b"data", i64::from_be_bytes(*size));
        let rest = view.end.saturating_sub(at + 12);
        let missing = u64::try_from(size).map_or(0, |size| size.saturating_sub(rest));
        if is_data && (size <= 0 || missing > 0) {
            // Four bytes of it count edits, and are no audio.
            view.cut = (missing > 0).then_some((missing, rest.saturating_sub(4).max(1)));
            view.patch = Some((at + 4 - view.start, rest.to_be_bytes().to_vec()));
            break;
        }
        let Ok(size) = u64::try_from(size) else { break };
        at = at.saturating_add(12).saturating_add(size);
    }
    Ok(view)
}

/// An Ogg begins with a page for each of its streams, and says there what they are.
fn ogg(bytes: &mut Bytes, view: View) -> Result<View, Fail> {
    let head = bytes.at(view.start, 4096)?;
    let has = |name: &[u8]| head.windows(name.len()).any(|part| part == name);
    if [&b"\x01vorbis"[..], b"OpusHead", b"\x7fFLAC"].iter().any(|name| has(name)) {
        return Ok(view);
    }
    let is_film = has(b"\x80theora") || has(b"BBCD\0");
    if is_film && !has(b"Speex   ") {
        return Err(NotAudio::Other("a film without sound").into());
    }
    Err(Fail::Unsupported("no stream of audio is known here".into()))
}
