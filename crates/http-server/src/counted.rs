//! What may happen a thousand times a second is one line in the log a second, with its count.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Events of one kind, which are logged together.
#[derive(Clone, Debug, Default)]
pub struct Counted(Arc<Mutex<Option<Second>>>);

/// What happened in the second under way.
#[derive(Debug)]
struct Second {
    count: u64,
    last: String,
}

const WINDOW: Duration = Duration::from_secs(1);

impl Counted {
    /// Counts an event. A second after the first of them, `log` is called once with how many there were and what was
    /// said of the last one.
    pub fn add(&self, last: impl Into<String>, log: impl FnOnce(u64, &str) + Send + 'static) {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(second) = &mut *second {
            (second.count, second.last) = (second.count + 1, last.into());
            return;
        }
        *second = Some(Second { count: 1, last: last.into() });
        let events = self.0.clone();
        tokio::spawn(async move {
            tokio::time::sleep(WINDOW).await;
            let over = events.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(Second { count, last }) = over {
                log(count, &last);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_second_is_logged_once_and_no_event_is_lost() {
        let (counted, logged) = (Counted::default(), Arc::new(Mutex::new(Vec::new())));
        for (name, wait) in [("a", 0), ("b", 400), ("c", 400), ("d", 400), ("e", 5000)] {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let lines = logged.clone();
            counted.add(name, move |count, last| lines.lock().unwrap().push((count, last.to_owned())));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let expected = [(3, "c"), (1, "d"), (1, "e")].map(|(count, last)| (count, last.to_owned()));
        assert_eq!(*logged.lock().unwrap(), expected);
    }
}
