//! The API gateway's own signature, where it wants one: HMAC-SHA1 over date and source.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};
use sha1::Sha1;
use songmill_core::Timestamp;

use super::{DateHeader, Settings};

/// Signs a request; does nothing when no gateway key is set.
pub(super) fn sign(request: &mut Request<Bytes>, settings: &Settings, now: Timestamp) {
    if settings.gateway_id.is_empty() || settings.gateway_key.is_empty() {
        return;
    }
    let name = match settings.gateway_date {
        DateHeader::Date => "date",
        DateHeader::XDate => "x-date",
    };
    let date = http_date(now);
    let signature = signature(settings.gateway_key.expose(), name, &date, &settings.gateway_source);
    let authorization = format!(
        "hmac id=\"{}\", algorithm=\"hmac-sha1\", headers=\"{name} source\", signature=\"{signature}\"",
        settings.gateway_id.expose()
    );
    let headers = request.headers_mut();
    for (name, value) in [
        (HeaderName::from_static(name), date),
        (HeaderName::from_static("source"), settings.gateway_source.clone()),
        (AUTHORIZATION, authorization),
    ] {
        // What cannot stand in a header is left out: the gateway refuses the request and the operator is told.
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(name == AUTHORIZATION);
            headers.insert(name, value);
        }
    }
}

fn signature(key: &str, name: &str, date: &str, source: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{name}: {date}\nsource: {source}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// As RFC 9110 has it: `Mon, 02 Jan 2006 15:04:05 GMT`.
fn http_date(now: Timestamp) -> String {
    let secs = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_second(secs).unwrap_or(jiff::Timestamp::MAX);
    moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_gateways() {
        let date = http_date(Timestamp::from_millis(1_136_214_245_000));
        assert_eq!(date, "Mon, 02 Jan 2006 15:04:05 GMT");
        assert_eq!(signature("gw-key", "date", &date, "uin_demo"), "yGEAA8lSAgy3fg586xsSKQ5kQHY=");
    }
}
