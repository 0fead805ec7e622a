//! Signatures of requests to buckets: AWS Signature Version 4, in headers, as S3 and its like take it.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::provenance::hex;

/// Signs requests with a key.
pub(super) struct Signer {
    pub(super) region: String,
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
}

/// What a signed request carries.
pub(super) struct Signed {
    /// `authorization`.
    pub(super) authorization: String,
    /// `x-amz-date`.
    pub(super) date: String,
    /// `x-amz-content-sha256`: the hash of no content.
    pub(super) content: &'static str,
}

const NO_CONTENT: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl Signer {
    /// Signs a GET of a path, encoded as it is sent.
    pub(super) fn sign(&self, host: &str, path: &str, now: Timestamp) -> Signed {
        self.sign_with(host, path, now, &[])
    }

    /// The same with more headers, between `host` and `x-amz-…` in the order of their names.
    fn sign_with(&self, host: &str, path: &str, now: Timestamp, more: &[(&str, &str)]) -> Signed {
        let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let day = &date[..8];
        let fixed = [("x-amz-content-sha256", NO_CONTENT), ("x-amz-date", date.as_str())];
        let headers: Vec<_> = [&[("host", host)], more, &fixed].concat();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let request = format!("GET\n{path}\n\n{lines}\n{names}\n{NO_CONTENT}");
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let hash = hex(&Sha256::digest(request.as_bytes()));
        let signed = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let secret = format!("AWS4{}", self.secret_access_key);
        let key = [day, &self.region, "s3", "aws4_request", &signed]
            .iter()
            .fold(secret.into_bytes(), |key, part| mac(&key, part));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
            self.access_key_id,
            hex(&key)
        );
        Signed { authorization, date, content: NO_CONTENT }
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is one");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_aws_is_signed_as_it_says() {
        // "Examples: Signature Calculations" in the Amazon S3 API Reference: GET Object.
        let signer = Signer {
            region: "us-east-1".into(),
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
        };
        let at = "2013-05-24T00:00:00Z".parse().unwrap();
        let range = [("range", "bytes=0-9")];
        let signed = signer.sign_with("examplebucket.s3.amazonaws.com", "/test.txt", at, &range);
        assert_eq!(
            signed.authorization,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(signed.date, "20130524T000000Z");
    }
}
