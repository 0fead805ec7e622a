//! The table of operations: what is served, to whom, and what it is called. Nothing is served that is not in it.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use songmill_store::Scope;

use crate::app::App;

/// Makes the schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One operation.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    /// Who may; everybody where there is none.
    pub(crate) scope: Option<Scope>,
    /// Path parameters: name, schema, what it is.
    pub(crate) path_params: Vec<(&'static str, SchemaOf, &'static str)>,
    /// The schema whose fields are the query's.
    pub(crate) query: Option<SchemaOf>,
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
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const JSONL: &str = "application/jsonl";

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The type's own schema instead of a reference to it.
fn inline<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

/// Bytes, or a text that another media type describes.
fn opaque(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "string" })
}

impl Operation {
    /// An operation and its handler.
    pub(crate) fn new<H, T>(method: Method, path: &'static str, id: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let filter = method.clone().try_into().expect("we use the methods that axum knows");
        Self {
            method,
            path,
            id,
            tag: path.split('/').nth(2).unwrap_or_default(),
            summary: "",
            description: "",
            scope: None,
            path_params: Vec::new(),
            query: None,
            headers: Vec::new(),
            body: Vec::new(),
            replies: Vec::new(),
            problems: Vec::new(),
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

    pub(crate) fn path<T: JsonSchema>(mut self, name: &'static str, what: &'static str) -> Self {
        self.path_params.push((name, inline::<T>, what));
        self.problems.push(404);
        self
    }

    pub(crate) fn query<T: JsonSchema>(mut self) -> Self {
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
        self.problems.extend([400, 408, 413, 415, 422]);
        self
    }

    /// A body of another media type beside those there are.
    pub(crate) fn or_text(mut self, media: &'static str) -> Self {
        self.body.push((media, opaque));
        self
    }

    pub(crate) fn reply<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.reply_as(status, description, JSON, schema::<T>)
    }

    /// Lines of JSON, of which the schema is one.
    pub(crate) fn reply_lines<T: JsonSchema>(self, description: &'static str) -> Self {
        // One line is described; the whole is a text to whoever checks bodies as JSON.
        let _ = schema::<T>;
        self.reply_as(200, description, JSONL, opaque)
    }

    pub(crate) fn reply_text(self, status: u16, description: &'static str, media: &'static str) -> Self {
        self.reply_as(status, description, media, opaque)
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
            None => self.replies.push(Reply { status, description, contents: vec![(media, schema)] }),
        }
        self
    }

    /// An answer without a body.
    pub(crate) fn reply_empty(mut self, status: u16, description: &'static str) -> Self {
        self.replies.push(Reply { status, description, contents: vec![] });
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
        self.problems.extend([400, 409, 422]);
        self.header(
            "Idempotency-Key",
            "Makes the request safe to send again: it is done once and its answer given again for 24 hours. \
             Another request under the same key is refused (422), one that is under way too (409).",
        )
    }
}
