//! From a song request to the routes a job may take.

use songmill_core::job::Route;
use songmill_core::song::Field;
use songmill_core::song::{Invalid, VendorChoice};
use songmill_core::{SongRequest, VendorName};
use songmill_egress::AddressPolicy;
use songmill_vendors::{Address, Plan, Vendors};

use crate::outlook::Outlook;

/// What requests are planned with.
#[derive(Clone, Copy)]
pub struct Planner<'a> {
    /// The vendors that can be asked.
    pub vendors: &'a Vendors,
    /// The one that is asked where a request names none.
    pub default_vendor: Option<&'a VendorChoice>,
    /// Which addresses a request may give a vendor to fetch from.
    pub addresses: AddressPolicy,
}

/// Plans a request with the vendors it names, in its order; for `auto` with all that can, in the order of the outlook.
///
/// One vendor that cannot do it is refused with its reasons; of several, those that cannot are left out as
/// long as one can.
pub fn plan(song: &SongRequest, planner: &Planner<'_>, outlook: &Outlook) -> Result<Vec<Route>, Invalid> {
    let Planner { vendors, default_vendor: default, addresses: policy } = *planner;
    song.check()?;
    if let Some(url) = song.reference_audio.as_ref().filter(|url| !url.starts_with("data:")) {
        // Also where a vendor would leave it out: another one may not.
        let mut wrong = Invalid::default();
        check_address(Field::ReferenceAudio.as_str(), url, policy, &mut wrong);
        wrong.none_or_err()?;
    }
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
            Ok(Plan { steps, dropped, changes, size, addresses }) => {
                let mut blocked = Invalid::default();
                for field in Field::ESSENTIAL {
                    if dropped.contains(&field) && !song.allow_ignored.contains(&field) {
                        let fault = format!("would be ignored: {name} {}", field.cannot());
                        let fix = "name a vendor that supports it, or allow it with allow_ignored (--allow-ignored)";
                        blocked.push(field.as_str(), fault, fix);
                    }
                }
                for Address { field, url } in &addresses {
                    check_address(field, url, policy, &mut blocked);
                }
                match blocked.none_or_err() {
                    Ok(()) => routes.push(Route { vendor: name.clone(), steps, dropped, changes, size }),
                    Err(blocked) => refused.problems.extend(blocked.problems),
                }
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

/// Notes an address that nobody is to be sent to, as far as its text says.
fn check_address(field: &str, url: &str, policy: AddressPolicy, wrong: &mut Invalid) {
    if let Err(blocked) = policy.check(url) {
        let fix = "use a public https: address without user and password, or data:audio/wav;base64,…";
        wrong.push(field, format!("is an address that is blocked: {blocked}"), fix);
    }
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

#[cfg(test)]
mod tests;
