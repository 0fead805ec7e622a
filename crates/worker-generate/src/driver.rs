//! Sends what vendors say and reads back what they answer.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{DATE, Entry};
use http::{HeaderValue, Request, Response};
use songmill_core::time::Span;
use songmill_core::{Fault, FaultKind};
use songmill_store::Lease;
use songmill_vendors::{Exchange, Next, contract::Cost};

use self::lost::Lost;
use crate::meter::Meter;

mod lost;

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
        Self { request_timeout: Span::secs(30), connect_timeout: Span::secs(5), reply_bytes: 16 << 20 }
    }
}

/// Requests of one exchange at the most (upload, put, submit; pages of a look-up).
const HOPS: usize = 64;
/// How long a connection may be idle before another request is sent over it.
const IDLE: Duration = Duration::from_secs(30);
/// The same for requests that cost money. Vendors close idle connections after two to five seconds, and a request that
/// meets the close is lost: nobody knows whether it ran.
const IDLE_PAID: Duration = Duration::from_secs(1);

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
    /// Sends what costs nothing.
    free: reqwest::Client,
    /// Sends what costs money, over connections that were in use just now.
    paid: reqwest::Client,
    /// Sends it again where it is known not to have run, each time over a connection of its own.
    fresh: reqwest::Client,
    settings: DriverSettings,
}

impl Driver {
    pub(crate) fn new(
        settings: DriverSettings,
        egress: &songmill_egress::Settings,
    ) -> Result<Self, reqwest::Error> {
        let Some(url) = egress.proxy.expose() else { return Self::with(settings, |client| client) };
        let proxy = reqwest::Proxy::all(url)?.no_proxy(reqwest::NoProxy::from_string(&egress.no_proxy()));
        Self::with(settings, |client| client.proxy(proxy.clone()))
    }

    fn with(
        settings: DriverSettings,
        change: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, reqwest::Error> {
        let client = |idle, pooled| {
            let client = reqwest::Client::builder()
                .timeout(settings.request_timeout.get())
                .connect_timeout(settings.connect_timeout.get())
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .tcp_nodelay(true)
                .pool_idle_timeout(idle)
                .pool_max_idle_per_host(pooled)
                .user_agent(concat!("songmill/", env!("CARGO_PKG_VERSION")));
            change(client).build()
        };
        Ok(Self {
            free: client(IDLE, usize::MAX)?,
            paid: client(IDLE_PAID, usize::MAX)?,
            fresh: client(IDLE_PAID, 0)?,
            settings,
        })
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
            let reply = match cost {
                Cost::Free => {
                    if !std::mem::take(&mut allowed) {
                        meter.take().await;
                    }
                    self.send(&self.free, request).await.map_err(|lost| lost.fault(cost))?
                }
                Cost::Creates => {
                    let outlasts =
                        || lease.is_some_and(|lease| lease.is_held_for(self.settings.request_timeout.get()));
                    if !outlasts() {
                        return Err(Stopped::LeaseShort);
                    }
                    self.send_paid(request, outlasts).await?
                }
            };
            match read(reply) {
                Next::Done(result) => return Ok(result?),
                Next::Then(next) => exchange = next,
            }
        }
        Err(Fault::new(FaultKind::Unavailable, "look_up_unfinished", format!("no end after {HOPS} requests"))
            .into())
    }

    /// Sends what costs money: once more at once, over a new connection, where it is known not to have run and the
    /// lease still outlasts it.
    async fn send_paid(
        &self,
        request: Request<Bytes>,
        outlasts: impl Fn() -> bool,
    ) -> Result<Response<Bytes>, Fault> {
        let first = self.send(&self.paid, request.clone()).await;
        let answered = match first {
            // Where nobody can be connected to, another try at once finds the same.
            Err(lost) if lost.never_ran() && !lost.is_unconnected() && outlasts() => {
                self.send(&self.fresh, request).await
            }
            answered => answered,
        };
        answered.map_err(|lost| lost.fault(Cost::Creates))
    }

    async fn send(&self, client: &reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, Lost> {
        let request = reqwest::Request::try_from(request).map_err(Lost::Head)?;
        let mut reply = client.execute(request).await.map_err(Lost::Head)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = reply.chunk().await.map_err(Lost::Body)? {
            if body.len() + chunk.len() > self.settings.reply_bytes {
                return Err(Lost::TooLarge(self.settings.reply_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = reply.status();
        *response.headers_mut() = std::mem::take(reply.headers_mut());
        // Vendors read dates in headers by this one; where it is missing, by our clock.
        if let Entry::Vacant(date) = response.headers_mut().entry(DATE)
            && let Ok(value) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now()))
        {
            date.insert(value);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests;
