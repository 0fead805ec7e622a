//! ffmpeg as a judge: it decodes what no decoder here knows, where it is installed.

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::hearing::{Hearing, LONGEST_S};
use super::pcm::{Order, Sample};
use super::{End, Probed};

/// A program that decodes audio.
#[derive(Clone, Debug)]
pub struct Ffmpeg {
    program: String,
    timeout: Duration,
}

/// What it decoded.
pub(super) struct Judgement {
    pub(super) probed: Probed,
    /// Whether it complained of nothing.
    pub(super) clean: bool,
}

/// Why there is no judgement, or a bad one.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It cannot judge: it does not run, takes too long, or has no decoder either.
    Unable(String),
    /// It finds nothing that can be played.
    Nothing(String),
}

/// What it may take a file for, and the extension of such files. Playlists and whatever else opens other files is not
/// among them.
const KINDS: [(&str, &str); 34] = [
    ("aac", "aac"),
    ("ac3", "ac3"),
    ("aiff", "aiff"),
    ("amr", "amr"),
    ("ape", "ape"),
    ("asf", "wma"),
    ("au", "au"),
    ("avi", "avi"),
    ("caf", "caf"),
    ("dsf", "dsf"),
    ("dts", "dts"),
    ("eac3", "ac3"),
    ("flac", "flac"),
    ("flv", "flv"),
    ("iff", "dff"),
    ("loas", "latm"),
    ("matroska", "mka"),
    ("mov", "m4a"),
    ("mp3", "mp3"),
    ("mpc", "mpc"),
    ("mpc8", "mpc"),
    ("mpeg", "mpg"),
    ("mpegts", "ts"),
    ("nistsphere", "sph"),
    ("ogg", "ogg"),
    ("qoa", "qoa"),
    ("rm", "rm"),
    ("shn", "shn"),
    ("tak", "tak"),
    ("tta", "tta"),
    ("voc", "voc"),
    ("w64", "w64"),
    ("wav", "wav"),
    ("wv", "wv"),
];
/// Containers that say how long they play.
const MEASURED: [&str; 6] = ["m4a", "wma", "wv", "ape", "tta", "wav"];
/// By how much a container's figure may differ from what is decoded.
const SLACK_MS: u64 = 100;
/// What is read of its messages.
const WORDS: u64 = 64 << 10;
/// The most memory it may take at once.
const MEMORY: &str = "536870912";
/// Bytes that are read at a time.
const PIECE: usize = 32 << 10;

impl Ffmpeg {
    /// The program of this name, if it runs; none where it has no name.
    pub async fn find(program: &str, timeout: Duration) -> Option<Self> {
        if program.is_empty() {
            return None;
        }
        let mut command = tokio::process::Command::new(program);
        command.arg("-version").stdin(Stdio::null()).kill_on_drop(true);
        let asked = tokio::time::timeout(STARTS, command.output()).await.ok()?.ok()?;
        asked.status.success().then(|| Self { program: program.to_owned(), timeout })
    }

    /// Decodes a file. Blocks.
    pub(super) fn decode(&self, path: &Path, format: Option<&'static str>) -> Result<Judgement, Refusal> {
        let unable = |error: io::Error| Refusal::Unable(error.to_string());
        let mut child = self.command(path).spawn().map_err(unable)?;
        let (Some(samples), Some(words)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Refusal::Unable("it has no pipes".into()));
        };
        let words = thread::spawn(move || {
            let mut said = Vec::new();
            let mut pipe = BufReader::new(words);
            // What is said beyond that is read as well, or it would wait to say it.
            let read = (&mut pipe).take(WORDS).read_to_end(&mut said);
            // Titles are in any encoding.
            let said = String::from_utf8_lossy(&said).into_owned();
            read.and_then(|_| io::copy(&mut pipe, &mut io::sink())).map(|_| said)
        });
        let child = Arc::new(Mutex::new(child));
        let (over, waits) = channel::<()>();
        let guard = thread::spawn({
            let (child, timeout) = (child.clone(), self.timeout);
            move || match waits.recv_timeout(timeout) {
                Err(RecvTimeoutError::Timeout) => end(&child).is_ok(),
                Ok(()) | Err(RecvTimeoutError::Disconnected) => false,
            }
        });
        let mut hearing = Hearing::default();
        let heard = listen(samples, &mut hearing);
        drop(over);
        let late = guard.join().unwrap_or(true);
        end(&child).map_err(unable)?;
        let words = words.join().ok().and_then(Result::ok).unwrap_or_default();
        if late {
            return Err(Refusal::Unable(format!("not done after {} s", self.timeout.as_secs())));
        }
        if hearing.is_empty() || heard.is_err() {
            let why = words.lines().last().unwrap_or("it says nothing").chars().take(200).collect();
            let unknown = complaints(&words).any(|line| UNKNOWN.iter().any(|text| line.contains(text)));
            return Err(if unknown { Refusal::Unable(why) } else { Refusal::Nothing(why) });
        }
        if hearing.is_too_long() {
            return Err(Refusal::Unable(format!("it plays for more than {LONGEST_S} s")));
        }
        let named = || KINDS.iter().find(|(name, _)| Some(*name) == input(&words)).map(|(_, format)| *format);
        let Some(format) = format.or_else(named) else {
            return Err(Refusal::Nothing("its kind is not known".into()));
        };
        let duration_ms = hearing.played_ms();
        let lacking = length(&words).map_or(0, |all| all.saturating_sub(duration_ms));
        let end = match lacking {
            ms if ms > SLACK_MS && MEASURED.contains(&format) => End::Short(ms),
            _ => End::Whole,
        };
        let clean = !complaints(&words).any(|line| COMPLAINTS.iter().any(|word| line.contains(word)));
        let probed = Probed { format, duration_ms, checked: true, end, sound: hearing.heard() };
        Ok(Judgement { probed, clean })
    }

    fn command(&self, path: &Path) -> Command {
        let kinds: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        let mut file = std::ffi::OsString::from("file:");
        file.push(path);
        let mut command = Command::new(&self.program);
        command.args(["-nostdin", "-hide_banner", "-nostats", "-loglevel", "info", "-max_alloc", MEMORY]);
        // The file reaches nothing else: neither networks nor other files.
        command.args(["-protocol_whitelist", "file", "-format_whitelist", &kinds.join(",")]);
        command.arg("-i").arg(file).args(["-map", "0:a:0", "-vn", "-sn", "-dn"]);
        command.args(["-t", &(LONGEST_S + 1).to_string(), "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// How long the program may take to say its version.
const STARTS: Duration = Duration::from_secs(10);
/// What it says where it knows no more than we do.
const UNKNOWN: [&str; 3] = ["not found for input stream", "Unknown decoder", "no decoder could be found"];

/// Words of a line that is a complaint.
const COMPLAINTS: [&str; 3] = ["rror", "nvalid", "corrupt"];

impl Judgement {
    /// What may be believed of it where our own decoders give up: that all of it was decoded only if it was clean.
    pub(super) fn believed(self) -> Probed {
        let end = match self.probed.end {
            End::Whole if !self.clean => End::Open,
            end => end,
        };
        Probed { end, ..self.probed }
    }
}

/// Ends the program, if it has not ended by itself.
fn end(child: &Mutex<Child>) -> io::Result<()> {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    child.kill()?;
    child.wait().map(drop)
}

/// Listens to what it decodes: AU with samples of 32 bits.
fn listen(mut pipe: impl Read, hearing: &mut Hearing) -> io::Result<()> {
    let mut head = [0; 24];
    pipe.read_exact(&mut head)?;
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (offset, rate, channels) = (number(4), number(16), number(20) as usize);
    if !head.starts_with(b".snd") || !(24..4096).contains(&offset) || !(1..=256).contains(&channels) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    io::copy(&mut (&mut pipe).take(u64::from(offset) - 24), &mut io::sink())?;
    let frame = 4 * channels;
    let (mut bytes, mut samples) = (Vec::new(), Vec::new());
    while !hearing.is_too_long() {
        bytes.clear();
        (&mut pipe).take((PIECE / frame * frame).max(frame) as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        Sample::F32(Order::Big).read(&bytes, &mut samples);
        hearing.hear(&samples, channels, rate);
    }
    Ok(())
}

/// Lines that are not about what is in the file: those are indented, and hold words of others, as titles.
fn complaints(words: &str) -> impl Iterator<Item = &str> {
    words.lines().filter(|line| !line.starts_with([' ', '\t']) && !line.starts_with("Input #"))
}

/// What it takes the file for, by its own words.
fn input(words: &str) -> Option<&str> {
    words.lines().find_map(|line| line.strip_prefix("Input #0, "))?.split([',', ' ']).next()
}

/// How long the file says it plays, in ms, unless that is a guess.
fn length(words: &str) -> Option<u64> {
    if complaints(words).any(|line| line.contains("Estimating duration")) {
        return None;
    }
    // A title may speak of durations as well, but is indented further.
    let text = words.lines().find_map(|line| line.strip_prefix("  Duration: "))?.split(',').next()?;
    let mut parts = text.trim().splitn(3, ':');
    let (hours, minutes) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u64>().ok()?);
    let seconds = parts.next()?.parse::<f64>().ok()?;
    Some((hours * 3600 + minutes * 60) * 1000 + (seconds * 1000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_words_say_what_the_file_is_and_how_long_it_plays() {
        let words =
            "Input #0, mov,mp4,m4a,3gp, from 'file:/x':\n  Duration: 00:01:02.50, start: 0.0, bitrate: 1";
        assert_eq!((input(words), length(words)), (Some("mov"), Some(62_500)));
        assert_eq!(length("  Duration: N/A, start"), None);
        let titled = "Input #0, mp3, from 'file:/corrupt':\n  Metadata:\n    title           : Error, Duration: 99:00:00.00\n                    : invalid\n  Duration: 00:00:02.00, start: 0";
        assert_eq!(length(titled), Some(2000));
        assert!(complaints(titled).all(|line| COMPLAINTS.iter().all(|word| !line.contains(word))));
        let complaining = format!("{titled}\n[mp3 @ 0x1] Header corrupt");
        assert!(complaints(&complaining).any(|line| line.contains("corrupt")));
        assert_eq!(length(&format!("Estimating duration from bitrate\n{words}")), None);
        assert_eq!(input("x: Invalid data found"), None);
    }

    #[test]
    fn what_is_no_au_is_not_listened_to() {
        for bytes in [&b""[..], &[0; 24], b".snd\0\0\0\x18\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\0"] {
            assert!(listen(bytes, &mut Hearing::default()).is_err());
        }
    }
}
