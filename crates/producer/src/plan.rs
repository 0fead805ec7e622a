//! From a song request to the routes a job may take.

use songmill_core::job::Route;
use songmill_core::song::{Invalid, VendorChoice};
use songmill_core::{SongRequest, VendorName};
use songmill_vendors::{Plan, Vendors};

use crate::outlook::Outlook;

/// Plans a request with the vendors it names, in its order; for `auto` with all that can, in the order of the outlook.
///
/// One vendor that cannot do it is refused with its reasons; of several, those that cannot are left out as
/// long as one can.
pub fn plan(
    song: &SongRequest,
    vendors: &Vendors,
    default: Option<&VendorChoice>,
    outlook: &Outlook,
) -> Result<Vec<Route>, Invalid> {
    song.check()?;
    let names = song.vendor.as_ref().or(default).map(VendorChoice::names).unwrap_or_default();
    if names.is_empty() {
        let fix = format!("name one or several of {}", listed(vendors));
        return Err(Invalid::one("vendor", "is missing", fix));
    }
    let auto = names.iter().any(VendorChoice::is_auto);
    let all: Vec<VendorName>;
    let names = if auto {
        all = vendors.names().cloned().collect();
        &all
    } else {
        names
    };
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
            Ok(Plan { steps, dropped, changes, size }) => {
                routes.push(Route { vendor: name.clone(), steps, dropped, changes, size });
            }
            Err(invalid) => refused.problems.extend(invalid.problems),
        }
    }
    if routes.is_empty() {
        return Err(if auto { none_can(&refused) } else { refused });
    }
    if auto {
        outlook.best_first(&mut routes);
    }
    Ok(routes)
}

/// What each vendor misses, where any would do.
fn none_can(refused: &Invalid) -> Invalid {
    let why: Vec<_> = refused.problems.iter().map(ToString::to_string).collect();
    let words = if why.is_empty() { "no vendor has a key set".to_owned() } else { why.join("; ") };
    Invalid::one(
        "vendor",
        format!("is auto, and no vendor can do it: {words}"),
        "mend what one of them misses",
    )
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
