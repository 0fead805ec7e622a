//! What becomes of each kind of file: whatever common players play is stored, and only what is certainly not audio is
//! refused. The table in `docs/audio.md` is made of this list.

use std::fmt::Write as _;
use std::path::Path;

use songmill_core::Flag;
use songmill_worker_deliver::{Asked, Checks, Ffmpeg, NotAudio, NotAudioClass, Probed, probe};

mod by_ffmpeg;
mod by_hand;
mod made;
mod none;

/// A file, and what becomes of it.
pub(crate) struct File {
    /// What it is.
    pub(crate) name: &'static str,
    pub(crate) bytes: Bytes,
    pub(crate) becomes: Becomes,
}

/// Where a file comes from.
pub(crate) enum Bytes {
    /// It is made by hand.
    Made(fn() -> Vec<u8>),
    /// By ffmpeg, of a tone, with these arguments and this extension; then changed.
    Ffmpeg { args: &'static str, ext: &'static str, then: fn(Vec<u8>) -> Vec<u8> },
}

/// What becomes of a file.
#[derive(Clone, Copy)]
pub(crate) enum Becomes {
    /// It is stored as this format; it plays so many ms, and has these flags.
    Stored(&'static str, u64, &'static [Flag]),
    /// It is unusable audio, for this reason.
    Unusable(&'static str, Flag),
    /// It is stored without being decoded; with ffmpeg it is known to play so many ms.
    Unchecked(&'static str, u64),
    /// It is refused.
    Refused(NotAudioClass),
}

/// By how much a length may differ, in ms: encoders fill up their last frames.
const ABOUT: u64 = 120;

fn all() -> Vec<File> {
    [by_hand::mp3(), by_hand::wav(), by_hand::others(), by_ffmpeg::files(), none::files()]
        .into_iter()
        .flatten()
        .collect()
}

impl File {
    /// Its bytes; none where that takes ffmpeg and there is none.
    fn made(&self) -> Option<Vec<u8>> {
        match &self.bytes {
            Bytes::Made(make) => Some(make()),
            Bytes::Ffmpeg { args, ext, then } => by_ffmpeg::made(args, ext).map(then),
        }
    }
}

fn tried(bytes: &[u8], ffmpeg: Option<&Ffmpeg>) -> Result<Probed, NotAudio> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    probe(file.path(), ffmpeg)
}

/// What is wrong with what became of a file.
fn complaint(becomes: Becomes, found: &Result<Probed, NotAudio>) -> Option<String> {
    let judged = |probed: &Probed| Checks::default().judge(probed, Asked::default());
    let fine = match (becomes, found) {
        (Becomes::Stored(format, ms, flags), Ok(probed)) => {
            let judged = judged(probed);
            probed.format == format
                && probed.checked
                && probed.duration_ms.abs_diff(ms) <= ABOUT
                && judged.flags == flags
                && judged.unusable.is_none()
                // All of it is the tone; where a part is lost, what follows may be anything.
                && (!flags.is_empty() || probed.sound.peak_db.is_some_and(|peak| (-12.0..-2.0).contains(&peak)))
        }
        (Becomes::Unusable(format, flag), Ok(probed)) => {
            probed.format == format && judged(probed).unusable.is_some_and(|finding| finding.flag == flag)
        }
        (Becomes::Unchecked(format, _), Ok(probed)) => {
            (probed.format, probed.checked) == (format, false) && judged(probed).flags == [Flag::Unchecked]
        }
        (Becomes::Refused(class), Err(not)) => not.class() == class,
        _ => false,
    };
    let shown = match found {
        Ok(probed) => format!("{probed:?} {:?}", judged(probed)),
        Err(not) => format!("{not}"),
    };
    (!fine).then_some(shown)
}

#[test]
fn every_file_becomes_what_it_should() {
    let mut complaints = String::new();
    let mut tried_all = 0;
    for file in all() {
        let Some(bytes) = file.made() else { continue };
        tried_all += 1;
        if let Some(complaint) = complaint(file.becomes, &tried(&bytes, None)) {
            writeln!(complaints, "{}: {complaint}", file.name).unwrap();
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
    assert!(tried_all >= 60, "{tried_all} files");
}

#[tokio::test]
async fn what_no_decoder_here_knows_is_judged_by_ffmpeg() {
    let Some(program) = by_ffmpeg::program() else { return };
    let ffmpeg = Ffmpeg::find(&program, std::time::Duration::from_secs(60)).await.unwrap();
    for file in all() {
        let becomes = match file.becomes {
            Becomes::Unchecked(format, ms) if ms > 0 => Becomes::Stored(format, ms, &[]),
            // What is decoded here is not asked again.
            Becomes::Stored(..) | Becomes::Unusable(..) => continue,
            becomes => becomes,
        };
        let Some(bytes) = file.made() else { continue };
        let ffmpeg = ffmpeg.clone();
        let found = tokio::task::spawn_blocking(move || tried(&bytes, Some(&ffmpeg))).await.unwrap();
        assert_eq!(complaint(becomes, &found), None, "{}", file.name);
    }
}

#[tokio::test]
async fn what_ffmpeg_says_counts_whatever_a_title_is_written_in() {
    let Some(program) = by_ffmpeg::program() else { return };
    let ffmpeg = Ffmpeg::find(&program, std::time::Duration::from_secs(60)).await.unwrap();
    let arguments = "-ac 6 -c:a aac -movflags +faststart -metadata title=Caf_";
    let whole = by_ffmpeg::made(arguments, "m4a").unwrap();
    let mut cut = whole.clone();
    cut.truncate(whole.len() * 2 / 3);
    let mut in_latin_1 = cut.clone();
    let title = in_latin_1.windows(4).position(|bytes| bytes == b"Caf_").unwrap();
    in_latin_1[title + 3] = 0xe9;
    let found = tokio::task::spawn_blocking(move || {
        [whole, cut, in_latin_1].map(|bytes| tried(&bytes, Some(&ffmpeg)).unwrap().end)
    });
    let [whole, cut, in_latin_1] = found.await.unwrap();
    assert_ne!(whole, cut);
    assert_eq!(cut, in_latin_1);
}

#[tokio::test]
async fn an_ffmpeg_that_is_not_there_or_does_not_end_is_no_judge() {
    assert!(Ffmpeg::find("/nowhere/ffmpeg", std::time::Duration::from_secs(1)).await.is_none());
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ffmpeg");
    std::fs::write(&program, "#!/bin/sh\n[ \"$1\" = -version ] && exit 0\nexec sleep 600\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ffmpeg =
        Ffmpeg::find(program.to_str().unwrap(), std::time::Duration::from_millis(200)).await.unwrap();
    let found = tokio::task::spawn_blocking(move || tried(b"wvpk\0\0\0\0", Some(&ffmpeg))).await.unwrap();
    assert!(!found.unwrap().checked);
}

#[test]
fn files_that_are_cut_and_altered_anywhere_break_nothing() {
    let mut dice = 88_172_645_463_325_252u64;
    let mut roll = |sides: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        usize::try_from(dice % sides as u64).unwrap()
    };
    for file in all() {
        let Some(whole) = file.made().filter(|bytes| (1..400_000).contains(&bytes.len())) else { continue };
        for round in 0..4 {
            let mut bytes = whole.clone();
            match round {
                0 => bytes.truncate(roll(whole.len())),
                // Headers more often than what follows.
                1 | 2 => (0..1 + roll(40)).for_each(|_| {
                    let most = if roll(2) == 0 { whole.len().min(300) } else { whole.len() };
                    bytes[roll(most)] = u8::try_from(roll(256)).unwrap();
                }),
                // Sizes and counts of all ones and zeros.
                _ => (0..1 + roll(6)).for_each(|_| {
                    let at = roll(whole.len().min(2000));
                    let end = (at + 4).min(whole.len());
                    bytes[at..end].fill(if roll(2) == 0 { 0xff } else { 0 });
                }),
            }
            if let Ok(found) = tried(&bytes, None) {
                assert!(found.checked == (found.duration_ms > 0), "{}: {found:?}", file.name);
                assert!(found.duration_ms <= 3_600_000, "{}: {found:?}", file.name);
            }
        }
    }
}

/// The table of the documentation.
fn table() -> String {
    let mut table = "| file | is | plays | flags |\n|---|---|---|---|\n".to_owned();
    let seconds = |ms: u64| format!("{:.1} s", ms as f32 / 1000.0);
    for file in all() {
        let (is, plays, flags) = match file.becomes {
            Becomes::Stored(format, ms, flags) => {
                let flags: Vec<String> = flags.iter().map(|flag| format!("`{}`", flag.as_str())).collect();
                (format!("stored, `{format}`"), seconds(ms), flags.join(", "))
            }
            Becomes::Unusable(format, flag) => {
                (format!("unusable, `{format}`"), String::new(), format!("`{}`", flag.as_str()))
            }
            Becomes::Unchecked(format, 0) => {
                (format!("stored, `{format}`"), String::new(), "`unchecked`".into())
            }
            Becomes::Unchecked(format, ms) => {
                (format!("stored, `{format}`"), seconds(ms), "`unchecked`, none with ffmpeg".into())
            }
            Becomes::Refused(class) => {
                let why = match class {
                    NotAudioClass::NotReady => "refused: perhaps not ready, downloaded again",
                    NotAudioClass::OtherKind => "refused: another kind of file",
                    NotAudioClass::Broken => "refused: broken",
                    NotAudioClass::OurDisk => "refused by our own disk",
                };
                (why.into(), String::new(), String::new())
            }
        };
        writeln!(table, "| {} | {is} | {plays} | {flags} |", file.name).unwrap();
    }
    table
}

#[test]
fn the_documentation_says_what_becomes_of_each_file() {
    const MARKS: (&str, &str) = ("<!-- files: made by the test of this name -->\n", "<!-- end of files -->");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/audio.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(MARKS.0).expect("the page has the table's beginning");
    let (written, behind) = rest.split_once(MARKS.1).expect("the page has the table's end");
    if std::env::var("INSTA_UPDATE").as_deref() == Ok("always") {
        std::fs::write(&path, [before, MARKS.0, &table(), MARKS.1, behind].concat()).unwrap();
        return;
    }
    assert_eq!(written, table(), "INSTA_UPDATE=always writes the table anew");
}
