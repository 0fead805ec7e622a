//! From a song request to the routes a job may take.

use songmill_core::job::Route;
use songmill_core::song::{Invalid, VendorChoice};
use songmill_core::{SongRequest, VendorName};
use songmill_vendors::Vendors;

/// Plans a request with the vendors it names, in its order.
///
/// One vendor that cannot do it is refused with its reasons; of several, those that cannot are left out as
/// long as one can.
pub fn plan(
    song: &SongRequest,
    vendors: &Vendors,
    default: Option<&VendorChoice>,
) -> Result<Vec<Route>, Invalid> {
    song.check()?;
    let names = song.vendor.as_ref().or(default).map(VendorChoice::names).unwrap_or_default();
    if names.is_empty() {
        let fix = format!("name one or several of {}", listed(vendors));
        return Err(Invalid::one("vendor", "is missing", fix));
    }
    let mut wrong = Invalid::default();
    for name in song.options.keys().filter(|name| !names.contains(name)) {
        wrong.push(
            format!("options.{name}"),
            "is for a vendor that is not asked for",
            "name it in vendor or leave it out",
        );
    }
    wrong.none_or_err()?;

    let (mut routes, mut refused) = (Vec::new(), Invalid::default());
    for name in names {
        let Some(vendor) = vendors.get(name) else {
            unusable(name, vendors, &mut refused);
            continue;
        };
        match vendor.plan(song) {
            Ok(plan) => routes.push(Route { vendor: name.clone(), steps: plan.steps, dropped: plan.dropped }),
            Err(invalid) => refused.problems.extend(invalid.problems),
        }
    }
    if routes.is_empty() { Err(refused) } else { Ok(routes) }
}

fn unusable(name: &VendorName, vendors: &Vendors, refused: &mut Invalid) {
    if Vendors::catalogue().get(name).is_some() {
        let fix = "set its key (see `songmill config`), or name another vendor";
        refused.push("vendor", format!("names {name}, which has no key set"), fix);
    } else {
        refused.push(
            "vendor",
            format!("names {name}, which is not known"),
            format!("name one of {}", listed(vendors)),
        );
    }
}

fn listed(vendors: &Vendors) -> String {
    let names: Vec<_> = vendors.names().map(VendorName::as_str).collect();
    if names.is_empty() { "the vendors, once one has its key set".into() } else { names.join(", ") }
}
