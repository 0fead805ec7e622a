//! The addresses that attempts are called back at.

use songmill_core::callback::CallbackKeys;
use songmill_core::{JobId, VendorName};
use songmill_vendors::contract::Mark;

/// Where vendors call back.
#[derive(Clone, Debug)]
pub struct CallbackAddress {
    base: Option<String>,
    keys: CallbackKeys,
}

/// A host that never exists (RFC 2606): the address then only marks the task, for look-ups.
const NOBODY: &str = "https://songmill.invalid";

impl CallbackAddress {
    /// Callbacks under this public address, or none at all.
    pub fn new(public_url: Option<&str>, keys: CallbackKeys) -> Self {
        Self { base: public_url.map(|url| url.trim_end_matches('/').to_owned()), keys }
    }

    /// Whether vendors can reach us.
    pub fn is_live(&self) -> bool {
        self.base.is_some()
    }

    /// Whether we wrote the address that a task carries.
    pub(crate) fn is_ours(&self, vendor: &VendorName, mark: &Mark) -> bool {
        self.keys.verify(vendor.as_str(), mark.job, mark.attempt, &mark.token)
    }

    /// The address of one attempt.
    pub(crate) fn of(&self, vendor: &VendorName, job: JobId, attempt: u32) -> String {
        let base = self.base.as_deref().unwrap_or(NOBODY);
        format!("{base}/callbacks/{}", self.keys.path(vendor, job, attempt))
    }
}
