//! How vendors are doing, for requests that leave the choice to us.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use songmill_core::job::Route;
use songmill_core::pace::Pace;
use songmill_core::{Money, Policy, VendorName};
use songmill_store::{Store, StoreError};
use songmill_vendors::Vendors;

/// What is to be expected of each vendor.
#[derive(Debug, Default)]
pub struct Outlook {
    money: Money,
    vendors: BTreeMap<VendorName, Prospect>,
}

/// What is to be expected of a vendor.
#[derive(Debug, Default)]
struct Prospect {
    /// Its gate is shut.
    shut: bool,
    /// Jobs before a new one.
    ahead: u64,
    /// Submissions that it takes in a second; none where that is not limited.
    per_second: Option<f64>,
    /// How long its tasks take, in seconds.
    takes_s: f64,
    /// Jobs that were sent there since this was found out.
    sent: AtomicU64,
}

impl Outlook {
    /// What the store knows of these vendors now.
    pub async fn read(store: &Store, vendors: &Vendors) -> Result<Self, StoreError> {
        let names: Vec<_> = vendors.names().cloned().collect();
        let (policy, pace) = (store.policy(), store.read_pace(&names).await?);
        let mut outlook = Self { money: policy.money.clone(), vendors: BTreeMap::new() };
        for name in names {
            let flow = store.flow(&name).await?;
            let takes_s = takes(&pace, &policy, &name);
            let by_rate = (flow.creates.allowed > 0.0).then(|| flow.creates.allowed / 60.0);
            // As many as may be under way, each for as long as a task takes.
            let by_room =
                (flow.most_in_flight > 0).then(|| f64::from(flow.most_in_flight) / takes_s.max(0.1));
            let per_second = [by_rate, by_room].into_iter().flatten().reduce(f64::min);
            let prospect = Prospect {
                // One that a tenant's own failures have shut lets the others through.
                shut: flow.gate.is_some_and(|gate| gate.only.is_none() && gate.keeps_shut(store.now())),
                ahead: flow.ready + flow.later,
                per_second,
                takes_s,
                sent: AtomicU64::new(0),
            };
            outlook.vendors.insert(name, prospect);
        }
        Ok(outlook)
    }

    /// Orders routes: open gates before shut ones, then by price and waiting together.
    pub(crate) fn best_first(&self, routes: &mut [Route]) {
        let worth = |route: &Route| {
            let price = self.money.of_route(route);
            let (shut, wait_s) = self.vendors.get(&route.vendor).map_or((false, 0.0), Prospect::wait);
            // What it leaves out counts when all else is equal.
            (shut, price as f64 / 1e6 + self.money.hour * wait_s / 3600.0, route.dropped.len())
        };
        routes.sort_by(|a, b| {
            let (a, b) = (worth(a), worth(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
        });
        if let Some(first) = routes.first().and_then(|route| self.vendors.get(&route.vendor)) {
            first.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Prospect {
    /// Whether the gate is shut, and in how many seconds a new job's song should be there.
    fn wait(&self) -> (bool, f64) {
        let ahead = (self.ahead + self.sent.load(Ordering::Relaxed)) as f64;
        let queue_s = self.per_second.map_or(0.0, |rate| ahead / rate.max(1e-3));
        (self.shut, queue_s + self.takes_s)
    }
}

/// How long half of a vendor's latest tasks took, in seconds; until that is known, when they are first looked at.
fn takes(pace: &Pace, policy: &Policy, vendor: &VendorName) -> f64 {
    let kinds = pace.took.get(vendor).into_iter().flatten();
    let usual = kinds.max_by_key(|(_, took)| took.count()).and_then(|(_, took)| took.quantile(0.5));
    usual.unwrap_or_else(|| policy.vendor(vendor).poll_first.get()).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use songmill_core::Price;
    use songmill_core::job::StepKind;

    use super::*;

    fn route(vendor: &str) -> Route {
        Route::new(VendorName::new(vendor).unwrap(), vec![StepKind::Song])
    }

    fn outlook(of: &[(&str, f64, Prospect)]) -> Outlook {
        let mut outlook = Outlook::default();
        outlook.money.hour = 1.0;
        for (name, song, prospect) in of {
            let name = VendorName::new(name).unwrap();
            outlook.money.prices.insert(name.clone(), Price { song: *song, ..Price::default() });
            let Prospect { shut, ahead, per_second, takes_s, .. } = *prospect;
            outlook
                .vendors
                .insert(name, Prospect { shut, ahead, per_second, takes_s, sent: AtomicU64::new(0) });
        }
        outlook
    }

    fn first(outlook: &Outlook) -> String {
        let mut routes = vec![route("a"), route("b")];
        outlook.best_first(&mut routes);
        routes[0].vendor.to_string()
    }

    fn prospect(shut: bool, per_second: f64) -> Prospect {
        Prospect { shut, per_second: Some(per_second), takes_s: 30.0, ..Prospect::default() }
    }

    #[test]
    fn the_cheaper_is_first_until_waiting_for_it_costs_more() {
        let outlook = outlook(&[("a", 0.10, prospect(false, 1.0)), ("b", 0.12, prospect(false, 1.0))]);
        let firsts: Vec<_> = (0..300).map(|_| first(&outlook)).collect();
        // An hour is worth 1: the difference of 0.02 is worth 72 s, at one a second 72 jobs.
        assert!(firsts[..72].iter().all(|name| name == "a"), "{firsts:?}");
        let b = firsts.iter().filter(|name| *name == "b").count();
        assert!((100..130).contains(&b), "{b}");
    }

    #[test]
    fn a_shut_gate_comes_last_whatever_it_costs() {
        let outlook = outlook(&[("a", 0.0, prospect(true, 100.0)), ("b", 9.0, prospect(false, 0.1))]);
        assert_eq!(first(&outlook), "b");
    }
}
