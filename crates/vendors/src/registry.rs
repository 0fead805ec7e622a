//! All vendors that are configured.

use std::collections::BTreeMap;
use std::sync::Arc;

use songmill_core::VendorName;

use crate::contract::Vendor;

/// Every vendor's settings.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Tencent.
    pub tencent: crate::tencent::Settings,
    /// inference.sh.
    pub inference_sh: crate::inference_sh::Settings,
    /// Replicate.
    pub replicate: crate::replicate::Settings,
    /// SenseAudio.
    pub senseaudio: crate::senseaudio::Settings,
}

/// The vendors that can be used.
#[derive(Clone, Default)]
pub struct Vendors(BTreeMap<VendorName, Arc<dyn Vendor>>);
