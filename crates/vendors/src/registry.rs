//! All vendors that are configured.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use songmill_core::{Timestamp, VendorName};

use crate::contract::{Card, Vendor};
use crate::inference_sh::{self, InferenceSh};
use crate::replicate::{self, Replicate};
use crate::secret::Secret;
use crate::senseaudio::{self, SenseAudio};
use crate::tencent::{self, Clock, Tencent};

/// Every vendor's settings, each under the vendor's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Tencent.
    pub tencent: tencent::Settings,
    /// inference.sh.
    pub inference_sh: inference_sh::Settings,
    /// Replicate.
    pub replicate: replicate::Settings,
    /// SenseAudio.
    pub senseaudio: senseaudio::Settings,
}

impl Settings {
    /// Forgets the keys that tasks are created with.
    pub fn drop_keys(&mut self) {
        let Self { tencent, inference_sh, replicate, senseaudio } = self;
        let keys = [
            &mut tencent.secret_id,
            &mut tencent.secret_key,
            &mut tencent.gateway_id,
            &mut tencent.gateway_key,
            &mut inference_sh.key,
            &mut replicate.token,
            &mut senseaudio.key,
        ];
        keys.into_iter().for_each(|key| *key = Secret::default());
    }

    /// Forgets the secrets that callbacks are verified with.
    pub fn drop_webhook_secrets(&mut self) {
        self.replicate.webhook_secrets.clear();
    }
}

/// The vendors that can be used, by name.
#[derive(Clone, Default)]
pub struct Vendors(BTreeMap<VendorName, Arc<dyn Vendor>>);

impl std::fmt::Debug for Vendors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

static CATALOGUE: LazyLock<Vendors> = LazyLock::new(Vendors::all);

impl Vendors {
    /// The vendors that have a key and are not switched off; the clock is for those that sign with the time.
    pub fn from_settings(settings: &Settings, clock: Clock) -> Self {
        let mut vendors: Vec<Arc<dyn Vendor>> = Vec::new();
        let Settings { tencent, inference_sh, replicate, senseaudio } = settings;
        if inference_sh.enabled && !inference_sh.key.is_empty() {
            vendors.push(Arc::new(InferenceSh::new(inference_sh.clone())));
        }
        if replicate.enabled && !replicate.token.is_empty() {
            vendors.push(Arc::new(Replicate::new(replicate.clone())));
        }
        if senseaudio.enabled && !senseaudio.key.is_empty() {
            vendors.push(Arc::new(SenseAudio::new(senseaudio.clone())));
        }
        if tencent.enabled && !tencent.secret_id.is_empty() {
            vendors.push(Arc::new(Tencent::new(tencent.clone(), clock)));
        }
        Self::with(vendors)
    }

    /// Those of these vendors that are switched on, or all, whether or not they have a key: what they are, what can be
    /// asked of them and how their callbacks are read, for those who submit nothing.
    pub fn without_keys(settings: &Settings, only: Option<&[VendorName]>, clock: Clock) -> Self {
        let mut settings = settings.clone();
        settings.drop_keys();
        let Settings { tencent, inference_sh, replicate, senseaudio } = settings;
        let mut vendors: Vec<Arc<dyn Vendor>> = Vec::new();
        if inference_sh.enabled {
            vendors.push(Arc::new(InferenceSh::new(inference_sh)));
        }
        if replicate.enabled {
            vendors.push(Arc::new(Replicate::new(replicate)));
        }
        if senseaudio.enabled {
            vendors.push(Arc::new(SenseAudio::new(senseaudio)));
        }
        if tencent.enabled {
            vendors.push(Arc::new(Tencent::new(tencent, clock)));
        }
        vendors.retain(|vendor| only.is_none_or(|only| only.contains(&vendor.card().name)));
        Self::with(vendors)
    }

    /// Every vendor there is, configured or not, with default settings: for schemas and lists, not for orders.
    pub fn catalogue() -> &'static Self {
        &CATALOGUE
    }

    fn all() -> Self {
        Self::with(vec![
            Arc::new(InferenceSh::new(inference_sh::Settings::default())),
            Arc::new(Replicate::new(replicate::Settings::default())),
            Arc::new(SenseAudio::new(senseaudio::Settings::default())),
            Arc::new(Tencent::new(tencent::Settings::default(), Timestamp::default)),
        ])
    }

    /// These vendors, such as a test's own; of two with one name the later one stays.
    pub fn with(vendors: Vec<Arc<dyn Vendor>>) -> Self {
        Self(vendors.into_iter().map(|vendor| (vendor.card().name.clone(), vendor)).collect())
    }

    /// The vendor of this name, when it can be used.
    pub fn get(&self, name: &VendorName) -> Option<&Arc<dyn Vendor>> {
        self.0.get(name)
    }

    /// The vendors in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Vendor>> {
        self.0.values()
    }

    /// Their names in order.
    pub fn names(&self) -> impl Iterator<Item = &VendorName> {
        self.0.keys()
    }

    /// What they are and can do, in the order of their names.
    pub fn cards(&self) -> impl Iterator<Item = &Card> {
        self.0.values().map(|vendor| vendor.card())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
