//! What waiting jobs need beside claims: those past their deadline end, and those whose vendor's gate is shut go on to
//! the next vendor that they name.

use std::collections::BTreeMap;
use std::time::Duration;

use songmill_core::{Event, VendorName};
use songmill_store::{Applied, Gate, ShutBy, Store, StoreError};
use songmill_vendors::Vendors;

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// Jobs whose deadline is seen to in one round.
const OVERDUE: usize = 512;
/// Jobs of a lane, and of all of them, that are looked at in one round.
const OF_A_LANE: usize = 64;
const OF_ALL: usize = 1024;

/// How far each lane of each vendor has been looked through.
type Places = BTreeMap<(VendorName, String), usize>;

/// Goes round until it is dropped. Every process does; what another has done already changes nothing.
pub(crate) async fn tend(store: Store, vendors: Vendors) {
    let mut places = Places::new();
    loop {
        tokio::time::sleep(ROUND).await;
        if let Err(error) = round(&store, &vendors, &mut places).await {
            tracing::warn!(%error, "deadlines and shut gates are seen to as soon as redis answers");
        }
    }
}

async fn round(store: &Store, vendors: &Vendors, places: &mut Places) -> Result<(), StoreError> {
    store.end_overdue(OVERDUE).await?;
    let mut shut = BTreeMap::new();
    for name in vendors.names() {
        if let Some(gate) = store.flow(name).await?.gate {
            shut.insert(name.clone(), gate);
        }
    }
    places.retain(|(vendor, _), _| shut.contains_key(vendor));
    // While it would let one through to find out, those that wait stay: one of them is it.
    let now = store.now();
    for (name, gate) in shut.iter().filter(|(_, gate)| stays_shut(gate) && gate.keeps_shut(now)) {
        divert(store, name, gate, &shut, places).await?;
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
    gate: &Gate,
    shut: &BTreeMap<VendorName, Gate>,
    places: &mut Places,
) -> Result<(), StoreError> {
    let mut lanes = store.lanes_with_others(vendor).await?;
    places.retain(|(of, lane), _| of != vendor || lanes.contains(lane));
    if let Some(only) = &gate.only {
        // Others are let through to find out.
        let own = format!("{only}:");
        lanes.retain(|lane| lane.starts_with(&own));
    }
    // Those that were looked at least come first.
    lanes.sort_by_key(|lane| places.get(&(vendor.clone(), lane.clone())).copied().unwrap_or(0));
    let event = Event::Shut { vendor: vendor.clone(), fault: gate.fault() };
    let (mut looked, mut gone) = (0, 0);
    for lane in lanes {
        if looked >= OF_ALL {
            break;
        }
        let place = places.entry((vendor.clone(), lane.clone())).or_default();
        let waiting = store.in_lane(vendor, &lane, *place, OF_A_LANE).await?;
        if waiting.is_empty() {
            *place = 0;
            continue;
        }
        looked += waiting.len();
        for job in &waiting {
            let next = job.routes.get(job.route as usize + 1).map(|route| &route.vendor);
            let is_shut = |gate: &Gate| gate.only.as_ref().is_none_or(|only| *only == job.tenant);
            let open = next.is_some_and(|next| !shut.get(next).is_some_and(is_shut));
            // Those that stay are looked at again when all others of the lane have been.
            match open && matches!(store.apply(job.id, &event).await?, Applied::Changed(_)) {
                true => gone += 1,
                false => *place += 1,
            }
        }
    }
    if gone > 0 {
        tracing::info!(%vendor, jobs = gone, "{vendor} is shut: jobs go on to the next vendor they name");
    }
    Ok(())
}
