//! Why work waits, as it is shown: what, where to put it right, when it is tried again.

use songmill_core::fault::reason;
use songmill_core::money::Amount;
use songmill_core::song::Moment;
use songmill_core::view::{BatchView, WaitReason, WaitView};
use songmill_core::{Timestamp, VendorName};
use songmill_store::{Batch, Because, Purse, PurseOf, ShutBy, Wait, WaitsOf};
use songmill_vendors::Vendors;

use crate::app::App;
use crate::problem::Problem;

impl App {
    /// Why songs wait, of these vendors.
    pub(crate) async fn waits(
        &self,
        vendors: &[VendorName],
        of: WaitsOf<'_>,
        for_operator: bool,
    ) -> Result<Vec<WaitView>, Problem> {
        let waits = self.store.waits(vendors, of).await?;
        let (now, currency) = (self.store.now(), self.policy().money.currency);
        Ok(waits.iter().map(|wait| view(wait, now, currency.as_str(), for_operator)).collect())
    }

    /// A batch with why its jobs wait, if any do.
    pub(crate) async fn batch_view(&self, batch: &Batch, for_operator: bool) -> Result<BatchView, Problem> {
        let mut view = batch.view(self.store.now(), &self.policy().money);
        let left = batch.counts.0.iter().any(|(state, count)| state.is_live() && *count > 0);
        if left {
            let vendors: Vec<_> = Vendors::catalogue().names().cloned().collect();
            view.waits = self.waits(&vendors, WaitsOf::Batch(batch), for_operator).await?;
        }
        Ok(view)
    }
}

fn view(wait: &Wait, now: Timestamp, currency: &str, for_operator: bool) -> WaitView {
    let vendor = wait.vendor.as_ref().map_or("", VendorName::as_str);
    let mut hint = None;
    let (why, code, message, link) = match &wait.because {
        Because::Paused(gate) => {
            let mut message = format!("{vendor} paused: {}", reason(&gate.code));
            if gate.by == ShutBy::Hand && !gate.words.is_empty() {
                message = format!("{message}: {}", gate.words);
            }
            let catalogue = Vendors::catalogue();
            let card = catalogue.cards().find(|card| card.name.as_str() == vendor);
            let link = card.and_then(|card| card.links.of_code(&gate.code));
            (WaitReason::Paused, Some(gate.code.clone()), message, link.map(str::to_owned))
        }
        Because::Budget(purse) => {
            (WaitReason::Budget, None, of_budget(vendor, purse, currency, for_operator), None)
        }
        Because::AskedToWait(_) => {
            (WaitReason::AskedToWait, None, format!("{vendor} asked for a pause"), None)
        }
        Because::NoWorker(missing) => {
            let (message, next) = crate::workers::missing(missing);
            hint = Some(next);
            (WaitReason::NoWorker, None, message, None)
        }
    };
    WaitView {
        vendor: wait.vendor.clone(),
        reason: why,
        code,
        message,
        hint,
        budget: match &wait.because {
            Because::Budget(purse) => Some(purse.of.as_str().to_owned()),
            Because::Paused(_) | Because::AskedToWait(_) | Because::NoWorker(_) => None,
        },
        link,
        next_try_at: wait.next_try(now).map(|at| Moment(at).to_string()),
        needs_person: wait.needs_person(),
        songs: wait.songs,
    }
}

fn of_budget(vendor: &str, purse: &Purse, currency: &str, for_operator: bool) -> String {
    let Purse { of, tenant, batch, most, spent, price } = purse;
    let batch = batch.as_ref().map(ToString::to_string).unwrap_or_default();
    let (of_what, raise) = match of {
        PurseOf::Day => ("of all tenants for today".to_owned(), "songmill budget set day AMOUNT".to_owned()),
        PurseOf::Tenant => (
            format!("of tenant {tenant} for today"),
            format!("songmill budget set tenant AMOUNT --tenant {tenant}"),
        ),
        PurseOf::Batch => {
            (format!("of batch {batch}"), format!("songmill budget set batch AMOUNT --batch {batch}"))
        }
    };
    let used = format!("{vendor}: the budget {of_what} is used up");
    if *of == PurseOf::Day && !for_operator {
        return used;
    }
    let [most, spent, price] = [most, spent, price].map(|micros| Amount::of_micros(*micros));
    format!(
        "{used}: {spent} of {most} {currency} are spent or reserved, the next song costs {price}; raise it with `{raise}`"
    )
}
