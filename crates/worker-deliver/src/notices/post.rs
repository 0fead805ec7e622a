//! Posting notices, and what comes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use rustls::ClientConfig;
use songmill_core::view::{NoticeData, NoticePayload};
use songmill_core::{JobId, Timestamp};
use songmill_egress::{
    AddressPolicy, BlockedAddress, Client, Failure, Resolve, Resolver, Response, Settings as Egress,
    SystemNames, Timeouts, tls, uri,
};
use songmill_store::{
    Claimed, DeliveryFailure, Disabled, Endpoint, EndpointSecret, NewNotice, Notice, NoticeState, NoticeType,
    SealedSecret, Store, StoreError, Try,
};

use super::sign::signatures;
use super::{NoticeSettings, moment};
use crate::fetch::retry_after;

/// Posts notices.
pub(super) struct Sender {
    outlet: Outlet,
    settings: NoticeSettings,
    store: Store,
}

/// The longest wait that is taken on an endpoint's word.
const WAIT_MOST: Duration = Duration::from_secs(24 * 3600);
/// How much of an answer is read, so that its connection can be used again.
const ANSWER: usize = 16 << 10;
/// Between two looks whether there is a key for a secret that is encrypted.
const KEY_WAIT: Duration = Duration::from_secs(60);
/// Tries to write down what became of notices.
const WRITES: u32 = 5;

impl Sender {
    pub(super) fn new(
        settings: NoticeSettings,
        egress: &Egress,
        store: Store,
    ) -> Result<Self, rustls::Error> {
        Ok(Self { outlet: Outlet::new(&settings, egress, Arc::new(SystemNames), tls()?), settings, store })
    }

    /// Posts an endpoint's notices that are due, and writes down what came of them.
    pub(super) async fn post_all(&self, mut claimed: Claimed) {
        let endpoint = match self.store.endpoint(&claimed.tenant, &claimed.endpoint).await {
            Ok(endpoint) => endpoint,
            Err(error) => {
                tracing::warn!(%error, endpoint = %claimed.endpoint, "notices wait until their lease runs out");
                return;
            }
        };
        let notices = std::mem::take(&mut claimed.notices);
        let told = match &endpoint {
            None => {
                let over = notices.into_iter().map(|(notice, _)| given_up(notice)).collect();
                (over, None)
            }
            Some(endpoint) if endpoint.disabled.is_some() => (Vec::new(), Some(endpoint.clone())),
            Some(endpoint) => {
                let secrets = match self.secrets(&claimed, endpoint) {
                    Ok(secrets) => secrets,
                    Err(sealed) => return self.wait_for_key(&claimed, endpoint, notices, &sealed).await,
                };
                let post = |(notice, payload)| self.post(endpoint, &secrets, notice, payload);
                let posts = notices.into_iter().map(post);
                let posted = futures_util::future::join_all(posts).await;
                let after = self.judged(endpoint, &posted);
                (posted.into_iter().map(|(notice, _)| notice).collect(), Some(after))
            }
        };
        let (notices, after): (Vec<Notice>, _) = told;
        let changed = endpoint.as_ref().zip(after.as_ref());
        let written = self.write(&claimed, &notices, changed).await;
        if let (true, Some((before, after))) = (written, changed)
            && before.disabled.is_none()
            && let Some(disabled) = &after.disabled
        {
            self.tell_owner(&claimed, after, disabled).await;
        }
    }

    /// What an endpoint's notices are signed with now.
    fn secrets(&self, claimed: &Claimed, endpoint: &Endpoint) -> Result<Vec<String>, SealedSecret> {
        let open = |secret: &EndpointSecret| self.store.open_secret(&claimed.tenant, &endpoint.id, secret);
        endpoint.live_secrets(self.store.now().as_millis()).map(open).collect()
    }

    /// Has notices wait that cannot be signed: that is the operator's to mend, and no try of theirs.
    async fn wait_for_key(
        &self,
        claimed: &Claimed,
        endpoint: &Endpoint,
        notices: Vec<(Notice, String)>,
        sealed: &SealedSecret,
    ) {
        let (tenant, now) = (&claimed.tenant, self.store.now());
        tracing::error!(%tenant, endpoint = %endpoint.id, "webhooks wait: {sealed}");
        let later = notices.into_iter().map(|(mut notice, _)| {
            notice.due_ms = Some((now + KEY_WAIT).as_millis());
            notice
        });
        let (code, message) = ("secret_locked".to_owned(), sealed.to_string());
        let last_failure = Some(DeliveryFailure { at_ms: now.as_millis(), code, message });
        let after = Endpoint { last_failure, ..endpoint.clone() };
        self.write(claimed, &later.collect::<Vec<_>>(), Some((endpoint, &after))).await;
    }

    /// Whether what the posts say of the endpoint was written down too.
    async fn write(
        &self,
        claimed: &Claimed,
        notices: &[Notice],
        endpoint: Option<(&Endpoint, &Endpoint)>,
    ) -> bool {
        for n in 1..=WRITES {
            match self.store.told(claimed, notices, endpoint).await {
                Ok(written) => return written,
                Err(error) if n < WRITES && error.will_pass() => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => {
                    let id = &claimed.endpoint;
                    tracing::warn!(%error, endpoint = %id, "notices may be posted once more: it is not written down that they were");
                    break;
                }
            }
        }
        false
    }

    /// Posts one notice; its answer's status, where there is one.
    async fn post(
        &self,
        endpoint: &Endpoint,
        secrets: &[String],
        mut notice: Notice,
        payload: String,
    ) -> (Notice, Posted) {
        let (now, begun) = (self.store.now(), Instant::now());
        let posted = self.sent((endpoint, secrets), &notice, payload, now).await;
        let took_ms = begun.elapsed().as_millis() as u64;
        let status = posted.status.map(|status| status.as_u16());
        let (code, error) = posted.failure.clone().map(|(code, words)| (code.to_owned(), words)).unzip();
        notice.tried(Try { at_ms: now.as_millis(), took_ms, status, code, error });
        if posted.taken() {
            (notice.state, notice.due_ms) = (NoticeState::Delivered, None);
            return (notice, posted);
        }
        tracing::debug!(notice = notice.id, endpoint = %endpoint.id, status, "notice not taken");
        let wait = self.settings.schedule.get(notice.tried as usize - 1).map(|wait| wait.get());
        notice = match wait.filter(|_| posted.status != Some(StatusCode::GONE)) {
            Some(wait) => {
                let wait = jittered(wait, &notice.id, notice.tried).max(posted.wait.unwrap_or_default());
                notice.due_ms = Some((self.store.now() + wait).as_millis());
                notice
            }
            None => given_up(notice),
        };
        (notice, posted)
    }

    async fn sent(
        &self,
        (endpoint, secrets): (&Endpoint, &[String]),
        notice: &Notice,
        payload: String,
        now: Timestamp,
    ) -> Posted {
        let signature = signatures(secrets.iter().map(String::as_str), &notice.id, now.as_secs(), &payload);
        let headers = [
            ("webhook-id", notice.id.clone()),
            ("webhook-timestamp", now.as_secs().to_string()),
            ("webhook-signature", signature),
        ];
        self.outlet.post(&endpoint.url, headers, payload).await
    }

    /// What posts say of the endpoint itself.
    fn judged(&self, before: &Endpoint, posted: &[(Notice, Posted)]) -> Endpoint {
        let now = self.store.now().as_millis();
        let mut after = before.clone();
        if posted.iter().any(|(_, posted)| posted.taken()) {
            (after.failing_since_ms, after.last_success_ms) = (None, Some(now));
            after.last_failure = None;
        } else if let Some((_, last)) = posted.last() {
            if let Some((code, words)) = &last.failure {
                let (code, message) = ((*code).to_owned(), words.clone());
                after.last_failure = Some(DeliveryFailure { at_ms: now, code, message });
            }
            let since = *after.failing_since_ms.get_or_insert(now);
            if now.saturating_sub(since) >= self.settings.patience.get().as_millis() as u64 {
                let reason = after.last_failure.as_ref().map(|last| format!(": {}", last.message));
                let reason = reason.unwrap_or_default();
                let why = format!("it has only failed for {}{reason}", self.settings.patience);
                after.disabled = Some(Disabled { at_ms: now, why });
            }
        }
        if posted.iter().any(|(_, posted)| posted.status == Some(StatusCode::GONE)) {
            after.disabled = Some(Disabled { at_ms: now, why: "it answered 410 Gone".into() });
        }
        after
    }

    /// Tells the owner, by the log and by the other endpoints, that one was switched off.
    async fn tell_owner(&self, claimed: &Claimed, endpoint: &Endpoint, disabled: &Disabled) {
        let tenant = &claimed.tenant;
        tracing::error!(%tenant, endpoint = %endpoint.id, "endpoint switched off: {}", disabled.why);
        if let Err(error) = self.tell_others(claimed, endpoint, disabled).await {
            tracing::warn!(%error, %tenant, "other endpoints were not told that one was switched off");
        }
    }

    async fn tell_others(
        &self,
        claimed: &Claimed,
        endpoint: &Endpoint,
        disabled: &Disabled,
    ) -> Result<(), StoreError> {
        let (tenant, kind, now) = (&claimed.tenant, NoticeType::EndpointDisabled, self.store.now());
        let others = self.store.endpoints(tenant).await?.into_iter().filter(|other| {
            other.disabled.is_none() && other.all && (other.types.is_empty() || other.types.contains(&kind))
        });
        let mut notices = Vec::new();
        for other in others {
            let words =
                format!("endpoint {} ({}) was switched off: {}", endpoint.id, endpoint.url, disabled.why);
            let data = NoticeData { endpoint: Some(endpoint.id.clone()), words, ..NoticeData::default() };
            let payload = NoticePayload { kind: kind.as_str().to_owned(), timestamp: moment(now), data };
            let payload = serde_json::to_string(&payload).expect("views are always JSON");
            let id = format!("msg_off_{}_{}_{}", disabled.at_ms, endpoint.id, other.id);
            notices.push(NewNotice {
                tenant: tenant.clone(),
                notice: Notice::new(id, other.id, kind, now),
                payload,
            });
        }
        self.store.tell(&[(String::new(), notices)]).await.map(drop)
    }
}

/// Posts to addresses that are not trusted.
struct Outlet {
    client: Client,
    policy: AddressPolicy,
    timeout: Duration,
}

impl Outlet {
    fn new(settings: &NoticeSettings, egress: &Egress, names: Arc<dyn Resolve>, tls: ClientConfig) -> Self {
        let (policy, timeout) = (settings.address_policy(), settings.timeout.get());
        let timeouts = Timeouts { connect: timeout, silence: timeout };
        let client = Client::new(Resolver::new(policy, names), egress, tls, timeouts);
        Self { client, policy, timeout }
    }

    async fn post(&self, url: &str, headers: [(&'static str, String); 3], payload: String) -> Posted {
        let posted = async {
            // The settings may have changed since the endpoint was made.
            let url = self.policy.check(url)?;
            let mut request = Request::post(uri(&url).ok_or(BlockedAddress::Invalid)?)
                .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let request =
                request.body(Full::new(Bytes::from(payload))).map_err(|_| BlockedAddress::Invalid)?;
            Ok(Posted::read(self.client.send(request).await?).await)
        };
        let posted = tokio::time::timeout(self.timeout, posted).await;
        posted.unwrap_or(Err(Failure::TimedOut)).unwrap_or_else(|failure| Posted::failed(&failure))
    }
}

fn given_up(mut notice: Notice) -> Notice {
    (notice.state, notice.due_ms) = (NoticeState::Failed, None);
    notice
}

/// A wait spread by a tenth either way, so that what failed together does not come again together.
fn jittered(wait: Duration, id: &str, tried: u32) -> Duration {
    let spread = JobId::derive(id, &tried.to_string()).lane(201) as u32;
    wait * (900 + spread) / 1000
}

/// What came of a post.
struct Posted {
    status: Option<StatusCode>,
    wait: Option<Duration>,
    /// What went wrong: a code, and words.
    failure: Option<(&'static str, String)>,
}

impl Posted {
    fn failed(failure: &Failure) -> Self {
        Self { status: None, wait: None, failure: Some((failure.code(), failure.to_string())) }
    }

    fn taken(&self) -> bool {
        self.status.is_some_and(|status| status.is_success())
    }

    async fn read(mut response: Response) -> Self {
        let status = response.head.status;
        let wait = retry_after(&response.head.headers);
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > ANSWER {
                break;
            }
        }
        let failure = match status {
            status if status.is_success() => None,
            status if status.is_redirection() => {
                let words = format!("it answers {status}: redirects are not followed; change the address");
                Some(("redirect", words))
            }
            status => Some(("http_status", format!("it answers {status}"))),
        };
        Self { status: Some(status), wait: wait.map(|wait| wait.min(WAIT_MOST)), failure }
    }
}

#[cfg(test)]
mod tests;
