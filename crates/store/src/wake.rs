//! Wakes sleeping queues when a job becomes due earlier than they know.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// Listens on the wake channel and rings the bell of the queue that is named there.
#[derive(Debug)]
pub(crate) struct Wake {
    bells: Arc<Bells>,
    _listener: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Bells(Mutex<HashMap<String, Arc<Notify>>>);

/// Between two tries to listen again. A wake missed meanwhile costs at most a queue's longest sleep.
const RETRY: Duration = Duration::from_millis(500);

impl Wake {
    pub(crate) fn start(client: redis::Client, channel: String) -> Self {
        let bells = Arc::new(Bells::default());
        let listener = tokio::spawn(listen(client, channel, bells.clone()));
        Self { bells, _listener: AbortOnDropHandle::new(listener) }
    }

    /// The bell of this queue.
    pub(crate) fn bell(&self, queue: &str) -> Arc<Notify> {
        self.bells.lock().entry(queue.to_owned()).or_default().clone()
    }
}

impl Bells {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(client: redis::Client, channel: String, bells: Arc<Bells>) {
    loop {
        if let Ok(mut pubsub) = client.get_async_pubsub().await
            && pubsub.subscribe(&channel).await.is_ok()
        {
            // Whatever was said while nobody listened was said to all. A ring is kept for a queue not yet asleep.
            bells.lock().values().for_each(|bell| bell.notify_one());
            let mut messages = pubsub.on_message();
            while let Some(message) = messages.next().await {
                let Ok(queue) = message.get_payload::<String>() else { continue };
                if let Some(bell) = bells.lock().get(&queue) {
                    bell.notify_one();
                }
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}
