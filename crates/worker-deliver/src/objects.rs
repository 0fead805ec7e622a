//! Objects in buckets that vendors write to.
//!
//! They are asked for as addresses are, with requests that are signed here: any text is a key of a bucket, `a//b`, `/a`
//! and `a/../b` too, and clients for buckets take paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use songmill_core::{Fault, FaultKind};
use songmill_egress::{AddressPolicy, Client, Resolve, Resolver, Response, SystemNames, Timeouts, tls};

use self::sign::{Signed, Signer};
use crate::fetch::{Limits, Rest, Target, WINDOW, brings_bytes, get, retry_after, unreachable};
use crate::incoming::Incoming;
use crate::settings::{ObjectSettings, Settings};

mod sign;

/// Reads objects from the buckets in the settings.
pub(crate) struct Objects {
    buckets: BTreeMap<String, Bucket>,
    client: Client,
    limits: Limits,
}

struct Bucket {
    /// What stands before the keys of its objects: `https://bucket.host/`.
    base: String,
    signer: Option<Signer>,
    allow_http: bool,
}

/// How much of a refusal is read.
const REFUSAL: usize = 64 << 10;
/// What stands for itself in the path of a signed request; all else is encoded, and nothing is put in order.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

impl Objects {
    pub(crate) fn new(settings: &Settings) -> Result<Self, rustls::Error> {
        Ok(Self::with(settings, Arc::new(SystemNames), tls()?))
    }

    fn with(settings: &Settings, names: Arc<dyn Resolve>, tls: ClientConfig) -> Self {
        // The operator says where buckets are: where that leads is no vendor's doing.
        let resolver = Resolver::new(AddressPolicy { allow_http: true, allow_private: true }, names);
        let timeouts = Timeouts { connect: settings.connect_timeout.get(), silence: WINDOW };
        let buckets = settings.objects.iter().map(|(name, bucket)| (name.clone(), Bucket::new(bucket)));
        Self {
            buckets: buckets.collect(),
            client: Client::new(resolver, &settings.egress, tls, timeouts),
            limits: Limits::new(settings, WINDOW),
        }
    }

    /// Reads an object into an empty file.
    pub(crate) async fn fetch(&self, store: &str, key: &str, into: &mut Incoming) -> Result<(), Fault> {
        let locked = |code, words: String| Fault::new(FaultKind::Locked, code, words);
        let Some(bucket) = self.buckets.get(store) else {
            let words = format!("deliver.objects.{store} is not set: where does the vendor put its audio?");
            return Err(locked("store_unknown", words));
        };
        if key.is_empty() {
            return Err(locked("address_refused", "the vendor names an object without a key".into()));
        }
        let uri = bucket.uri(key).ok_or_else(|| {
            locked("store_refused", format!("deliver.objects.{store}.endpoint leads nowhere"))
        })?;
        if uri.scheme_str() != Some("https") && !bucket.allow_http {
            let words =
                format!("deliver.objects.{store}.endpoint is not https: set allow_http, if it shall be");
            return Err(locked("store_refused", words));
        }
        let is_plain = !key.split('/').any(|part| matches!(part, "" | "." | ".."));
        let object = Object { client: &self.client, signer: bucket.signer.as_ref(), uri, is_plain };
        self.limits.fetch(&object, into).await
    }
}

impl Bucket {
    fn new(settings: &ObjectSettings) -> Self {
        let ObjectSettings { region, access_key_id, secret_access_key, .. } = settings;
        let signer = (!access_key_id.is_empty()).then(|| Signer {
            region: region.clone(),
            access_key_id: access_key_id.clone(),
            secret_access_key: secret_access_key.clone(),
        });
        Self { base: base(settings), signer, allow_http: settings.allow_http }
    }

    fn uri(&self, key: &str) -> Option<Uri> {
        let uri: Uri = format!("{}{}", self.base, utf8_percent_encode(key, ENCODED)).parse().ok()?;
        uri.host().filter(|host| !host.is_empty())?;
        matches!(uri.scheme_str(), Some("http" | "https")).then_some(uri)
    }
}

/// Virtual-hosted, the bucket stands in the host.
fn base(bucket: &ObjectSettings) -> String {
    let (endpoint, name) = (bucket.endpoint.trim().trim_end_matches('/'), &bucket.bucket);
    match (bucket.path_style, endpoint.split_once("://")) {
        (false, Some((scheme, host))) => format!("{scheme}://{name}.{host}/"),
        _ => format!("{endpoint}/{name}/"),
    }
}

/// An object of a bucket.
struct Object<'a> {
    client: &'a Client,
    signer: Option<&'a Signer>,
    uri: Uri,
    /// Whether its key is one that everybody on the way leaves as it is.
    is_plain: bool,
}

impl Target for Object<'_> {
    async fn open(&self, rest: Option<Rest<'_>>) -> Result<Response, Fault> {
        let mut headers = HeaderMap::new();
        if let Some(signer) = self.signer {
            let (host, path) = (host(&self.uri), self.uri.path());
            let Signed { authorization, date, content } = signer.sign(&host, path, jiff::Timestamp::now());
            for (name, value) in [
                (header::HOST, host),
                (header::AUTHORIZATION, authorization),
                (header::HeaderName::from_static("x-amz-date"), date),
                (header::HeaderName::from_static("x-amz-content-sha256"), content.to_owned()),
            ] {
                let unfit = |_| refused("access_key_id or region cannot be sent".into());
                let mut value = HeaderValue::try_from(value).map_err(unfit)?;
                // It is not for logs.
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        let reply = get(self.client, self.uri.clone(), headers, rest).await?;
        if brings_bytes(&reply, rest.is_some()) { Ok(reply) } else { Err(self.sorted(reply).await) }
    }
}

impl Object<'_> {
    /// What a bucket says that it does not give an object. That it has none by this key is all that is certain of the
    /// song; everything else is settings, which a new song would not mend.
    async fn sorted(&self, mut reply: Response) -> Fault {
        let (status, wait) = (reply.head.status, retry_after(&reply.head.headers));
        let code = code(&mut reply).await;
        let words = format!("the bucket answers {status} {code}");
        match (status.as_u16(), code.as_str()) {
            (404, "NoSuchBucket") => refused("the bucket does not exist".into()),
            (404 | 410, _) if self.is_plain => {
                Fault::new(FaultKind::Rejected, "output_expired", "the object is not in the bucket")
            }
            (404 | 410, _) => refused(format!(
                "the object is not in the bucket, or something on the way puts its key in order: {status} {code}"
            )),
            (429, _) => Fault::new(FaultKind::Throttled, "rate_limited", words).after(wait),
            (400, "RequestTimeout" | "") | (307, _) => unreachable(words).after(wait),
            (301 | 302 | 308 | 400 | 401 | 403 | 405, _) => refused(words),
            _ => unreachable(words).after(wait),
        }
    }
}

/// The code of a refusal, where it is one of S3: `<Error><Code>NoSuchKey</Code>…`.
async fn code(reply: &mut Response) -> String {
    let mut body = Vec::new();
    // Without it the status says enough.
    while let Ok(Some(chunk)) = reply.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > REFUSAL {
            break;
        }
    }
    let body = String::from_utf8_lossy(&body);
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map(|(code, _)| code.trim().to_owned()).unwrap_or_default()
}

/// The host as it is sent and signed: with its port, unless that is the scheme's own.
fn host(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    match (uri.port_u16(), uri.scheme_str()) {
        (None, _) | (Some(80), Some("http")) | (Some(443), Some("https")) => host.to_owned(),
        (Some(port), _) => format!("{host}:{port}"),
    }
}

fn refused(words: String) -> Fault {
    Fault::new(FaultKind::Locked, "store_refused", words)
}

#[cfg(test)]
mod tests;
