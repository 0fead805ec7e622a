//! A job's record as bytes: JSON, which `redis-cli` shows, while the job is live; packed once it has ended, for
//! ended jobs are kept by the million and looked at seldom.

use songmill_core::{Job, JobId};

use crate::connection::StoreError;

/// What a packed record begins with; JSON begins with a brace. A new dictionary needs a new mark.
const PACKED: u8 = 2;
/// What records begin with that were packed before.
const PACKED_BEFORE: u8 = 1;
/// No record is longer, packed or not.
const MOST: usize = 1 << 20;

/// A job as it is kept.
pub(crate) fn encode(job: &Job) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(job).map_err(|source| unreadable(job.id, source))?;
    if !job.state.name().is_final() || json.len() > MOST {
        return Ok(json);
    }
    let mut packed = vec![PACKED];
    packed.extend(lz4_flex::block::compress_prepend_size_with_dict(&json, &dictionary(PACKED, job.id)));
    Ok(if packed.len() < json.len() { packed } else { json })
}

/// What ended records have in common, and then the id, which is part of paths. Packed records can be read only with the
/// very same bytes.
fn dictionary(mark: u8, id: JobId) -> Vec<u8> {
    match mark {
        PACKED_BEFORE => include_bytes!("record/dictionary-1.json").to_vec(),
        _ => [include_bytes!("record/dictionary-2.json"), id.to_string().as_bytes()].concat(),
    }
}

/// The job of this id.
pub(crate) fn decode(id: JobId, record: &[u8]) -> Result<Job, StoreError> {
    let unpacked;
    let json = match record {
        [mark @ (PACKED | PACKED_BEFORE), packed @ ..] => {
            unpacked = unpack(packed, &dictionary(*mark, id)).map_err(|source| unreadable(id, source))?;
            &unpacked[..]
        }
        json => json,
    };
    let mut job: Job = serde_json::from_slice(json).map_err(|source| unreadable(id, source))?;
    job.id = id;
    if job.routes.get(job.route as usize).is_none() {
        use serde::de::Error as _;
        let missing = format!("it is with route {} of {}", job.route.saturating_add(1), job.routes.len());
        return Err(unreadable(id, serde_json::Error::custom(missing)));
    }
    Ok(job)
}

fn unpack(packed: &[u8], dictionary: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    use serde::de::Error as _;
    // The length comes first and is not believed beyond what we write.
    let length = packed.first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    if length > MOST {
        return Err(serde_json::Error::custom(format!("packed record says it has {length} bytes")));
    }
    lz4_flex::block::decompress_size_prepended_with_dict(packed, dictionary)
        .map_err(serde_json::Error::custom)
}

fn unreadable(id: JobId, source: serde_json::Error) -> StoreError {
    StoreError::Record { job: id.to_string(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use songmill_core::job::{Route, StepKind};
    use songmill_core::{State, Timestamp, VendorName};

    use super::*;

    fn job(state: State) -> Job {
        let now = Timestamp::from_millis(1_795_248_085_598);
        let vendor = VendorName::new("replicate").unwrap();
        let route = Route::new(vendor, vec![StepKind::Song]);
        let mut job = Job::new(JobId::derive("default", "a"), vec![route], now, now + Duration::from_secs(9));
        job.custom_id = Some("song-000001".into());
        job.state = state;
        job
    }

    /// With audio whose path has the job's id in it.
    fn completed() -> Job {
        let attempt = serde_json::json!({ "n": 1, "since": 1_795_248_085_622_u64 });
        let asset = serde_json::json!({
            "path": format!("default/song-000001-{}-1.mp3", JobId::derive("default", "a")), "bytes": 12_225,
            "sha256": "e071315b7e7cea9fa4641a6acb969c4d2b8a2fe9e592601fcaa88cdc77281787", "format": "mp3",
            "duration_ms": 1018,
        });
        let state = serde_json::json!({ "completed": {
            "at": 1_795_248_085_999_u64, "origin": { "vendor": "replicate", "attempt": attempt }, "assets": [asset],
        } });
        job(serde_json::from_value(state).unwrap())
    }

    #[test]
    fn live_records_are_text_and_ended_ones_are_packed_and_both_come_back() {
        let live = job(State::Queued);
        let bytes = encode(&live).unwrap();
        assert_eq!(bytes[0], b'{');
        assert_eq!(decode(live.id, &bytes).unwrap(), live);
        let ended = completed();
        let bytes = encode(&ended).unwrap();
        assert_eq!(bytes[0], PACKED);
        assert!(bytes.len() * 2 < serde_json::to_vec(&ended).unwrap().len(), "{}", bytes.len());
        assert_eq!(decode(ended.id, &bytes).unwrap(), ended);
    }

    #[test]
    fn what_was_packed_before_can_still_be_read() {
        let canceled = job(State::Canceled { at: Timestamp::from_millis(1_795_248_085_999) });
        let completed = completed();
        assert_eq!(decode(canceled.id, include_bytes!("record/packed-1.bin")).unwrap(), canceled);
        assert_eq!(decode(completed.id, include_bytes!("record/packed-2.bin")).unwrap(), completed);
    }

    #[test]
    fn what_was_not_packed_by_us_is_refused() {
        let id = JobId::derive("default", "a");
        for bytes in [
            &[PACKED][..],
            &[PACKED, 255, 255, 255, 255, 0],
            &[PACKED, 9, 0, 0, 0, 0x10],
            &[1, 1],
            &[3, 1],
            b"",
        ] {
            assert!(matches!(decode(id, bytes), Err(StoreError::Record { .. })), "{bytes:?}");
        }
    }
}
