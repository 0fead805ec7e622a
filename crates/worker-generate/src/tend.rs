//! What waiting jobs need beside claims: those past their deadline end, and those whose vendor's gate is shut go on to
//! the next vendor that they name.

use std::collections::BTreeMap;
use std::time::Duration;

use songmill_core::{Event, Fault, VendorName};
use songmill_store::{Gate, ShutBy, Store, StoreError};
use songmill_vendors::Vendors;

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// Jobs looked at in one round, each of those past their deadline and those that may go elsewhere.
const MOST: usize = 512;

/// Goes round until it is dropped. Every process does; what another has done already changes nothing.
pub(crate) async fn tend(store: Store, vendors: Vendors) {
    let mut from = BTreeMap::new();
    loop {
        tokio::time::sleep(ROUND).await;
        if let Err(error) = round(&store, &vendors, &mut from).await {
            tracing::warn!(%error, "deadlines and shut gates are seen to as soon as redis answers");
        }
    }
}

async fn round(
    store: &Store,
    vendors: &Vendors,
    from: &mut BTreeMap<VendorName, usize>,
) -> Result<(), StoreError> {
    store.end_overdue(MOST).await?;
    let mut shut = BTreeMap::new();
    for name in vendors.names() {
        if let Some(gate) = store.flow(name).await?.gate {
            shut.insert(name.clone(), gate);
        }
    }
    for (name, gate) in shut.iter().filter(|(_, gate)| stays_shut(gate)) {
        let from = from.entry(name.clone()).or_default();
        divert(store, name, &gate.fault(), &shut, from).await?;
    }
    Ok(())
}

/// Whether a gate is not expected to open in a moment: one that failures shut is tried once first.
fn stays_shut(gate: &Gate) -> bool {
    match gate.by {
        ShutBy::Locked | ShutBy::Hand => true,
        ShutBy::Failing => gate.trips > 1,
    }
}

/// Sends waiting jobs on to the next vendor they name, if that one's gate is open.
async fn divert(
    store: &Store,
    vendor: &VendorName,
    fault: &Fault,
    shut: &BTreeMap<VendorName, Gate>,
    from: &mut usize,
) -> Result<(), StoreError> {
    let waiting = store.waiting_with_others(vendor, *from, MOST).await?;
    if waiting.is_empty() {
        *from = 0;
        return Ok(());
    }
    let event = Event::Shut { fault: fault.clone() };
    let mut stayed = 0;
    for job in &waiting {
        match job.routes.get(job.route as usize + 1) {
            Some(next) if !shut.contains_key(&next.vendor) => {
                store.apply(job.id, &event).await?;
            }
            _ => stayed += 1,
        }
    }
    // Those that stay are looked at again when all others have been.
    *from += stayed;
    tracing::info!(%vendor, jobs = waiting.len() - stayed, "{vendor} is shut: jobs go on to the next vendor they name");
    Ok(())
}
