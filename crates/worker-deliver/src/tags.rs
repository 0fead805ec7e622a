//! Tags in the file itself: its title, and where it comes from.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use lofty::config::{ParseOptions, WriteOptions};
use lofty::file::{AudioFile as _, FileType, TaggedFileExt as _};
use lofty::tag::{Accessor as _, ItemKey, Tag, TagExt as _};
use tempfile::TempPath;

use crate::incoming::beside;
use crate::probe::is_exact_wav;

/// What is written into a file.
pub(crate) struct Tags<'a> {
    pub(crate) title: Option<&'a str>,
    /// Job, vendor and a hash of what was asked for.
    pub(crate) comment: String,
}

/// By how much a file's length may seem to differ once it has tags.
const MARGIN: Duration = Duration::from_millis(100);

/// Bytes before the first frame that are searched for tags, where the file begins with a frame: there are none, and the
/// library looks for them byte by byte, with a call of the system for each.
const FRAME_FIRST: usize = 4;

impl Tags<'_> {
    /// A copy of a file with tags, beside it; none where it cannot be given any, or would not be the same audio. Blocks.
    pub(crate) fn on(&self, file: &Path, format: &str) -> Option<TempPath> {
        // As untrusted as the audio: what breaks the reader leaves the file as it is.
        let tagged = std::panic::catch_unwind(|| self.copied(file, format));
        match tagged {
            Ok(Ok(copy)) => copy,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a file is stored without tags");
                None
            }
            Err(_) => {
                tracing::debug!("a file is stored without tags: it broke their reader");
                None
            }
        }
    }

    fn copied(&self, file: &Path, format: &str) -> Result<Option<TempPath>, Box<dyn std::error::Error>> {
        let Some(kind) = kind(format) else { return Ok(None) };
        // Tags go where the sizes say that a file ends, which may be within its samples.
        if kind == FileType::Wav && !is_exact_wav(file)? {
            return Ok(None);
        }
        let copy = beside(file)?.into_temp_path();
        std::fs::copy(file, &copy)?;
        let before = read(&copy, kind)?;
        let length = before.properties().duration();
        let mut tag = before.primary_tag().cloned().unwrap_or_else(|| Tag::new(before.primary_tag_type()));
        if let Some(title) = self.title {
            tag.set_title(title.to_owned());
        }
        tag.insert_text(ItemKey::Comment, self.comment.clone());
        let mut parsing = ParseOptions::new();
        if begins_with_frame(&copy)? {
            parsing = parsing.max_junk_bytes(FRAME_FIRST);
        }
        tag.save_to_path(&copy, WriteOptions::default().parse_options(parsing))?;
        let after = read(&copy, kind)?.properties().duration();
        Ok((after.abs_diff(length) < MARGIN).then_some(copy))
    }
}

/// A second name of a file, or a copy where the disk has no such thing.
pub(crate) fn second_name(file: &Path) -> std::io::Result<TempPath> {
    let to = beside(file)?.into_temp_path();
    std::fs::remove_file(&to)?;
    if std::fs::hard_link(file, &to).is_err() {
        std::fs::copy(file, &to)?;
    }
    Ok(to)
}

/// Whether the first bytes are those of a frame of an mp3.
fn begins_with_frame(file: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    std::fs::File::open(file)?.take(2).read_to_end(&mut head)?;
    Ok(matches!(head[..], [0xff, second] if second >= 0xe0))
}

fn kind(format: &str) -> Option<FileType> {
    match format {
        "mp3" => Some(FileType::Mpeg),
        "wav" => Some(FileType::Wav),
        "flac" => Some(FileType::Flac),
        "opus" => Some(FileType::Opus),
        _ => None,
    }
}

fn read(file: &Path, kind: FileType) -> Result<lofty::file::TaggedFile, Box<dyn std::error::Error>> {
    let options = ParseOptions::new();
    Ok(lofty::probe::Probe::open(file)?.set_file_type(kind).options(options).read()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::probe;

    fn written(bytes: &[u8]) -> TempPath {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file.into_temp_path()
    }

    /// A song with this title, and with another one after it: what the tags then say, and how long each file is.
    fn retitled(bytes: &[u8], format: &str) -> [(Option<String>, u64); 2] {
        let mut file = written(bytes);
        ["Harbour lights", "Harbour lights at dawn"].map(|title| {
            let tags = Tags { title: Some(title), comment: "songmill job=1".into() };
            let before = probe(&file, None).unwrap();
            file = tags.on(&file, format).unwrap();
            assert_eq!(probe(&file, None).unwrap(), before, "the audio is the same: {format}");
            let read = read(&file, kind(format).unwrap()).unwrap();
            let tag = read.primary_tag().unwrap();
            assert_eq!(tag.get_string(ItemKey::Comment), Some("songmill job=1"), "{format}");
            (tag.title().map(Into::into), std::fs::metadata(&file).unwrap().len())
        })
    }

    #[test]
    fn tags_are_put_beside_the_audio_and_replaced_where_there_are_some() {
        for format in ["mp3", "wav", "flac"] {
            let song = songmill_simulator::audio(&format!("00000000000000aa-1000.{format}")).unwrap();
            let [(first, short), (second, long)] = retitled(&song, format);
            assert_eq!(first.as_deref(), Some("Harbour lights"), "{format}");
            assert_eq!(second.as_deref(), Some("Harbour lights at dawn"), "{format}");
            assert!(long < short + 100, "{format}: there are no two of them: {short}, {long}");
        }
    }

    #[test]
    fn what_stands_before_the_first_frame_is_no_reason_to_go_without_tags() {
        let song = songmill_simulator::audio("00000000000000aa-1000.mp3").unwrap();
        let tag = [&b"ID3\x04\0\0\0\0\0\x0a"[..], &[0; 10]].concat();
        for before in [tag.clone(), [&tag[..], &[0; 40]].concat()] {
            let [(first, short), (second, long)] = retitled(&[&before[..], &song].concat(), "mp3");
            assert_eq!(
                (first.as_deref(), second.as_deref()),
                (Some("Harbour lights"), Some("Harbour lights at dawn"))
            );
            assert!(long < short + 100, "there are no two of them: {short}, {long}");
        }
    }

    #[test]
    fn a_wav_that_does_not_know_its_length_stays_the_same_audio() {
        let song = songmill_simulator::audio("00000000000000aa-1000.wav").unwrap();
        for (riff, data) in [([0xff; 4], [0xff; 4]), ([0; 4], [0; 4]), ([36, 0, 0, 0], [0; 4])] {
            let mut wav = song.clone();
            wav[4..8].copy_from_slice(&riff);
            wav[40..44].copy_from_slice(&data);
            let file = written(&wav);
            let tags = Tags { title: Some("Harbour lights"), comment: "songmill job=1".into() };
            if let Some(tagged) = tags.on(&file, "wav") {
                assert_eq!(probe(&tagged, None).unwrap(), probe(&file, None).unwrap(), "{riff:?} {data:?}");
            }
        }
    }

    #[test]
    fn what_is_not_quite_as_it_should_be_stays_the_same_audio() {
        let wav = songmill_simulator::audio("00000000000000aa-1000.wav").unwrap();
        let mp3 = songmill_simulator::audio("00000000000000aa-1000.mp3").unwrap();
        let flac = songmill_simulator::audio("00000000000000aa-1000.flac").unwrap();
        let size = |bytes: &[u8], at: usize, size: u32| {
            let mut changed = bytes.to_vec();
            changed[at..at + 4].copy_from_slice(&size.to_le_bytes());
            changed
        };
        let samples = wav.len() as u32 - 44;
        let behind = |before: &[u8], audio: &[u8]| [before, audio].concat();
        let id3 = [&b"ID3\x04\0\0\0\0\0\x0a"[..], &[0; 10]].concat();
        let id3v1 = [&b"TAG"[..], &[b' '; 125]].concat();
        for (format, audio) in [
            ("wav", wav.clone()),
            ("wav", size(&wav, 4, 36)),
            ("wav", size(&wav, 4, 36 + samples / 2)),
            ("wav", size(&wav, 40, samples + 8)),
            ("wav", size(&wav, 40, samples + 44)),
            ("wav", size(&wav, 40, samples / 2)),
            ("wav", behind(b"\r\n", &wav)),
            ("wav", behind(&wav, b"LIST\x05\0\0\0INFO\0\0PICT\x04\0\0\0\xff\xd8\xff\xe0")),
            ("wav", wav[..wav.len() - 999].to_vec()),
            ("mp3", behind(b"\r\n", &mp3)),
            ("mp3", behind(&[0; 512], &mp3)),
            ("mp3", behind(&id3, &behind(&id3, &mp3))),
            ("mp3", behind(&mp3, &behind(&id3, &mp3))),
            ("mp3", behind(&mp3, &behind(&id3v1, &mp3))),
            ("mp3", behind(&mp3, &[0x55; 3000])),
            ("mp3", mp3[..mp3.len() - 20].to_vec()),
            ("flac", behind(&id3, &flac)),
            ("flac", behind(b"\r\n", &flac)),
            ("flac", behind(&flac, &id3v1)),
            ("flac", flac[..flac.len() - 999].to_vec()),
        ] {
            let file = written(&audio);
            let before = probe(&file, None).unwrap();
            assert_eq!(before.format, format);
            let tags = Tags { title: Some("Harbour lights"), comment: "songmill job=1".into() };
            if let Some(tagged) = tags.on(&file, format) {
                let at: Vec<u8> = audio.iter().copied().take(60).collect();
                assert_eq!(probe(&tagged, None), Ok(before), "{format} {}", at.escape_ascii());
            }
        }
    }

    #[test]
    fn what_cannot_have_tags_is_left_as_it_is() {
        let tags = Tags { title: None, comment: String::new() };
        for (bytes, format) in
            [(&b"no audio"[..], "mp3"), (b"RIFF\0\0\0\0WAVE", "wav"), (b"", "flac"), (b"x", "ogg")]
        {
            assert!(tags.on(&written(bytes), format).is_none(), "{format}");
        }
    }
}
