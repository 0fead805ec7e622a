//! Sends what vendors say and reads back what they answer.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use songmill_core::time::Span;
use songmill_core::{Fault, FaultKind};
use songmill_store::Lease;
use songmill_vendors::{Exchange, Next, contract::Cost};

use crate::meter::Meter;

/// How vendors are talked to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DriverSettings {
    /// How long one request may take, from the first byte sent to the last one read.
    pub request_timeout: Span,
    /// How long a connection may take to open.
    pub connect_timeout: Span,
    /// The largest reply that is read.
    pub reply_bytes: usize,
}

impl Default for DriverSettings {
    fn default() -> Self {
        Self { request_timeout: Span::secs(30), connect_timeout: Span::secs(5), reply_bytes: 8 << 20 }
    }
}

/// Requests of one exchange at the most (upload, put, submit; pages of a look-up).
const HOPS: usize = 64;

/// Why an exchange came to nothing.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// It failed.
    Fault(Fault),
    /// The lease would not have lasted: what costs money was not sent.
    LeaseShort,
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Talks to vendors.
#[derive(Clone, Debug)]
pub(crate) struct Driver {
    client: reqwest::Client,
    settings: DriverSettings,
}

impl Driver {
    pub(crate) fn new(settings: DriverSettings) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(settings.request_timeout.get())
            .connect_timeout(settings.connect_timeout.get())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("songmill/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, settings })
    }

    /// Carries an exchange to its end. Nothing that costs money is sent unless a lease outlasts it; everything else
    /// waits until the vendor's limit allows it.
    pub(crate) async fn drive<T>(
        &self,
        exchange: Exchange<T>,
        lease: Option<&Lease>,
        meter: &Meter,
    ) -> Result<T, Stopped> {
        self.drive_on(exchange, lease, meter, false).await
    }

    /// The same, where the vendor's limit has allowed the first request already.
    pub(crate) async fn drive_on<T>(
        &self,
        exchange: Exchange<T>,
        lease: Option<&Lease>,
        meter: &Meter,
        mut allowed: bool,
    ) -> Result<T, Stopped> {
        let mut exchange = exchange;
        for _ in 0..HOPS {
            let (request, cost, read) = exchange.into_parts();
            if cost == Cost::Free {
                if !std::mem::take(&mut allowed) {
                    meter.take().await;
                }
            } else if !lease.is_some_and(|lease| lease.is_held_for(self.settings.request_timeout.get())) {
                return Err(Stopped::LeaseShort);
            }
            let reply = self.send(request, cost).await?;
            match read(reply) {
                Next::Done(result) => return Ok(result?),
                Next::Then(next) => exchange = next,
            }
        }
        Err(Fault::new(FaultKind::Unavailable, "look_up_unfinished", format!("no end after {HOPS} requests"))
            .into())
    }

    async fn send(&self, request: Request<Bytes>, cost: Cost) -> Result<Response<Bytes>, Fault> {
        let lost = |error: &reqwest::Error| lost(error, cost);
        let request = reqwest::Request::try_from(request).map_err(|error| {
            Fault::new(FaultKind::Locked, "address_invalid", error.without_url().to_string())
        })?;
        let mut reply = self.client.execute(request).await.map_err(|error| lost(&error))?;
        let mut body = BytesMut::new();
        while let Some(chunk) = reply.chunk().await.map_err(|error| lost(&error))? {
            if body.len() + chunk.len() > self.settings.reply_bytes {
                let words = format!("more than {} bytes", self.settings.reply_bytes);
                return Err(Fault::new(FaultKind::Garbled, "reply_garbled", words));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = reply.status();
        *response.headers_mut() = std::mem::take(reply.headers_mut());
        Ok(response)
    }
}

/// What a failure on the way means: before anything was sent it is known not to be done.
fn lost(error: &reqwest::Error, cost: Cost) -> Fault {
    let words = words(error);
    if error.is_connect() {
        return Fault::new(FaultKind::Unavailable, "vendor_unreachable", words);
    }
    match cost {
        Cost::Creates => Fault::new(FaultKind::Unknown, "reply_lost", words),
        Cost::Free if error.is_timeout() => Fault::new(FaultKind::Unavailable, "vendor_slow", words),
        Cost::Free => Fault::new(FaultKind::Unavailable, "vendor_unreachable", words),
    }
}

/// What went wrong, without the address: it may carry a signature.
fn words(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = if error.is_timeout() { "timed out".to_owned() } else { "connection failed".to_owned() };
    while let Some(source) = cause {
        let said = source.to_string();
        if !said.contains("http") {
            text = format!("{text}: {said}");
        }
        cause = source.source();
    }
    text
}
