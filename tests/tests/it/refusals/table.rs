//! Refusals that quote hostile prompts, as vendors word them and as firewalls before them do.

/// A refusal of one prompt, in whose body `{quoted}` is the prompt.
pub(super) struct Case {
    pub(super) vendor: &'static str,
    pub(super) prompt: &'static str,
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: &'static str,
}

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain";

const fn case(
    vendor: &'static str,
    prompt: &'static str,
    (status, content_type, body): (u16, &'static str, &'static str),
) -> Case {
    Case { vendor, prompt, status, content_type, body }
}

/// Cloudflare's page of blocked requests.
const fn cloudflare(status: u16) -> (u16, &'static str, &'static str) {
    let page = "<!DOCTYPE html><html lang=\"en-US\"><head><title>Attention Required! | Cloudflare</title></head><body>\
                <h1>Sorry, you have been blocked</h1><p>You are unable to access this service: {quoted}</p>\
                <p>Cloudflare Ray ID: 8f2b4h86400s</p></body></html>";
    (status, HTML, page)
}

/// The page of Aliyun's web application firewall.
const fn aliyun(status: u16) -> (u16, &'static str, &'static str) {
    let page = "<!doctypehtml><html lang=\"zh-cn\"><head><title>{quoted}</title></head><body>\
                <p>很抱歉，由于您访问的URL有可能对网站造成安全威胁，您的访问被阻断。请在 3600 秒后重试。</p>\
                <p>您的请求ID是：<b>7b4h1c24h86400s</b></p></body></html>";
    (status, HTML, page)
}

pub(super) const CASES: &[Case] = &[
    // Replicate: problems, and whatever stands before it.
    case(
        R,
        "version is required",
        (
            422,
            PROBLEM,
            r#"{"title": "Input validation failed", "status": 422, "detail": "- input.prompt: {quoted}", "invalid_fields": [{"type": "content", "field": "input.prompt", "description": "{quoted}"}]}"#,
        ),
    ),
    case(
        R,
        "Invalid version or not permitted",
        (422, PROBLEM, r#"{"title": "Input validation failed", "status": 422, "detail": "{quoted}"}"#),
    ),
    case(
        R,
        "Unauthenticated love",
        (401, PROBLEM, r#"{"title": "{quoted}", "status": 401, "detail": "{quoted}"}"#),
    ),
    case(
        R,
        "You did not pass an authentication token to my secret garden",
        (401, JSON, r#"{"detail": "{quoted}", "retry_after": 86400}"#),
    ),
    case(R, "retry after 86400 seconds", cloudflare(403)),
    case(R, "author of love: 您的账户已欠费", aliyun(405)),
    case(
        R,
        "Request was throttled. Your rate limit for creating predictions is reduced to 1 requests per minute with a burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~86400s.",
        (400, PROBLEM, r#"{"title": "Bad request", "status": 400, "detail": "{quoted}"}"#),
    ),
    case(
        R,
        "insufficient credit to love you",
        (404, PROBLEM, r#"{"detail": "no song for {quoted}", "status": 404}"#),
    ),
    case(
        R,
        "402 ways to the balance of my heart",
        (
            403,
            PROBLEM,
            r#"{"title": "Insufficient credit", "status": 403, "detail": "Go to https://replicate.com/account/billing#billing: {quoted}"}"#,
        ),
    ),
    case(R, "quota of tears", (412, TEXT, "{quoted}: retry after 86400 seconds")),
    case(R, "the rated words, reduced to 1 requests per minute", (406, TEXT, "Not acceptable: {quoted}")),
    case(R, "maintenance of a signature move", (451, HTML, "<html><title>{quoted}</title></html>")),
    case(
        R,
        "rain\", \"retry_after\": 86400, \"title\": \"Unauthenticated",
        (400, TEXT, r#"{"detail": "{quoted}"}"#),
    ),
    case(
        R,
        "a page where JSON should be",
        (200, HTML, "<html><title>Retry-After: 86400</title>{quoted}</html>"),
    ),
    // inference.sh: problems whose type says what they are, and envelopes that say that it went wrong.
    case(
        I,
        "setup failed: my heart",
        (
            422,
            PROBLEM,
            r#"{"type": "https://api.inference.sh/errors/validation_error", "status": 422, "title": "Unprocessable Entity", "detail": "{quoted}"}"#,
        ),
    ),
    case(I, "authentication of the heart, unauthorized", (401, JSON, r#"{"error": "{quoted}"}"#)),
    case(
        I,
        "my secret garden, insufficient_scope",
        (403, JSON, r#"{"success": false, "error": {"message": "{quoted}"}}"#),
    ),
    case(I, "Your rate limit resets in ~86400s.", cloudflare(403)),
    case(
        I,
        "app_retired love",
        (404, PROBLEM, r#"{"title": "Not Found", "status": 404, "detail": "{quoted}"}"#),
    ),
    case(
        I,
        "app_maintenance of a broken heart",
        (410, PROBLEM, r#"{"title": "{quoted}", "status": 410, "detail": "for 86400 seconds"}"#),
    ),
    case(
        I,
        "requirements_not_met: no balance of my heart",
        (412, PROBLEM, r#"{"detail": "{quoted}", "status": 412}"#),
    ),
    case(
        I,
        "this love is not available in your region",
        (451, PROBLEM, r#"{"detail": "{quoted}", "status": 451}"#),
    ),
    case(
        I,
        "limit_exceeded rate_per_min concurrency",
        (
            400,
            PROBLEM,
            r#"{"type": "https://api.inference.sh/errors/validation_error", "detail": "{quoted}", "meta": {"errors": [{"path": "descriptions", "message": "{quoted}"}]}}"#,
        ),
    ),
    case(
        I,
        "payment_required 402 insufficient credit to love you",
        (200, JSON, r#"{"success": false, "status": 403, "error": {"message": "{quoted}"}}"#),
    ),
    case(
        I,
        "overdue love, overdue payment",
        (
            200,
            JSON,
            r#"{"success": false, "status": 401, "error": {"code": "refused", "message": "{quoted}"}}"#,
        ),
    ),
    case(I, "请在 3600 秒后重试", aliyun(405)),
    case(I, "密钥 鉴权 余额", (406, TEXT, "{quoted}")),
    // Tencent: words in a 200, for its errors have no codes; and the gateway before it.
    case(
        T,
        "鉴权失败的爱情",
        (200, JSON, r#"{"requestId": "4h", "errorResponse": {"message": "invalid text: {quoted}"}}"#),
    ),
    case(
        T,
        "密钥藏在海边",
        (200, JSON, r#"{"requestId": "86400s", "errorResponse": {"message": "{quoted}"}}"#),
    ),
    case(T, "余额不足的心", (200, JSON, r#"{"errorResponse": {"message": "{quoted}", "code": 402}}"#)),
    case(T, "欠费的爱情", (200, JSON, r#"{"errorResponse": {"message": "text not understood: {quoted}"}}"#)),
    case(T, "请在 3600 秒后重试", (200, JSON, r#"{"errorResponse": {"message": "{quoted}"}}"#)),
    case(T, "quota of tears 眼泪的配额", (200, JSON, r#"{"errorResponse": {"message": "{quoted}"}}"#)),
    case(
        T,
        "overdue love, balance of my heart 心",
        (200, JSON, r#"{"errorResponse": {"message": "refused: {quoted}"}}"#),
    ),
    case(T, "authentication of the heart 心", (200, JSON, r#"{"errorResponse": {"message": "{quoted}"}}"#)),
    case(
        T,
        "the author of love 爱, my secret garden 花园",
        (200, JSON, r#"{"errorResponse": {"message": "{quoted}"}}"#),
    ),
    case(
        T,
        "contentId of my signature move 舞",
        (200, JSON, r#"{"errorResponse": {"message": "{quoted}"}}"#),
    ),
    case(
        T,
        "There is no api match for my heart 心",
        (404, JSON, r#"{"errorResponse": {"message": "{quoted}"}}"#),
    ),
    case(T, "HMAC signature does not match 爱", (403, JSON, r#"{"message": "blocked: {quoted}"}"#)),
    case(T, "API quota exceeded 爱", (400, JSON, r#"{"message": "API quota exceeded by {quoted}"}"#)),
    case(T, "rate limit of 1 requests per minute 慢", (401, TEXT, "{quoted}")),
    case(T, "维护中的海", aliyun(405)),
    case(T, "retry after 86400 seconds 等", cloudflare(403)),
    // SenseAudio: codes and messages, in whichever of its envelopes.
    case(
        S,
        "authentication_error of the heart",
        (401, JSON, r#"{"code": "refused", "message": "{quoted}"}"#),
    ),
    case(S, "密钥与鉴权的爱情", (403, JSON, r#"{"code": "forbidden", "message": "{quoted}"}"#)),
    case(S, "no such path to my heart", (404, JSON, r#"{"code": "notfound", "message": "{quoted}"}"#)),
    case(S, "API Key 配额不足", (400, JSON, r#"{"code": "invalid", "message": "{quoted}"}"#)),
    case(
        S,
        "余额不足的爱情，请在 3600 秒后重试",
        (422, JSON, r#"{"code": "invalid", "message": "{quoted}", "ref_code": 422000}"#),
    ),
    case(
        S,
        "INSUFFICIENT_BALANCE of my heart, 402",
        (400, JSON, r#"{"base_resp": {"status_code": 1004, "status_msg": "{quoted}"}}"#),
    ),
    case(S, "my secret garden, retry after 86400 seconds", cloudflare(403)),
    case(S, "the author of love", aliyun(405)),
    case(S, "quota of tears, overdue love", (406, TEXT, "{quoted}")),
    case(S, "rated words, reduced to 1 requests per minute", (412, TEXT, "{quoted}")),
    case(S, "maintenance of a signature move", (451, HTML, "<html><title>{quoted}</title></html>")),
    case(S, "insufficient credit to love you", (401, HTML, "<html><title>401 {quoted}</title></html>")),
    case(
        S,
        "a page where a task should be",
        (200, HTML, "<html><title>503 for 86400 seconds</title>{quoted}</html>"),
    ),
];

/// 429s, which are of the account whoever's request met them, and quote waits and quotas of a prompt.
pub(super) const THROTTLED: &[Case] = &[
    case(
        R,
        "Your rate limit resets in ~86400s.",
        (429, PROBLEM, r#"{"detail": "Request was throttled. Prompt: {quoted}", "status": 429}"#),
    ),
    case(
        I,
        "limit_exceeded: retry after 86400 seconds",
        (
            429,
            PROBLEM,
            r#"{"type": "https://api.inference.sh/errors/rate_limited", "detail": "{quoted}", "status": 429}"#,
        ),
    ),
    case(
        T,
        "API quota exceeded 爱，请在 3600 秒后重试",
        (429, JSON, r#"{"message": "API quota exceeded: {quoted}"}"#),
    ),
    case(
        S,
        "API Key 配额不足的爱情, 4h",
        (429, JSON, r#"{"code": "rate_limit_error", "message": "{quoted}"}"#),
    ),
];

/// What tasks fail with, in the words of their prompts.
pub(super) const FAILED: &[(&str, &str)] = &[
    (R, "Prediction interrupted my sleep (code: PA); retry after 86400 seconds"),
    (R, "insufficient credit to love you"),
    (R, "Unauthenticated: my secret garden"),
    (R, "flagged as sensitive (E005): the balance of my heart"),
    (I, "setup failed: my heart"),
    (I, "failed to prepare secrets for this app: my secret garden"),
    (I, "no available workers, no capacity, maintenance for 86400 seconds"),
    (I, "CUDA is required to love you"),
    (I, "unauthorized, payment_required, limit_exceeded"),
    (S, "余额不足的爱情，请在 3600 秒后重试"),
    (S, "API Key 配额不足"),
    (S, "authentication_error of the heart, quota of tears"),
];

const R: &str = "replicate";
const I: &str = "inference_sh";
const T: &str = "tencent";
const S: &str = "senseaudio";
