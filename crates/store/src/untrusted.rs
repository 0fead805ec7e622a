//! Connections by TLS that come to nothing because one side does not trust the other.

use redis::RedisError;

/// Why there is no trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untrusted {
    /// Redis' certificate is signed by nobody we trust.
    Issuer,
    /// It is for another name.
    Name,
    /// It is too old, or not valid yet.
    Expired,
    /// It is not usable for another reason.
    Other,
    /// Redis wants a certificate of ours.
    NoCertificate,
    /// Redis does not trust ours.
    OurCertificate,
}

/// What the TLS library says, in the order in which it is looked for.
const WORDS: [(&str, Untrusted); 15] = [
    ("UnknownIssuer", Untrusted::Issuer),
    ("CaUsedAsEndEntity", Untrusted::Issuer),
    ("NotValidForName", Untrusted::Name),
    ("not valid for name", Untrusted::Name),
    ("Expired", Untrusted::Expired),
    ("certificate expired", Untrusted::Expired),
    ("not valid yet", Untrusted::Expired),
    ("NotValidYet", Untrusted::Expired),
    ("CertificateRequired", Untrusted::NoCertificate),
    ("HandshakeFailure", Untrusted::NoCertificate),
    ("UnknownCA", Untrusted::OurCertificate),
    ("DecryptError", Untrusted::OurCertificate),
    ("BadCertificate", Untrusted::OurCertificate),
    ("CertificateUnknown", Untrusted::OurCertificate),
    ("invalid peer certificate", Untrusted::Other),
];

impl Untrusted {
    pub(crate) fn of(error: &RedisError) -> Option<Self> {
        if !error.is_io_error() {
            return None;
        }
        let said = format!("{error} {error:?}");
        WORDS.into_iter().find(|(word, _)| said.contains(word)).map(|(_, untrusted)| untrusted)
    }

    /// What is the matter, and what to do about it.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Issuer => {
                "redis' certificate is signed by nobody that this machine trusts: name its CA in redis.ca_file"
            }
            Self::Name => "redis' certificate is for another name than the one in redis.url",
            Self::Expired => {
                "redis' certificate is too old, or not valid yet: renew it, and check this machine's clock"
            }
            Self::Other => "redis' certificate cannot be trusted",
            Self::NoCertificate => {
                "redis wants a certificate from us: set redis.cert_file and redis.key_file"
            }
            Self::OurCertificate => {
                "redis does not trust our certificate: redis.cert_file must be signed by a CA that redis knows (tls-ca-cert-file)"
            }
        }
    }
}
