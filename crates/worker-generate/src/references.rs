//! Addresses that a song gives its vendor to fetch from: checked once more right before they are sent.
//!
//! The settings may have changed since the song was submitted, and where a name leads is known only now.

use std::sync::Arc;
use std::time::Duration;

use songmill_core::{Fault, FaultKind, SongRequest};
use songmill_egress::{AddressPolicy, Failure, Resolver, SystemNames};
use songmill_vendors::{Address, Vendor};

/// Which addresses may be sent.
#[derive(Clone)]
pub(crate) struct References {
    policy: AddressPolicy,
    resolver: Resolver,
}

/// How long a name may take to resolve. The vendor resolves it by itself: what is not known here in time is sent.
const RESOLVE: Duration = Duration::from_secs(2);

impl References {
    pub(crate) fn new(policy: AddressPolicy) -> Self {
        Self { policy, resolver: Resolver::new(policy, Arc::new(SystemNames)) }
    }

    /// A fault where a request gives this vendor an address that is blocked.
    pub(crate) async fn check(&self, vendor: &dyn Vendor, song: &SongRequest) -> Result<(), Fault> {
        let has_any = song.reference_audio.is_some() || song.options.contains_key(&vendor.card().name);
        // What does not pass the plan is refused by the vendor's own translator.
        let Some(plan) = has_any.then(|| vendor.plan(song).ok()).flatten() else { return Ok(()) };
        for Address { field, url } in &plan.addresses {
            self.check_one(url).await.map_err(|blocked| {
                Fault::new(FaultKind::Rejected, "reference_blocked", format!("{field}: {blocked}"))
            })?;
        }
        Ok(())
    }

    async fn check_one(&self, url: &str) -> Result<(), Failure> {
        let url = self.policy.check(url)?;
        let Some(name) = url.domain().filter(|_| !self.policy.allow_private) else { return Ok(()) };
        match tokio::time::timeout(RESOLVE, self.resolver.resolve(name)).await {
            Ok(Err(Failure::Blocked(blocked))) => Err(blocked.into()),
            Ok(Ok(_) | Err(_)) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use songmill_egress::{Resolve, Resolving};
    use songmill_vendors::Vendors;

    use super::*;

    /// Every name leads into a private network.
    struct Inside;

    impl Resolve for Inside {
        fn resolve(&self, _: &str) -> Resolving {
            Box::pin(std::future::ready(Ok(vec!["169.254.169.254".parse().unwrap()])))
        }
    }

    /// What becomes of a song with each address that some vendor takes from it.
    async fn checked(references: &References, url: &str) -> Vec<(String, Result<(), Fault>)> {
        let mut all = Vec::new();
        for (vendor, option) in [("replicate", "input_audio"), ("inference_sh", "prompt_audio")] {
            let catalogue = Vendors::catalogue();
            let vendor = catalogue.get(&vendor.parse().unwrap()).unwrap().clone();
            let name = vendor.card().name.clone();
            let plain = serde_json::json!({ "lyrics": "[verse] la", "prompt": "p" });
            let mut neutral = plain.clone();
            neutral["reference_audio"] = url.into();
            let mut own = plain;
            own["options"] = serde_json::json!({ name.as_str(): { option: url } });
            for song in [neutral, own] {
                let song = SongRequest::from_json(song.to_string().as_bytes()).unwrap();
                all.push((format!("{name} {song:?}"), references.check(&*vendor, &song).await));
            }
        }
        all
    }

    #[tokio::test]
    async fn no_address_of_a_private_network_is_sent_by_number_or_by_name() {
        let policy = AddressPolicy::default();
        let inside = References { policy, resolver: Resolver::new(policy, Arc::new(Inside)) };
        for url in [
            "https://10.0.0.1/a.wav",
            "https://localhost/a.wav",
            "http://example.com/a.wav",
            "https://cdn.example.com/a.wav",
        ] {
            for (song, result) in checked(&inside, url).await {
                let fault = result.expect_err(&song);
                assert_eq!(
                    (fault.kind, fault.code.as_ref()),
                    (FaultKind::Rejected, "reference_blocked"),
                    "{url}: {song}"
                );
            }
        }
        let open = AddressPolicy { allow_http: true, allow_private: true };
        let open = References { policy: open, resolver: Resolver::new(open, Arc::new(Inside)) };
        for url in
            ["http://10.0.0.1/a.wav", "https://cdn.example.com/a.wav", "data:audio/wav;base64,UklGRg=="]
        {
            for (song, result) in checked(&open, url).await {
                assert!(result.is_ok(), "{url}: {song}: {result:?}");
            }
        }
    }
}
