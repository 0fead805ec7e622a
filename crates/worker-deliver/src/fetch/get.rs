//! Asking for a file, or for the rest of it.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Uri};
use http_body_util::Full;
use songmill_core::Fault;
use songmill_egress::{BlockedAddress, Client, Response};

use super::transfer::Rest;
use super::{fault, refuse};

/// Asks for a file, or for the rest of it: from this byte, if it still is what has this mark.
pub(crate) async fn get(
    client: &Client,
    uri: Uri,
    own: HeaderMap,
    rest: Option<Rest<'_>>,
) -> Result<Response, Fault> {
    let mut request = Request::new(Full::<Bytes>::default());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    *headers = own;
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some((had, mark)) = rest {
        let range =
            HeaderValue::try_from(format!("bytes={had}-")).map_err(|_| refuse(&BlockedAddress::Invalid))?;
        headers.insert(header::RANGE, range);
        headers.insert(header::IF_RANGE, mark.clone());
    }
    client.send(request).await.map_err(|failure| fault(&failure))
}
