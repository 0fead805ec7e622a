//! The table of operations: what is served, to whom, and what it is called. Nothing is served that is not in it.

use std::str::FromStr;
use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use songmill_core::{BatchName, EndpointId, JobId, Tenant, VendorName};
use songmill_store::Scope;

use crate::app::App;
use crate::assets::AssetNumber;
use crate::checked::{Expected, ExpectedBody, ReadText};
use crate::extract;
use crate::keys::KeyId;
use crate::notices::NoticeId;

/// Makes the schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One operation.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// `noun.verb`: a method of the class that is its tag in clients that are generated.
    pub(crate) id: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    /// Who may; everybody where there is none.
    pub(crate) scope: Option<Scope>,
    /// Path parameters, as they stand in the path: schema, and what it is.
    pub(crate) path_params: Vec<(&'static str, (SchemaOf, &'static str))>,
    /// The schema whose fields are the query's.
    pub(crate) query: Option<SchemaOf>,
    /// What is checked before the body is read.
    pub(crate) expected: Expected,
    /// Headers that mean something here: name, what.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// Media types of the body with their schemas.
    pub(crate) body: Vec<(&'static str, SchemaOf)>,
    pub(crate) replies: Vec<Reply>,
    /// Statuses of problems, beside those that every operation has.
    pub(crate) problems: Vec<u16>,
    /// Whether an `Idempotency-Key` is heeded by the front; uploads heed it themselves.
    pub(crate) once: bool,
    pub(crate) handler: MethodRouter<Arc<App>>,
}

/// One answer of an operation.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) description: &'static str,
    pub(crate) contents: Vec<(&'static str, SchemaOf)>,
    /// What each line is, where the body is lines of JSON.
    pub(crate) line: Option<SchemaOf>,
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const JSONL: &str = "application/jsonl";
pub(crate) const BYTES: &str = "application/octet-stream";

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The type's own schema instead of a reference to it.
fn inline<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

/// A text that another media type describes.
fn opaque(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "string" })
}

fn bytes(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "string", "format": "binary" })
}

fn read<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|error| error.to_string())
}

/// What stands in a path between braces.
fn parameter(name: &str) -> (SchemaOf, &'static str) {
    let (schema, _, what) = typed(name);
    (schema, what)
}

/// A parameter's schema, how it is read, and what it is.
fn typed(name: &str) -> (SchemaOf, ReadText, &'static str) {
    match name {
        "id" => (schema::<JobId>, read::<JobId>, "The job's id"),
        "n" => (schema::<AssetNumber>, read::<AssetNumber>, "The number of the asset within the job, from 1"),
        "batch" => (schema::<BatchName>, read::<BatchName>, "The batch's name"),
        "endpoint" => (schema::<EndpointId>, read::<EndpointId>, "The endpoint's id"),
        "notice" => (schema::<NoticeId>, read::<NoticeId>, "The notice's id"),
        "key" => (schema::<KeyId>, read::<KeyId>, "The part of the key between its two `_`"),
        "vendor" => (schema::<VendorName>, read::<VendorName>, "The vendor"),
        "tenant" => (schema::<Tenant>, read::<Tenant>, "The tenant"),
        other => unreachable!("no path has {{{other}}}; the document is made in every test of the API"),
    }
}

impl Operation {
    /// An operation and its handler.
    pub(crate) fn new<H, T>(method: Method, path: &'static str, id: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let filter = method.clone().try_into().expect("we use the methods that axum knows");
        let names = path.split('{').skip(1).filter_map(|part| part.split('}').next());
        let path_params: Vec<_> = names.map(|name| (name, parameter(name))).collect();
        let texts = path_params.iter().map(|(name, _)| (*name, typed(name).1)).collect();
        Self {
            problems: if path_params.is_empty() { Vec::new() } else { vec![404] },
            method,
            path,
            id,
            tag: id.split('.').next().unwrap_or_default(),
            summary: "",
            description: "",
            scope: None,
            path_params,
            query: None,
            expected: Expected { path: texts, ..Expected::default() },
            headers: Vec::new(),
            body: Vec::new(),
            replies: Vec::new(),
            once: false,
            handler: on(filter, handler),
        }
    }

    pub(crate) fn says(mut self, summary: &'static str, description: &'static str) -> Self {
        (self.summary, self.description) = (summary, description);
        self
    }

    pub(crate) fn for_scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    pub(crate) fn query<T: JsonSchema + DeserializeOwned>(mut self) -> Self {
        self.expected.query = Some(|uri| extract::query::<T>(uri).map(drop));
        self.query = Some(inline::<T>);
        self.problems.push(400);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, what: &'static str) -> Self {
        self.headers.push((name, what));
        self
    }

    pub(crate) fn body<T: JsonSchema>(mut self) -> Self {
        self.body.push((JSON, schema::<T>));
        self.expected.body = ExpectedBody::Json;
        self.problems.extend([400, 408, 413, 415, 422]);
        self
    }

    /// A file of songs as its body, beside those there are.
    pub(crate) fn or_file(mut self) -> Self {
        self.expected.body = ExpectedBody::Songs;
        self.body.push((BYTES, bytes));
        self
    }

    pub(crate) fn reply<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.reply_as(status, description, JSON, schema::<T>)
    }

    /// Lines of JSON: the whole is a text, of which each line has a schema. That it is [`JSONL`] for those who ask for it
    /// is not listed: generated clients would, and could not read it.
    pub(crate) fn reply_lines<T: JsonSchema>(mut self, description: &'static str) -> Self {
        let contents = vec![("text/plain", opaque as SchemaOf)];
        let line = Some(schema::<T> as SchemaOf);
        self.replies.push(Reply { status: 200, description, contents, line });
        self
    }

    pub(crate) fn reply_text(self, status: u16, description: &'static str, media: &'static str) -> Self {
        self.reply_as(status, description, media, opaque)
    }

    pub(crate) fn reply_bytes(self, status: u16, description: &'static str, media: &'static str) -> Self {
        self.reply_as(status, description, media, bytes)
    }

    fn reply_as(
        mut self,
        status: u16,
        description: &'static str,
        media: &'static str,
        schema: SchemaOf,
    ) -> Self {
        match self.replies.iter_mut().find(|reply| reply.status == status) {
            Some(reply) => reply.contents.push((media, schema)),
            None => {
                self.replies.push(Reply { status, description, contents: vec![(media, schema)], line: None })
            }
        }
        self
    }

    /// An answer without a body.
    pub(crate) fn reply_empty(mut self, status: u16, description: &'static str) -> Self {
        self.replies.push(Reply { status, description, contents: vec![], line: None });
        self
    }

    pub(crate) fn problems(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses);
        self
    }

    /// Heeds an `Idempotency-Key`.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self.heeding()
    }

    /// Says that an `Idempotency-Key` is heeded.
    pub(crate) fn heeding(mut self) -> Self {
        self.expected.is_idempotent = true;
        self.problems.extend([400, 409, 410, 422]);
        self.header(
            "Idempotency-Key",
            "Makes the request safe to send again: it is done once and its answer given again for 24 hours. \
             Another request under the same key is refused (422), one that is under way too (409), and so is one whose \
             answer was erased with its tenant's words (410, `erased`): it was done, and is not done again.",
        )
    }
}
