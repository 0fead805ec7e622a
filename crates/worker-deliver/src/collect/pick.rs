//! Which of a task's downloaded outputs are stored, and what the others are.

use std::time::Duration;

use futures_util::stream::{Stream, StreamExt as _};
use songmill_core::job::{Accept, Defect};
use songmill_core::{Extra, ExtraReason, Fault, FaultKind, JobId, Output};
use songmill_store::Lease;

use super::Fetched;
use crate::probe::{NotAudio, NotAudioClass};

/// What a task gave, sorted.
pub(crate) struct Picked {
    /// What is stored.
    pub(super) good: Vec<Fetched>,
    /// What is not: no audio, or audio that is no good.
    pub(super) extra: Vec<Extra>,
    /// Whether audio is among that.
    pub(super) is_incomplete: bool,
}

/// A file that was downloaded.
pub(super) enum Piece {
    Audio(Box<Fetched>),
    /// A picture, a score or the like, and what it is.
    Other(String),
}

/// The lease ran out before the audio was stored: somebody else has the job.
#[derive(Debug, thiserror::Error)]
#[error("the lease of job {0} ran out before its audio was stored")]
pub(crate) struct LeaseLost(pub(super) JobId);

/// Why an output is not brought in.
pub(super) enum Stopped {
    Fault(Fault),
    /// It is there, and not what it should be.
    Rejected(Fault, Defect),
    LeaseLost(LeaseLost),
}

impl Stopped {
    /// Whether the audio is no good or gone, whatever is tried.
    fn is_for_good(&self, may_come: impl Fn(FaultKind) -> bool) -> bool {
        match self {
            Self::Rejected(..) => true,
            Self::Fault(fault) => match fault.kind {
                FaultKind::Garbled => true,
                FaultKind::Locked => false,
                kind => !may_come(kind),
            },
            Self::LeaseLost(_) => false,
        }
    }
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<NotAudio> for Stopped {
    /// Our own disk is no fault of the file's; a page, or half of a file, may be the whole one in a moment.
    fn from(not: NotAudio) -> Self {
        let fault = |kind, code| Fault::new(kind, code, not.to_string());
        let defect = match not.class() {
            NotAudioClass::OurDisk => return fault(FaultKind::Locked, "storage_refused").into(),
            NotAudioClass::NotReady | NotAudioClass::Broken => Defect::NotReady,
            NotAudioClass::OtherKind => Defect::Unusable,
        };
        Self::Rejected(fault(FaultKind::Unknown, "not_audio"), defect)
    }
}

/// Picks what is stored. Where not all of it need be good, what cannot be had for a fault of which more `may_come` is
/// waited for, and there must be a song and not only parts of one.
pub(super) async fn pick(
    mut fetching: impl Stream<Item = Result<Piece, Stopped>> + Unpin,
    outputs: &[Output],
    accept: Accept,
    may_come: impl Fn(FaultKind) -> bool,
) -> Result<Picked, Stopped> {
    let mut picked = Picked { good: Vec::new(), extra: Vec::new(), is_incomplete: false };
    let (mut bad, mut other) = (None, None);
    for output in outputs {
        let Some(piece) = fetching.next().await else { break };
        let mut leave = |reason| {
            picked.extra.push(Extra::new(output.source.as_str(), output.part.as_deref(), reason));
        };
        match piece {
            Ok(Piece::Audio(fetched)) => picked.good.push(*fetched),
            Ok(Piece::Other(what)) => {
                leave(ExtraReason::NotAudio);
                other = other.or(Some(what));
            }
            Err(stopped) if !accept.is_whole() && stopped.is_for_good(&may_come) => {
                leave(ExtraReason::Unusable);
                picked.is_incomplete = true;
                bad = bad.or(Some(stopped));
            }
            Err(stopped) => return Err(stopped),
        }
    }
    let has_song = picked.good.iter().any(|fetched| fetched.output.part.is_none());
    match (bad, other) {
        (Some(stopped), _) if !has_song => Err(stopped),
        (None, Some(what)) if picked.good.is_empty() => {
            let fault = Fault::new(FaultKind::Unknown, "not_audio", format!("file is not audio but {what}"));
            Err(Stopped::Rejected(fault, Defect::Unusable))
        }
        _ => Ok(picked),
    }
}

/// Whoever has the job by now may have stored it: what they wrote down must stay what is there.
pub(super) fn still_ours(lease: &Lease) -> Result<(), Stopped> {
    if lease.is_held_for(Duration::ZERO) { Ok(()) } else { Err(Stopped::LeaseLost(LeaseLost(lease.job.id))) }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::probe::{End, Probed};
    use crate::sidecar::Sound;

    fn audio(part: Option<&str>) -> Result<Piece, Stopped> {
        Ok(Piece::Audio(Box::new(Fetched {
            file: tempfile::NamedTempFile::new().unwrap().into_temp_path(),
            place: 0,
            output: output(part),
            probed: Probed {
                format: "mp3",
                duration_ms: 1,
                checked: true,
                end: End::Whole,
                sound: Sound::default(),
            },
            flags: vec![],
            original: String::new(),
            format: "mp3",
            bytes: 1,
            sha256: String::new(),
        })))
    }

    fn output(part: Option<&str>) -> Output {
        Output { part: part.map(str::to_owned), ..Output::at("https://a.example") }
    }

    fn fault(kind: FaultKind) -> Stopped {
        Stopped::Fault(Fault::new(kind, "test", ""))
    }

    fn rejected() -> Stopped {
        Stopped::Rejected(Fault::new(FaultKind::Unknown, "audio_unfit", ""), Defect::Unusable)
    }

    async fn picked(
        pieces: Vec<Result<Piece, Stopped>>,
        accept: Accept,
        may_come: bool,
    ) -> Result<Picked, Stopped> {
        let outputs = vec![output(None); pieces.len()];
        pick(stream::iter(pieces), &outputs, accept, |_| may_come).await
    }

    /// The parts that are taken of these, none for a song, where more may or may not come.
    async fn taken(pieces: Vec<Result<Piece, Stopped>>, may_come: bool) -> Option<Vec<Option<String>>> {
        let picked = picked(pieces, Accept::Partial, may_come).await.ok()?;
        assert!(
            picked.is_incomplete && picked.extra.iter().all(|extra| extra.reason == ExtraReason::Unusable)
        );
        Some(picked.good.into_iter().map(|fetched| fetched.output.part).collect())
    }

    #[tokio::test]
    async fn what_is_good_is_taken_without_what_is_not_and_waits_for_what_may_come() {
        use FaultKind::{Garbled, Locked, Rejected, Throttled, Unavailable, Unknown};
        for may_come in [true, false] {
            let with = |stopped| taken(vec![audio(None), Err(stopped), audio(Some("vocal"))], may_come);
            let (all_good, waits) = (Some(vec![None, Some("vocal".to_owned())]), None);
            assert_eq!(with(rejected()).await, all_good);
            assert_eq!(with(fault(Garbled)).await, all_good);
            assert_eq!(with(fault(Locked)).await, waits, "ours to mend");
            for kind in [Rejected, Unavailable, Throttled, Unknown] {
                assert_eq!(with(fault(kind)).await.is_some(), !may_come, "{kind:?}");
            }
            assert_eq!(with(Stopped::LeaseLost(LeaseLost(JobId::derive("a", "b")))).await, waits);
            let voice = vec![Err(rejected()), audio(Some("vocal"))];
            assert_eq!(taken(voice, may_come).await, None, "a voice is no song");
            assert_eq!(taken(vec![Err(rejected()), Err(rejected())], may_come).await, None);
        }
        let whole = picked(vec![audio(None), audio(Some("vocal"))], Accept::Partial, false).await;
        assert!(whole.is_ok_and(|all| all.good.len() == 2 && !all.is_incomplete));
    }

    #[tokio::test]
    async fn a_picture_beside_a_song_is_listed_and_alone_it_is_no_song() {
        let picture = || Ok(Piece::Other("a PNG picture".into()));
        let beside = picked(vec![picture(), audio(None)], Accept::Whole, false).await.ok().unwrap();
        assert_eq!((beside.good.len(), beside.is_incomplete), (1, false));
        assert_eq!(beside.extra[0].reason, ExtraReason::NotAudio);
        let alone = picked(vec![picture()], Accept::Whole, false).await;
        let Err(Stopped::Rejected(fault, Defect::Unusable)) = alone else { panic!() };
        assert!(fault.message.contains("PNG"), "{fault}");
        assert!(picked(vec![audio(None), Err(rejected())], Accept::Whole, false).await.is_err());
    }
}
