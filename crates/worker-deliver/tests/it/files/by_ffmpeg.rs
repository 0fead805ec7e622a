//! Files that ffmpeg makes of a tone of three seconds.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use songmill_core::Flag::Damaged;
use songmill_worker_deliver::NotAudioClass::{Broken, OtherKind};

use super::Becomes::{self, Refused, Stored, Unchecked, Unusable};
use super::made::{Wav, id3, id3v1, junk, little, tone};
use super::{Bytes, File};

/// The program; none where there is none, except where all must be tested.
pub(super) fn program() -> Option<String> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let said = std::env::var("FFMPEG").unwrap_or_default();
            let program = if said.is_empty() { "ffmpeg".to_owned() } else { said };
            let runs = Command::new(&program).arg("-version").stdout(Stdio::null()).status();
            if runs.is_ok_and(|status| status.success()) {
                return Some(program);
            }
            assert!(
                program == "none" || std::env::var("CI").as_deref() != Ok("true"),
                "ffmpeg is missing: set FFMPEG (to none, to do without), or run ./x test"
            );
            eprintln!("SKIPPED: there is no ffmpeg here; set FFMPEG, or run ./x test");
            None
        })
        .clone()
}

/// A file that is made of the tone with these arguments.
pub(super) fn made(args: &str, ext: &str) -> Option<Vec<u8>> {
    let program = program()?;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    std::fs::write(at("tone.wav"), Wav::of(1, 44_100, 2, 16, little(&tone(44_100, 2, 3000))).bytes())
        .unwrap();
    let out = at(&format!("made.{ext}"));
    let mut command = Command::new(program);
    command.args(["-nostdin", "-v", "error", "-bitexact", "-i"]).arg(at("tone.wav"));
    let made = command.args(args.split_whitespace()).arg(&out).output().unwrap();
    assert!(made.status.success(), "{args}: {}", String::from_utf8_lossy(&made.stderr));
    Some(std::fs::read(out).unwrap())
}

fn file(name: &'static str, args: &'static str, ext: &'static str, becomes: Becomes) -> File {
    File { name, bytes: Bytes::Ffmpeg { args, ext, then: |bytes| bytes }, becomes }
}

fn then(mut file: File, change: fn(Vec<u8>) -> Vec<u8>) -> File {
    if let Bytes::Ffmpeg { then, .. } = &mut file.bytes {
        *then = change;
    }
    file
}

fn two_thirds(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() * 2 / 3);
    bytes
}

fn third(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() / 3);
    bytes
}

fn twice(bytes: Vec<u8>) -> Vec<u8> {
    [&bytes[..], &bytes].concat()
}

/// Pictures beside the sound.
const FILM: &str = "-f lavfi -i color=black:s=64x64:r=10:d=3 -map 0:a -map 1:v -c:v mpeg4 -c:a aac";

pub(super) fn files() -> Vec<File> {
    let whole = |format| Stored(format, 3000, &[]);
    vec![
        file("mp2", "-c:a mp2", "mp2", whole("mp2")),
        file("mp3 of a variable rate", "-c:a libmp3lame -q:a 4", "mp3", whole("mp3")),
        file(
            "mp3 of a variable rate without a header",
            "-c:a libmp3lame -q:a 4 -write_xing 0",
            "mp3",
            whole("mp3"),
        ),
        file("wav of IMA ADPCM", "-c:a adpcm_ima_wav", "wav", whole("wav")),
        file("wav of MS ADPCM", "-c:a adpcm_ms -ac 1", "wav", whole("wav")),
        file("wav of mp2", "-c:a mp2", "wav", whole("wav")),
        then(file("the first third of a wav of mp2", "-c:a mp2", "wav", Unusable("wav", Damaged)), third),
        file("wav of six channels", "-ac 6 -c:a pcm_s24le", "wav", whole("wav")),
        file("wav of GSM", "-ac 1 -ar 8000 -c:a libgsm_ms", "wav", Unchecked("wav", 3000)),
        file("AIFF-C of IMA ADPCM", "-c:a adpcm_ima_qt -f aiff", "aifc", whole("aiff")),
        file("CAF of ALAC", "-c:a alac", "caf", whole("caf")),
        file("flac of 24 bits", "-c:a flac -sample_fmt s32", "flac", whole("flac")),
        file("m4a of AAC", "-c:a aac", "m4a", whole("m4a")),
        file("m4a of AAC with its index in front", "-c:a aac -movflags +faststart", "m4a", whole("m4a")),
        file("m4a of AAC in fragments", "-c:a aac -movflags +frag_keyframe+empty_moov", "m4a", whole("m4a")),
        file("m4a of ALAC", "-c:a alac", "m4a", whole("m4a")),
        file("mp4 of flac", "-c:a flac -strict -2", "mp4", whole("m4a")),
        file("mp4 of Opus", "-c:a libopus", "mp4", whole("m4a")),
        file("mp4 of mp3", "-c:a libmp3lame", "mp4", whole("m4a")),
        file("QuickTime of plain samples", "-c:a pcm_s16be", "mov", whole("m4a")),
        file("QuickTime of plain samples of 24 bits", "-c:a pcm_s24be", "mov", Unchecked("m4a", 3000)),
        file("CAF of µ-law", "-c:a pcm_mulaw", "caf", whole("caf")),
        file("CAF of 24 bits", "-c:a pcm_s24be", "caf", whole("caf")),
        file("CAF of IMA ADPCM", "-c:a adpcm_ima_qt", "caf", whole("caf")),
        file("AAC in LATM", "-c:a aac", "latm", Unchecked("latm", 3000)),
        file("Matroska of A-law", "-c:a pcm_alaw", "mka", Unchecked("mka", 3000)),
        file("mp4 with a film", FILM, "mp4", whole("mp4")),
        file("Matroska with a film", FILM, "mkv", whole("mkv")),
        file("m4a of AAC of six channels", "-ac 6 -c:a aac", "m4a", Unchecked("m4a", 3000)),
        then(
            file(
                "the first two thirds of an m4a",
                "-c:a aac -movflags +faststart",
                "m4a",
                Unusable("m4a", Damaged),
            ),
            two_thirds,
        ),
        then(
            file("the first two thirds of an m4a, its index behind", "-c:a aac", "m4a", Refused(Broken)),
            two_thirds,
        ),
        file(
            "a film without sound",
            "-f lavfi -i color=black:s=64x64:r=10:d=1 -map 1:v -c:v mpeg4",
            "mp4",
            Refused(OtherKind),
        ),
        file("AAC in ADTS", "-c:a aac", "aac", whole("aac")),
        then(file("AAC in ADTS behind an ID3v2 tag", "-c:a aac", "aac", whole("aac")), |aac| {
            [id3(5000), aac].concat()
        }),
        then(
            file(
                "AAC in ADTS of six channels, behind an ID3v2 tag",
                "-ac 6 -c:a aac",
                "aac",
                Unchecked("aac", 3000),
            ),
            |aac| [id3(5000), aac].concat(),
        ),
        then(
            file("AAC in ADTS, with a last frame cut", "-c:a aac", "aac", Stored("aac", 3000, &[Damaged])),
            |mut aac| {
                aac.truncate(aac.len() - 2);
                aac
            },
        ),
        then(file("AAC in ADTS joined of two", "-c:a aac", "aac", Stored("aac", 6000, &[])), twice),
        file("ogg of Vorbis", "-c:a libvorbis", "ogg", whole("ogg")),
        file("ogg of flac", "-c:a flac", "ogg", whole("ogg")),
        file("ogg of Opus", "-c:a libopus", "opus", whole("opus")),
        file(
            "ogg of Opus for speech, mono",
            "-ac 1 -c:a libopus -b:a 12k -application voip",
            "opus",
            whole("opus"),
        ),
        file("ogg of Opus of six channels", "-ac 6 -c:a libopus", "opus", Unchecked("opus", 3000)),
        file("ogg of Speex", "-ac 1 -ar 16000 -c:a libspeex", "ogg", Unchecked("spx", 3000)),
        then(file("ogg of Vorbis joined of two", "-c:a libvorbis", "ogg", Stored("ogg", 6000, &[])), twice),
        then(file("ogg of Opus joined of two", "-c:a libopus", "opus", Stored("opus", 6000, &[])), twice),
        then(file("ogg of Vorbis and an ID3v1 tag", "-c:a libvorbis", "ogg", whole("ogg")), |ogg| {
            [ogg, id3v1()].concat()
        }),
        file("WebM of Opus", "-c:a libopus", "webm", whole("webm")),
        file("WebM of Vorbis", "-c:a libvorbis", "webm", whole("webm")),
        file("WebM of Opus, live", "-c:a libopus -f webm -live 1", "webm", whole("webm")),
        file("Matroska of AAC", "-c:a aac", "mka", whole("mka")),
        file("Matroska of flac", "-c:a flac", "mka", whole("mka")),
        file("Matroska of mp3", "-c:a libmp3lame", "mka", whole("mka")),
        then(
            file("the first two thirds of a WebM", "-c:a libopus", "webm", Unusable("webm", Damaged)),
            two_thirds,
        ),
        then(
            file("the first two thirds of an ogg", "-c:a libvorbis", "ogg", Stored("ogg", 1000, &[Damaged])),
            two_thirds,
        ),
        then(
            file(
                "an m4a with its last 20 bytes missing",
                "-c:a aac -movflags +faststart",
                "m4a",
                Stored("m4a", 3000, &[Damaged]),
            ),
            |mut m4a| {
                m4a.truncate(m4a.len() - 20);
                m4a
            },
        ),
        then(file("m4a of AAC and junk", "-c:a aac", "m4a", whole("m4a")), |m4a| {
            [m4a, junk(3000, 6)].concat()
        }),
        file(
            "a film of Theora without sound",
            "-f lavfi -i color=black:s=64x64:r=10:d=1 -map 1:v -c:v libtheora",
            "ogv",
            Refused(OtherKind),
        ),
        file(
            "ogg with a film of Theora",
            "-f lavfi -i color=black:s=64x64:r=10:d=3 -map 0:a -map 1:v -c:v libtheora -c:a libvorbis",
            "ogv",
            whole("ogv"),
        ),
        then(
            file("the first half of a CAF", "-c:a pcm_s16be", "caf", Unusable("caf", Damaged)),
            |mut caf| {
                caf.truncate(caf.len() / 2);
                caf
            },
        ),
        file("AIFF of 24 bits", "-c:a pcm_s24be", "aiff", whole("aiff")),
        file("AU of floats", "-c:a pcm_f32be", "au", whole("au")),
        file("Sony Wave64 of 24 bits", "-c:a pcm_s24le", "w64", whole("w64")),
        file("WMA", "-c:a wmav2", "wma", Unchecked("wma", 3000)),
        file("AC-3", "-c:a ac3", "ac3", Unchecked("ac3", 3000)),
        file("WavPack", "-c:a wavpack", "wv", Unchecked("wv", 3000)),
        file("True Audio", "-c:a tta", "tta", Unchecked("tta", 3000)),
        file("MPEG transport stream of AAC", "-c:a aac -f mpegts", "ts", Unchecked("ts", 3000)),
        file("AVI of mp3", "-c:a libmp3lame", "avi", Unchecked("avi", 3000)),
    ]
}
