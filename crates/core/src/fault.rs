//! Faults: what to do about a failure, as data.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::callback::masked;

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The request is bad and will stay bad: it is over with this vendor.
    Rejected,
    /// Key, plan or balance: an operator must act; costs the job no attempt.
    Locked,
    /// Asked to wait; costs the job no attempt.
    Throttled,
    /// Known not to have been done: try again after a back-off.
    Unavailable,
    /// May have been done: must be looked up before anything is paid again.
    Unknown,
    /// Not understood: the contract moved, or something else answered.
    Garbled,
}

impl FaultKind {
    /// The kind's name as it stands in records and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Locked => "locked",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::Garbled => "garbled",
        }
    }
}

/// What a vendor said. It may quote what a tenant wrote, so it stays with the job that the vendor said it about.
///
/// There is no way to print it but [`VendorMessage::for_owner`]: gates, logs, events and other jobs show codes and our own
/// words.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VendorMessage(String);

impl VendorMessage {
    /// The vendor's words, shortened, without control characters, and without the secret part of our own callback
    /// addresses, which vendors quote.
    pub fn new(words: impl AsRef<str>) -> Self {
        Self(shortened(words.as_ref()))
    }

    /// The words, for the tenant of the job that they are about and for operators who look at this job.
    pub fn for_owner(&self) -> &str {
        &self.0
    }

    /// Whether the vendor said nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for VendorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VendorMessage({} bytes)", self.0.len())
    }
}

/// A failure as data: what to do about it, a stable code, and words for people.
///
/// Printed, it shows its code and our own words alone; [`Fault::in_full`] adds the vendor's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What to do about it.
    pub kind: FaultKind,
    /// Stable, `snake_case`; each has a page `docs/faults/<code>.md`.
    pub code: Cow<'static, str>,
    /// Our own words, shortened; never a secret, and nothing that a vendor or a tenant wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the vendor said.
    #[serde(default, skip_serializing_if = "VendorMessage::is_empty")]
    pub vendor_message: VendorMessage,
    /// How long the other side asked us to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// Requests a minute that the other side says it allows now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_minute: Option<u32>,
    /// The code of what is wrong with our account or with the vendor, if that is what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspicion: Option<Cow<'static, str>>,
}

/// Why a vendor is paused, in our own words; a code that has none of its own is said as it is.
pub fn reason(code: &str) -> Cow<'_, str> {
    Cow::Borrowed(match code {
        "key_refused" => "it refuses our key",
        "balance_empty" => "no credit left",
        "plan_limit" => "the plan's limit is reached",
        "region_refused" => "it is not available in our region",
        "requirements_not_met" => "a secret or a setting is missing in our account",
        "store_unknown" => "it does not know the content store",
        "app_refused" => "it does not know the app",
        "version_refused" => "it refuses the model's version",
        "address_invalid" => "nothing is at its address",
        "shut_by_hand" => "by an operator",
        "vendor_setup_failed" => "its tasks fail while they are set up",
        "vendor_maintenance" => "maintenance",
        "vendor_error" => "it fails",
        "vendor_unreachable" => "it cannot be reached",
        "vendor_slow" => "it does not answer in time",
        "reply_lost" => "its replies are lost",
        "reply_garbled" => "its replies are not understood",
        "request_forbidden" => "it refuses requests with 401 or 403",
        other => return Cow::Owned(other.replace('_', " ")),
    })
}

/// Whether a code says that the vendor itself is down, not our account: every other submission fails as well until it has
/// mended that.
pub fn is_down(code: &str) -> bool {
    matches!(code, "vendor_setup_failed" | "vendor_maintenance")
}

/// The code of a refusal that may be about our account or about one request alone.
pub const REQUEST_FORBIDDEN: &str = "request_forbidden";

/// How many characters of somebody else's words a fault keeps.
const MESSAGE_CHARS: usize = 300;
/// The longest wait that is taken on somebody else's word.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

impl Fault {
    /// A fault of this kind and code in our own words, which are shortened and stripped of control characters.
    pub fn new(kind: FaultKind, code: impl Into<Cow<'static, str>>, message: impl AsRef<str>) -> Self {
        let message = shortened(message.as_ref());
        let vendor_message = VendorMessage::default();
        Self {
            kind,
            code: code.into(),
            message,
            vendor_message,
            retry_after_ms: None,
            per_minute: None,
            suspicion: None,
        }
    }

    /// A fault of this kind and code with what the vendor said.
    pub fn from_vendor(kind: FaultKind, code: impl Into<Cow<'static, str>>, words: impl AsRef<str>) -> Self {
        Self { vendor_message: VendorMessage::new(words), ..Self::new(kind, code, "") }
    }

    /// A fault that another one led to, which stands in its words.
    pub fn because_of(kind: FaultKind, code: impl Into<Cow<'static, str>>, cause: &Self) -> Self {
        let vendor_message = cause.vendor_message.clone();
        Self { vendor_message, ..Self::new(kind, code, cause.to_string()) }
    }

    /// The same fault of another kind and code: waits, rates and words stay.
    #[must_use]
    pub fn turned_into(self, kind: FaultKind, code: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, code: code.into(), ..self }
    }

    /// The same fault with what the vendor said.
    #[must_use]
    pub fn with_vendor_message(self, words: impl AsRef<str>) -> Self {
        Self { vendor_message: VendorMessage::new(words), ..self }
    }

    /// The same fault without the vendor's words, for jobs that the vendor did not say them about.
    #[must_use]
    pub fn without_vendor_message(self) -> Self {
        Self { vendor_message: VendorMessage::default(), ..self }
    }

    /// The same fault with its words edited, ours and the vendor's.
    #[must_use]
    pub fn edited(self, edit: impl Fn(&str) -> String) -> Self {
        let (message, vendor_message) = (edit(&self.message), VendorMessage(edit(&self.vendor_message.0)));
        Self { message, vendor_message, ..self }
    }

    /// A refusal by words or by a status that the vendor does not document: it may be about this one request, which the
    /// vendor may quote, or `code` is what is wrong with our account. The job is tried again within its attempts; the
    /// vendor is paused for everybody only when something else confirms the suspicion.
    pub fn suspecting(code: impl Into<Cow<'static, str>>, words: impl AsRef<str>) -> Self {
        let fault = Self::from_vendor(FaultKind::Unavailable, REQUEST_FORBIDDEN, words);
        Self { suspicion: Some(code.into()), ..fault }
    }

    /// The same fault, which says more of the vendor than of the request if something else confirms it.
    #[must_use]
    pub fn to_be_confirmed(self) -> Self {
        Self { suspicion: Some(self.code.clone()), ..self }
    }

    /// The code of what is wrong with our account or with the vendor, if something else confirms that.
    pub fn suspicion(&self) -> Option<&str> {
        self.suspicion.as_deref()
    }

    /// What a suspicion is once it is confirmed.
    #[must_use]
    pub fn confirmed(mut self) -> Self {
        match self.suspicion.take() {
            Some(code) => self.turned_into(FaultKind::Locked, code),
            None => self,
        }
    }

    /// What a suspicion is once it is known that our account is in order: a refusal of this request.
    #[must_use]
    pub fn dismissed(self) -> Self {
        Self { suspicion: None, ..self }
    }

    /// Code, kind, our words and the vendor's, for the tenant of the job that the vendor said them about.
    pub fn in_full(&self) -> String {
        let separator = if self.message.is_empty() && !self.vendor_message.is_empty() { ": " } else { "; " };
        match self.vendor_message.for_owner() {
            "" => self.to_string(),
            words => format!("{self}{separator}{words}"),
        }
    }

    /// Our words and the vendor's, for the tenant of the job that the vendor said them about.
    pub fn words(&self) -> String {
        let parts = [self.message.as_str(), self.vendor_message.for_owner()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }

    /// The same fault with the wait the other side asked for, at most a day.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after_ms =
            wait.map(|wait| u64::try_from(wait.min(LONGEST_WAIT).as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// The same fault with the requests a minute that the other side says it allows now.
    #[must_use]
    pub fn allowing(mut self, per_minute: Option<u32>) -> Self {
        self.per_minute = per_minute.filter(|rate| *rate > 0);
        self
    }

    /// Requests a minute that the other side says it allows now.
    pub fn per_minute(&self) -> Option<u32> {
        self.per_minute
    }

    /// How long the other side asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }
}

/// Masked, in one piece without control characters, and not too long.
fn shortened(words: &str) -> String {
    let masked = masked(words);
    let words = masked.trim();
    let mut kept: String =
        words.chars().take(MESSAGE_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if kept.len() < words.len() {
        kept.push('…');
    }
    kept
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code, self.kind.as_str())?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
