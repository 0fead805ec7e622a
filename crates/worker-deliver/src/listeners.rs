//! Threads that decode audio: as many as there are processors, so that the memory which decoders take is theirs alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use songmill_core::{Fault, FaultKind};
use tokio::sync::oneshot;

/// Threads that end with this value.
pub(crate) struct Listeners(Sender<Work>);

type Work = Box<dyn FnOnce() + Send>;

impl Listeners {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (give, work) = channel::<Work>();
        let work = Arc::new(Mutex::new(work));
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let work = work.clone();
            std::thread::Builder::new().name("listener".into()).spawn(move || {
                loop {
                    let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match next {
                        Ok(work) => work(),
                        Err(_) => return,
                    }
                }
            })?;
        }
        Ok(Self(give))
    }

    /// Does what blocks when a thread is free. Only a panic is the file's own fault.
    pub(crate) async fn hear<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (answer, answered) = oneshot::channel();
        let work = move || {
            let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
        };
        let gone = |_| Fault::new(FaultKind::Unavailable, "output_unreachable", "nobody listens any more");
        self.0.send(Box::new(work)).map_err(|_| gone(()))?;
        match answered.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Fault::new(FaultKind::Garbled, "not_audio", "the decoder gave up on it")),
            Err(_) => Err(gone(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_the_files_fault_and_the_thread_goes_on() {
        let listeners = Listeners::start().unwrap();
        for _ in 0..100 {
            let broken = listeners.hear(|| -> Result<(), Fault> { panic!("a decoder") }).await;
            assert_eq!(broken.unwrap_err().code, "not_audio");
        }
        assert_eq!(listeners.hear(|| Ok(7)).await.unwrap(), 7);
    }
}
