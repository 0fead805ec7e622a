//! What handlers work with, and the router made of them.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use serde_json::Value;
use songmill_core::song::VendorChoice;
use songmill_core::view::JobView;
use songmill_core::{JobId, Policy};
use songmill_egress::AddressPolicy;
use songmill_http_server::{BodyBudget, Counted};
use songmill_producer::Producer;
use songmill_store::{Store, Stored};
use songmill_vendors::Vendors;
use songmill_worker_deliver::Library;
use tokio_util::sync::CancellationToken;
use tower_http::cors::CorsLayer;

use crate::caller::{Caller, Keyring};
use crate::checked::checked;
use crate::front::{front, not_so, nothing_here, scoped};
use crate::live::Hub;
use crate::once::once;
use crate::operation::Operation;
use crate::problem::Problem;
use crate::rate::Rates;
use crate::settings::Settings;
use crate::share::Places;
use crate::{
    assets, batches, docs, endpoints, erase, events, jobs, keys, live, notices, openapi, plan, prices, spend,
    upload, vendors, workers,
};

/// What the API is made of.
pub struct Parts {
    /// The store.
    pub store: Store,
    /// The vendors that can be used.
    pub vendors: Vendors,
    /// The vendor of requests that name none.
    pub default_vendor: Option<VendorChoice>,
    /// Where audio lies.
    pub library: Library,
    /// Which addresses may be endpoints.
    pub endpoint_policy: AddressPolicy,
    /// Which addresses songs may give vendors to fetch from: those that audio is fetched from.
    pub audio_policy: AddressPolicy,
}

/// The API.
#[derive(Clone)]
pub struct Api(Arc<App>);

/// What handlers work with.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) producer: Producer,
    pub(crate) vendors: Vendors,
    pub(crate) library: Library,
    pub(crate) endpoint_policy: AddressPolicy,
    pub(crate) settings: Settings,
    pub(crate) keyring: Keyring,
    pub(crate) rates: Rates,
    pub(crate) bodies: BodyBudget,
    pub(crate) uploads: Places,
    pub(crate) downloads: Places,
    pub(crate) exports: Places,
    pub(crate) streams: Places,
    pub(crate) requests: Places,
    pub(crate) refused: Counted,
    pub(crate) hub: Hub,
    /// The OpenAPI document, and the page that shows it: written once for everybody.
    pub(crate) document: Bytes,
    pub(crate) page: Bytes,
}

fn operations() -> Vec<Operation> {
    [
        jobs::operations(),
        assets::operations(),
        batches::operations(),
        upload::operations(),
        plan::operations(),
        vendors::operations(),
        workers::operations(),
        spend::operations(),
        prices::operations(),
        events::operations(),
        live::operations(),
        endpoints::operations(),
        notices::operations(),
        keys::operations(),
        erase::operations(),
        docs::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The OpenAPI document.
pub fn document() -> Value {
    openapi::document(&operations())
}

impl Api {
    /// Makes the API; live streams end when `shutdown` is cancelled.
    pub fn new(parts: Parts, settings: Settings, shutdown: CancellationToken) -> Self {
        let Parts { store, vendors, default_vendor, library, endpoint_policy, audio_policy } = parts;
        let document = document();
        Self(Arc::new(App {
            producer: Producer::new(store.clone(), vendors.clone())
                .with_address_policy(audio_policy)
                .with_default_vendor(default_vendor),
            hub: Hub::new(store.clone(), shutdown),
            store,
            vendors,
            library,
            endpoint_policy,
            keyring: Keyring::default(),
            rates: Rates::new(settings.requests_per_minute),
            bodies: BodyBudget::new(settings.http.max_buffered_bytes, settings.body_bytes),
            uploads: Places::new(settings.uploads),
            downloads: Places::new(settings.downloads),
            exports: Places::new(settings.exports),
            streams: Places::new(settings.streams),
            requests: Places::new(settings.http.max_requests),
            refused: Counted::default(),
            page: docs::page(&document).into(),
            document: document.to_string().into(),
            settings,
        }))
    }

    /// Everything that is served.
    pub fn router(&self) -> Router {
        let app = &self.0;
        let mut router = Router::new();
        for operation in operations() {
            let mut handler = operation.handler;
            if operation.once {
                handler = handler.layer(from_fn_with_state(app.clone(), once));
            }
            let expected = Arc::new(operation.expected);
            handler = handler.layer(from_fn_with_state((app.clone(), expected), checked));
            if let Some(scope) = operation.scope {
                handler = handler.layer(from_fn_with_state(scope, scoped));
            }
            router = router.route(operation.path, handler);
        }
        router
            .fallback(nothing_here)
            .method_not_allowed_fallback(not_so)
            .layer(from_fn_with_state(app.clone(), front))
            .layer(tower::util::option_layer(cors(&app.settings.cors_origins)))
            .layer(map_response(sniffed_by_nobody))
            .with_state(app.clone())
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }
}

/// None but those of the settings; what is not one is left out.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let headers =
        ["idempotency-key", "last-event-id", "traceparent", "x-request-id"].map(HeaderName::from_static);
    let layer = CorsLayer::new()
        .allow_origin(origins.iter().filter_map(|origin| origin.parse().ok()).collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers(
            [header::AUTHORIZATION, header::CONTENT_TYPE].into_iter().chain(headers).collect::<Vec<_>>(),
        )
        .expose_headers(
            ["x-request-id", "ratelimit", "retry-after", "location"].map(HeaderName::from_static),
        );
    Some(layer)
}

/// What is answered is what it says it is, and nobody keeps it on the way unless it may be kept.
async fn sniffed_by_nobody(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

impl App {
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.store.policy()
    }

    /// A job that the caller may see.
    pub(crate) async fn job(&self, caller: &Caller, id: JobId) -> Result<Stored, Problem> {
        let stored = self.store.load(id).await?.filter(|stored| caller.sees(&stored.job.tenant));
        stored.ok_or_else(|| no_job(id))
    }

    pub(crate) fn view(&self, stored: &Stored) -> JobView {
        JobView::of(&stored.job, stored.title(), self.store.now())
    }
}

pub(crate) fn no_job(id: JobId) -> Problem {
    Problem::not_found(format!("job {id} is not known (any more: ended jobs are kept for retention.age)"))
}
