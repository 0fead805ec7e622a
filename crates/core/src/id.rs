//! Names of things. Each is checked where it comes in; inside, an id is not a `String`.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization as _;

/// Why a text is not an id; its message says what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
    rule: &'static str,
}

impl InvalidId {
    fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        Self { what, text: text.chars().take(80).collect(), rule }
    }
}

/// A job's id: 128 bits, written as 26 characters of Crockford's base 32 in lower case.
///
/// It is derived from the caller's key where there is one, so the same request sent twice names the same
/// job and no index of keys is needed (docs/adr/0002-derived-job-ids.md).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u128);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl JobId {
    /// How many characters an id has in text.
    pub const LEN: usize = 26;

    /// The id of the job that `scope` (a tenant) knows by `key`.
    pub fn derive(scope: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"songmill job 1\0");
        hash.update((scope.len() as u64).to_be_bytes());
        hash.update(scope);
        hash.update(key);
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(u128::from_be_bytes(bytes))
    }

    /// The id of the job that a tenant's batch (or none, when it is empty) knows by `key`: the caller's own id is
    /// unique within its batch.
    pub fn of_key(tenant: &Tenant, batch: &str, key: &str) -> Self {
        Self::derive(tenant.as_str(), &format!("{batch}\0{key}"))
    }

    /// An id from 16 random bytes, for a job without a key.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// A number below `lanes` that is the same for the same job.
    pub const fn lane(self, lanes: usize) -> usize {
        (self.0 % lanes as u128) as usize
    }

    /// Half of it: enough to tell some millions apart.
    pub const fn short(self) -> u64 {
        self.0 as u64
    }

    /// Its first 39 bits, in the order of ids.
    pub const fn top(self) -> u64 {
        (self.0 >> 89) as u64
    }

    /// A number spread evenly over jobs that mixes in `salt`: the only source of jitter.
    pub(crate) fn spread(self, salt: u64) -> u64 {
        let mut x = (self.0 as u64) ^ ((self.0 >> 64) as u64) ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; Self::LEN];
        let mut rest = self.0;
        for slot in text.iter_mut().rev() {
            *slot = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

impl FromStr for JobId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const RULE: &str = "a job id has 26 characters of 0-9 and a-z without i, l, o and u";
        let wrong = || InvalidId::new("job id", text, RULE);
        if text.len() != Self::LEN || text.as_bytes()[0] > b'7' {
            return Err(wrong());
        }
        text.bytes()
            .try_fold(0u128, |sum, byte| {
                let digit = ALPHABET.iter().position(|&known| known == byte)?;
                Some((sum << 5) | digit as u128)
            })
            .map(Self)
            .ok_or_else(wrong)
    }
}

impl JsonSchema for JobId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JobId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-7][0-9a-hjkmnp-tv-z]{25}$",
            "description": "A job's id: 26 characters of 0-9 and a-z without i, l, o and u.",
        })
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The most bytes of a name: it may be a folder's.
const MOST_BYTES: usize = 200;

/// Whether a character may stand in a name of any script: no blank, nothing that is not seen or turns text round, and
/// of ASCII only letters, digits, `.`, `_` and `-`. The pattern of [`BatchName`] says so of ASCII and Latin-1 alone: what is
/// not seen stands in no source code that is made of it.
fn is_of_any_script(c: char) -> bool {
    match c {
        '\0'..='\u{a0}' => c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'),
        '\u{1680}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' => false,
        '\u{3000}' | '\u{feff}' => false,
        _ => true,
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $pattern:literal, $rule:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        #[schemars(transparent)]
        pub struct $name(#[schemars(length(min = 1, max = $max), regex(pattern = $pattern))] Arc<str>);

        impl $name {
            /// Checks a text and makes it a name.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                let ok: fn(char) -> bool = $ok;
                // What can be written in two ways is one name.
                let name: Arc<str> = if text.is_ascii() { text.into() } else { text.nfc().collect::<String>().into() };
                let is_long = name.len() > MOST_BYTES || name.chars().count() > $max;
                if name.is_empty() || is_long || !name.chars().all(ok) {
                    return Err(InvalidId::new($what, text, $rule));
                }
                Ok(Self(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(from)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of an upstream vendor, such as `replicate`: also its key in settings, addresses and Redis.
    VendorName,
    "vendor name",
    32,
    "^[a-z0-9_]+$",
    "a vendor name has 1 to 32 characters of a-z, 0-9 and _",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
);

name!(
    /// The name of a batch; the caller chooses it and submitting under the same name adds to the same batch.
    BatchName,
    "batch name",
    64,
    "^[^\\x00-,/:-@\\[-^`{-\\xa0]+$",
    "a batch name has 1 to 64 letters of any script, digits, '.', '_' and '-'",
    is_of_any_script
);

name!(
    /// Whose jobs they are: no tenant can see or touch another's.
    Tenant,
    "tenant",
    32,
    "^[a-z0-9_-]+$",
    "a tenant has 1 to 32 characters of a-z, 0-9, '_' and '-'",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-')
);

name!(
    /// The id of an endpoint that notices are sent to.
    EndpointId,
    "endpoint id",
    40,
    "^[a-z0-9_]+$",
    "an endpoint id has 1 to 40 characters of a-z, 0-9 and _, such as ep_4f2k",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
);

/// The tenant of whoever names none.
static HOUSE: LazyLock<Tenant> = LazyLock::new(|| Tenant("default".into()));

impl Tenant {
    /// Whether it is the one that is meant where none is named.
    pub fn is_default(&self) -> bool {
        *self == *HOUSE
    }
}

impl Default for Tenant {
    fn default() -> Self {
        HOUSE.clone()
    }
}

/// A batch of a tenant; in text the tenant stands before it, `acme/album`, unless it is the default one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchRef {
    /// Whose.
    pub tenant: Tenant,
    /// Its name there.
    pub name: BatchName,
}

impl From<BatchName> for BatchRef {
    fn from(name: BatchName) -> Self {
        Self { tenant: Tenant::default(), name }
    }
}

impl fmt::Display for BatchRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tenant.is_default() {
            true => f.pad(self.name.as_str()),
            false => write!(f, "{}/{}", self.tenant, self.name),
        }
    }
}

impl FromStr for BatchRef {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_once('/') {
            Some((tenant, name)) => Ok(Self { tenant: tenant.parse()?, name: name.parse()? }),
            None => Ok(BatchName::new(text)?.into()),
        }
    }
}

name!(
    /// A vendor's own id of a task; opaque to us, but short and printable.
    TaskId,
    "task id",
    200,
    "^[!-~]+$",
    "a task id has 1 to 200 printable ASCII characters",
    |c| c.is_ascii_graphic()
);

#[cfg(test)]
mod tests;
