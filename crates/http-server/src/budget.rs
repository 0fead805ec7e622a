//! Request bodies in memory: how many bytes there may be at once, and whose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of bodies that may be held at the same time. Nobody holds more than a quarter of them.
#[derive(Debug)]
pub struct BodyBudget {
    all: Arc<Semaphore>,
    share: usize,
    accounts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// What one body may have.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Its most bytes.
    pub max_bytes: usize,
    /// How long it may take to arrive.
    pub timeout: Duration,
}

/// A body, whose bytes count as held until it is dropped.
#[derive(Debug)]
pub struct HeldBody {
    bytes: Bytes,
    _held: Held,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It has more bytes than it may have.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The connection ended in it.
    #[error("the body was cut off")]
    CutOff,
    /// Other bodies hold as many bytes as there may be.
    #[error("too many request bodies are being received")]
    Busy,
}

/// How long a body waits for others to be done with.
const WAIT: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
struct Held(Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>);

impl BodyBudget {
    /// A budget of so many bytes; at least a body of `largest` fits into anybody's share.
    pub fn new(bytes: usize, largest: usize) -> Self {
        let share = (bytes / 4).max(largest).max(1);
        let all = Arc::new(Semaphore::new(bytes.max(share).min(Semaphore::MAX_PERMITS)));
        Self { all, share: share.min(Semaphore::MAX_PERMITS), accounts: Mutex::default() }
    }

    /// Reads a body whole, as somebody's. Each part of it is counted before the next one is read.
    pub async fn read<B>(&self, account: &str, body: B, limits: BodyLimits) -> Result<HeldBody, ReadError>
    where
        B: Body,
    {
        if body.size_hint().lower() > limits.max_bytes as u64 {
            return Err(ReadError::TooLarge(limits.max_bytes));
        }
        let own = self.account(account);
        let read = tokio::time::timeout(
            limits.timeout,
            read_counted(Some((&own, &self.all)), body, limits.max_bytes),
        );
        let read = read.await.unwrap_or(Err(ReadError::TooSlow));
        drop(own);
        self.forget(account);
        read
    }

    fn account(&self, name: &str) -> Arc<Semaphore> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let of = || Arc::new(Semaphore::new(self.share));
        accounts.entry(name.to_owned()).or_insert_with(of).clone()
    }

    /// Drops the account of somebody who holds nothing any more, sooner or later.
    fn forget(&self, name: &str) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.get(name).is_some_and(|account| Arc::strong_count(account) == 1) {
            accounts.remove(name);
        }
        if accounts.len() > ACCOUNTS {
            accounts.retain(|_, account| Arc::strong_count(account) > 1);
        }
    }
}

/// Reads a body; each part of it is taken from these before the next one is read.
async fn read_counted<B: Body>(
    counted: Option<(&Arc<Semaphore>, &Arc<Semaphore>)>,
    body: B,
    max_bytes: usize,
) -> Result<HeldBody, ReadError> {
    let mut body = std::pin::pin!(body);
    let (mut bytes, mut held) = (BytesMut::new(), Held::default());
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|_| ReadError::CutOff)?;
        let Ok(mut data) = frame.into_data() else { continue };
        let more = data.remaining();
        if bytes.len() + more > max_bytes {
            return Err(ReadError::TooLarge(max_bytes));
        }
        if let Some((own, all)) = counted {
            held.add(own, all, more).await?;
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            let length = chunk.len();
            bytes.extend_from_slice(chunk);
            data.advance(length);
        }
    }
    Ok(HeldBody { bytes: bytes.freeze(), _held: held })
}

/// Accounts that are kept although nobody may use them.
const ACCOUNTS: usize = 1000;

impl Held {
    async fn add(
        &mut self,
        own: &Arc<Semaphore>,
        all: &Arc<Semaphore>,
        bytes: usize,
    ) -> Result<(), ReadError> {
        let count = u32::try_from(bytes).map_err(|_| ReadError::Busy)?;
        let taken = async {
            // The own share first: whoever waits for that holds nothing of what the others need.
            let own = own.clone().acquire_many_owned(count).await;
            Some((own.ok()?, all.clone().acquire_many_owned(count).await.ok()?))
        };
        let taken = tokio::time::timeout(WAIT, taken).await.ok().flatten().ok_or(ReadError::Busy)?;
        match &mut self.0 {
            Some((own, all)) => {
                own.merge(taken.0);
                all.merge(taken.1);
            }
            held @ None => *held = Some(taken),
        }
        Ok(())
    }
}

impl HeldBody {
    /// Reads again what is held elsewhere as long as this is needed.
    pub async fn read_again<B: Body>(body: B, limits: BodyLimits) -> Result<Self, ReadError> {
        let read = tokio::time::timeout(limits.timeout, read_counted(None, body, limits.max_bytes));
        read.await.unwrap_or(Err(ReadError::TooSlow))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};

    const LIMITS: BodyLimits = BodyLimits { max_bytes: 1000, timeout: Duration::from_secs(30) };

    fn body(bytes: usize) -> Full<Bytes> {
        Full::new(Bytes::from(vec![7; bytes]))
    }

    #[tokio::test]
    async fn a_body_is_read_within_its_limits() {
        let budget = BodyBudget::new(4000, 1000);
        let read = budget.read("a", body(1000), LIMITS).await.unwrap();
        assert_eq!(read.bytes().len(), 1000);
        assert_eq!(budget.read("a", body(1001), LIMITS).await.unwrap_err(), ReadError::TooLarge(1000));
        // One that does not say how long it is.
        let chunks = [600, 600].map(|bytes| Ok::<_, ()>(http_body::Frame::data(Bytes::from(vec![7; bytes]))));
        let chunked = StreamBody::new(futures_util::stream::iter(chunks));
        assert_eq!(budget.read("b", chunked, LIMITS).await.unwrap_err(), ReadError::TooLarge(1000));
        let silent = StreamBody::new(futures_util::stream::pending::<Result<http_body::Frame<Bytes>, ()>>());
        let limits = BodyLimits { timeout: Duration::from_millis(10), ..LIMITS };
        assert_eq!(budget.read("a", silent, limits).await.unwrap_err(), ReadError::TooSlow);
        let cut = StreamBody::new(futures_util::stream::iter([Err::<http_body::Frame<Bytes>, _>(())]));
        assert_eq!(budget.read("a", cut, LIMITS).await.unwrap_err(), ReadError::CutOff);
    }

    #[tokio::test(start_paused = true)]
    async fn who_holds_a_quarter_waits_and_others_do_not() {
        let budget = BodyBudget::new(4000, 1000);
        let held = budget.read("greedy", body(600), LIMITS).await.unwrap();
        assert_eq!(budget.read("greedy", body(600), LIMITS).await.unwrap_err(), ReadError::Busy);
        let others: Vec<_> =
            futures_util::future::join_all(["a", "b", "c"].map(|who| budget.read(who, body(1000), LIMITS)))
                .await;
        assert!(others.iter().all(Result::is_ok), "{others:?}");
        assert_eq!(budget.read("d", body(1000), LIMITS).await.unwrap_err(), ReadError::Busy);
        drop(held);
        assert!(budget.read("d", body(1000), LIMITS).await.is_ok());
        drop(others);
        assert!(budget.read("greedy", body(1000), LIMITS).await.is_ok());
        assert!(budget.accounts.lock().unwrap().len() <= 5);
    }
}
