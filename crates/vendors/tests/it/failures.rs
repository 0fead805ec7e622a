//! What failed tasks say at each vendor, row by row, as it comes over the wire.

use http::Response;
use serde_json::{Value, json};
use songmill_core::{Report, Timestamp};
use songmill_vendors::inference_sh::{self, InferenceSh};
use songmill_vendors::replicate::{self, Replicate};
use songmill_vendors::senseaudio::{self, SenseAudio};
use songmill_vendors::tencent::{self, Tencent};
use songmill_vendors::{Next, Secret, Vendor};

use crate::bytes::*;

/// What a vendor's poll makes of a body; one more request gets the same body.
fn means(vendor: &dyn Vendor, body: &Value) -> String {
    let id = task_id("t1");
    let answer = || -> Response<_> { reply(200, body.to_string()) };
    let next = match vendor.poll(&task(&id)).read(answer()) {
        Next::Then(more) => more.read(answer()),
        next => next,
    };
    match end(next).unwrap() {
        Report::Failed(fault) => {
            let wait = fault.retry_after().map(|wait| format!(" after {} s", wait.as_secs()));
            format!("{} {}{}", fault.kind.as_str(), fault.code, wait.unwrap_or_default())
        }
        report => panic!("{report:?}"),
    }
}

#[track_caller]
fn check(vendor: &dyn Vendor, body: impl Fn(&str) -> Value, rows: &[(&str, &str)]) {
    for (words, meaning) in rows {
        assert_eq!(means(vendor, &body(words)), *meaning, "{words}");
    }
}

const AGAIN: &str = "unavailable task_failed";
const INTERRUPTED: &str = "unavailable task_interrupted";
const MODERATED: &str = "rejected content_refused";
const BAD: &str = "rejected task_failed";

/// What every vendor's tasks may say.
const EVERYWHERE: &[(&str, &str)] = &[
    ("CUDA out of memory. Tried to allocate 1.2 GiB", AGAIN),
    ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0)", AGAIN),
    ("RuntimeError: CUDA error: device-side assert triggered", AGAIN),
    ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR", AGAIN),
    ("Failed to upload output file: 503 Service Unavailable", AGAIN),
    ("The prediction failed for an unknown reason", AGAIN),
    ("failed for an unknown reason", AGAIN),
    ("generation timed out after 600 s", AGAIN),
    ("Connection reset by peer", AGAIN),
    ("health check failed", AGAIN),
    ("Internal error", AGAIN),
    ("internal server error", AGAIN),
    ("worker exited with exit code 137", AGAIN),
    ("系统繁忙，请稍后重试", AGAIN),
    ("生成超时", AGAIN),
    ("words that nobody has seen before", AGAIN),
    ("failed while singing 'sensitive words'", AGAIN),
    ("sensitive words", MODERATED),
    ("lyrics contain sensitive words", MODERATED),
    ("NSFW content detected", MODERATED),
    ("Your prompt was flagged by our moderation system", MODERATED),
    ("This request violates our content policy", MODERATED),
    ("歌词包含敏感词", MODERATED),
    ("内容违规", MODERATED),
    ("内容审核未通过", MODERATED),
    ("文本涉黄", MODERATED),
    ("ValueError: temperature must be greater than 0", BAD),
    ("1 validation error for Input", BAD),
    ("无效的歌词格式", BAD),
    ("参数错误", BAD),
];

#[test]
fn failed_predictions_of_replicate_row_by_row() {
    let vendor = Replicate::new(replicate::Settings { token: Secret::new("r8"), ..Default::default() });
    let body = |words: &str| json!({ "id": "t1", "status": "failed", "error": words });
    check(&vendor, body, EVERYWHERE);
    check(
        &vendor,
        body,
        &[
            ("Prediction interrupted; please retry (code: PA)", INTERRUPTED),
            ("Director: unexpected error handling prediction (E8765)", INTERRUPTED),
            ("Director: unexpected error handling prediction (E9828)", INTERRUPTED),
            ("E1000", INTERRUPTED),
            ("E6716: timeout starting", INTERRUPTED),
            ("x (E8367)", INTERRUPTED),
            ("x (E9243)", INTERRUPTED),
            ("x (E9825)", INTERRUPTED),
            ("CUDA out of memory (E1001)", AGAIN),
            ("E1001", AGAIN),
            ("The webhook's address is empty (E4875)", BAD),
            (
                "The input or output was flagged as sensitive. Please try again with different inputs. (E005)",
                MODERATED,
            ),
            ("Must provide either prompt or input_audio", BAD),
            ("Must provide `input_audio` if continuation is `True`.", BAD),
            (
                "`stereo-large` and `large` model does not support melody input. Set `model_version='melody-large'`",
                BAD,
            ),
            ("Multi-Band Diffusion is only available with non-stereo models.", BAD),
        ],
    );
    let silent = json!({ "id": "t1", "status": "failed", "error": null });
    assert_eq!(means(&vendor, &silent), AGAIN);
}

#[test]
fn failed_tasks_of_inference_sh_row_by_row() {
    let vendor = InferenceSh::new(inference_sh::Settings { key: Secret::new("inf"), ..Default::default() });
    let body = |words: &str| json!({ "id": "t1", "status": 11, "status_text": "failed", "error": words });
    check(&vendor, body, EVERYWHERE);
    check(
        &vendor,
        body,
        &[
            ("task interrupted, please retry", INTERRUPTED),
            ("task could not be dispatched, please retry", INTERRUPTED),
            ("task could not be processed after multiple attempts, please retry", INTERRUPTED),
            ("task expired while waiting for available capacity, please retry", INTERRUPTED),
            ("no active workers with matching resources", "unavailable no_capacity after 600 s"),
            (
                "no available workers — capacity reserved for higher-priority apps",
                "unavailable no_capacity after 600 s",
            ),
            (
                "failed to prepare secrets for this app, please check your secret configuration",
                "unavailable requirements_not_met",
            ),
            ("session worker busy too long", INTERRUPTED),
            ("session worker offline", INTERRUPTED),
            ("session expired or not found", INTERRUPTED),
            ("setup failed: No such file or directory: demucs/ckpt", "unavailable vendor_setup_failed"),
            ("CUDA is required for song generation", "unavailable vendor_setup_failed"),
            ("Model checkpoint not found at /ckpt", "unavailable vendor_setup_failed"),
            ("auto_prompt_audio_type X not found", BAD),
            ("gen_type X not supported", BAD),
            ("Cannot stride by more than max generation duration.", BAD),
        ],
    );
    assert_eq!(means(&vendor, &body("")), AGAIN);
    let refused = json!({ "id": "t1", "status": 13, "error": "run admission refused" });
    assert_eq!(means(&vendor, &refused), "locked balance_empty");
}

#[test]
fn failed_tasks_of_senseaudio_row_by_row() {
    let vendor = SenseAudio::new(senseaudio::Settings { key: Secret::new("sk"), ..Default::default() });
    let body = |words: &str| json!({ "task_id": "t1", "status": "FAILED", "fail_reason": words });
    check(&vendor, body, EVERYWHERE);
    for silent in [
        json!({ "task_id": "t1", "status": "FAILED" }),
        json!({ "task_id": "t1", "status": "FAILED", "fail_reason": "" }),
        json!({ "task_id": "t1", "status": "FAILED", "response": null }),
    ] {
        assert_eq!(means(&vendor, &silent), AGAIN);
    }
    let elsewhere = json!({ "task_id": "t1", "status": "FAILED", "message": "sensitive words" });
    assert_eq!(means(&vendor, &elsewhere), MODERATED);
}

#[test]
fn failed_jobs_of_tencent_row_by_row() {
    let settings = tencent::Settings {
        secret_id: Secret::new("AKID-ours"),
        secret_key: Secret::new("very-secret"),
        content_id: "store-1".to_owned(),
        ..Default::default()
    };
    let vendor = Tencent::new(settings, || Timestamp::from_millis(1));
    let job = |job: Value| json!({ "requestId": "r", "getJobResponse": { "job": job } });
    check(&vendor, |words| job(json!({ "id": "t1", "state": 4, "message": words })), EVERYWHERE);
    check(&vendor, |words| job(json!({ "id": "t1", "state": "ERROR", "errorMessage": words })), EVERYWHERE);
    // The text that was sent stands in the job, and says nothing about why it failed.
    let echo = json!({ "id": "t1", "state": 4, "inputs": [{ "sourceData": "sensitive words, 敏感词" }] });
    assert_eq!(means(&vendor, &job(echo)), AGAIN);
}
