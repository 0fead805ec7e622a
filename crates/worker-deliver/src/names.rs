//! Names that lead where a test wants them to.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use songmill_egress::{Resolve, Resolving};

/// Names that lead to these addresses: the first time to the first of them, and so on; then nowhere.
pub(crate) struct Names(Mutex<Vec<Vec<IpAddr>>>);

impl Names {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answer = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(answers.iter().rev().map(answer).collect())))
    }

    pub(crate) fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Resolve for Names {
    fn resolve(&self, _: &str) -> Resolving {
        let ips = self.0.lock().unwrap().pop().unwrap_or_default();
        Box::pin(std::future::ready(Ok(ips)))
    }
}
