//! Vendors: what they can do, and how much goes on there.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Out;
use axum::extract::State;
use axum::http::Method;
use songmill_core::Stage;
use songmill_store::Scope;
use songmill_vendors::Vendors;

use crate::app::App;
use crate::caller::Caller;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::views::{Listed, VendorView};

pub(crate) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/v1/vendors", "vendor_list", list)
            .says("Lists vendors", "What each can do; an operator sees how many jobs wait there, too.")
            .for_scope(Scope::Read)
            .reply::<Listed<VendorView>>(200, "All of them"),
    ]
}

async fn list(State(app): State<Arc<App>>, caller: Caller) -> Result<Out<Listed<VendorView>>, Problem> {
    let mut data = Vec::new();
    for card in Vendors::catalogue().cards() {
        let waiting = match caller.may(Scope::Admin) {
            true => {
                let depths = app.store.depths(&card.name).await?;
                let named = |(stage, count): (Stage, u64)| (stage.to_string(), count);
                Some(depths.into_iter().map(named).collect::<BTreeMap<_, _>>())
            }
            false => None,
        };
        data.push(VendorView {
            name: card.name.clone(),
            title: card.title.to_owned(),
            usable: app.vendors.get(&card.name).is_some(),
            honours: card.honours.to_vec(),
            most_songs: card.most_songs,
            calls_back: card.calls_back,
            look_up: card.policy.look_up,
            cancel: card.policy.cancel,
            creates_per_minute: Some(app.policy().vendor(&card.name).limits.creates_per_minute)
                .filter(|most| *most > 0),
            waiting,
            options: card.options.clone().to_value(),
        });
    }
    Ok(Out(Listed { data, next: None }))
}
