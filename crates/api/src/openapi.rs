//! The OpenAPI document, made from the table of operations.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use songmill_store::{NoticeType, Scope};

use crate::operation::Operation;
use crate::problem::ProblemBody;
use crate::views::NoticePayload;

mod portable;

const ABOUT: &str = "\
Queue songs, follow them, fetch their audio: `POST /v1/jobs` with `{\"vendor\": \"replicate\", \"prompt\": \"a calm piano\"}`.

**Keys.** `Authorization: Bearer sm_…`; `songmill key create` makes one. A key belongs to a tenant; what belongs to \
another tenant is not there for it. As long as there is no key, the API listens on this machine alone and asks for none.

**Problems** are `application/problem+json` (RFC 9457) with a stable `code`, `errors[]` with JSON pointers, and the \
request's id.

**Once.** Where it is listed, `Idempotency-Key` makes a request safe to send again.

**Pages.** A list's `next` is the `cursor` of its next page; a page may hold fewer than asked for, even none, as long as \
there is a `next`.

**Moments** are milliseconds since 1970 UTC, in fields that end in `_ms`.";

/// Statuses that every operation with a scope may answer.
const FOR_ALL: [u16; 5] = [401, 403, 429, 500, 503];

/// The document.
pub(crate) fn document(operations: &[Operation]) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for operation in operations {
        let described = described(operation, &mut generator);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_lowercase()] = described;
    }
    let problem = generator.subschema_for::<ProblemBody>();
    let webhooks = webhooks(&mut generator);
    let schemas = generator.take_definitions(true);
    let mut document = json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Songmill",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "x-webhooks": webhooks,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer", "description": "An access key, `sm_…`." } },
            "responses": { "Problem": {
                "description": "What went wrong",
                "content": { "application/problem+json": { "schema": problem } },
            } },
        },
    });
    portable::rewrite(&mut document);
    portable::tell_words_apart(&mut document["components"]["schemas"]);
    document
}

fn described(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut parameters = Vec::new();
    for (name, (schema, what)) in &operation.path_params {
        let schema = schema(generator);
        parameters.push(
            json!({ "name": name, "in": "path", "required": true, "description": what, "schema": schema }),
        );
    }
    if let Some(query) = operation.query {
        let schema = query(generator).to_value();
        for (name, mut field) in schema["properties"].as_object().cloned().unwrap_or_default() {
            let required = schema["required"].as_array().is_some_and(|all| all.contains(&json!(name)));
            let what = field.as_object_mut().and_then(|field| field.remove("description"));
            without_null(&mut field);
            parameters.push(json!({
                "name": name, "in": "query", "required": required, "description": what.unwrap_or_default(),
                "schema": field,
            }));
        }
    }
    for (name, what) in &operation.headers {
        let mut schema = json!({ "type": "string" });
        // Of the others, what is not understood is not heeded.
        if *name == "Idempotency-Key" {
            schema = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" });
        }
        parameters.push(
            json!({ "name": name, "in": "header", "required": false, "description": what, "schema": schema }),
        );
    }
    let mut responses = Map::new();
    for reply in &operation.replies {
        let mut contents = Map::new();
        for (media, schema) in &reply.contents {
            let schema = schema(generator);
            let mut content = json!({ "schema": schema });
            if let Some(line) = reply.line {
                content["x-line-schema"] = line(generator).to_value();
            }
            contents.insert((*media).to_owned(), content);
        }
        let mut response = json!({ "description": reply.description });
        if !contents.is_empty() {
            response["content"] = contents.into();
        }
        responses.insert(reply.status.to_string(), response);
    }
    let all: &[u16] = if operation.scope.is_some() { &FOR_ALL } else { &[500] };
    let mut problems: Vec<u16> = operation.problems.iter().chain(all).copied().collect();
    problems.sort_unstable();
    problems.dedup();
    for status in problems {
        responses
            .entry(status.to_string())
            .or_insert_with(|| json!({ "$ref": "#/components/responses/Problem" }));
    }
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": description(operation),
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(scope) = operation.scope {
        described["security"] = json!([{ "key": [] }, {}]);
        described["x-scope"] = json!(scope);
    }
    if !operation.body.is_empty() {
        let mut contents = Map::new();
        for (media, schema) in &operation.body {
            let schema = schema(generator);
            contents.insert((*media).to_owned(), json!({ "schema": schema }));
        }
        described["requestBody"] = json!({ "required": true, "content": contents });
    }
    described
}

fn description(operation: &Operation) -> String {
    let scope = match operation.scope {
        Some(Scope::Admin) => "Scope: `admin`.",
        Some(Scope::Submit) => "Scope: `submit`.",
        Some(Scope::Read) => "Scope: `read`.",
        None => "Needs no key.",
    };
    format!("{} {scope}", operation.description).trim().to_owned()
}

/// A query has no null: what is not said is left out.
fn without_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [only] = &types[..] {
            schema["type"] = only.clone();
        }
    }
    if let Some(any) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        any.retain(|one| one["type"] != "null");
        if let [only] = &any[..] {
            *schema = only.clone();
        }
    }
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("default");
    }
}

/// What we send to endpoints.
fn webhooks(generator: &mut SchemaGenerator) -> Value {
    let payload = generator.subschema_for::<NoticePayload>();
    let header = |name: &str, what: &str| json!({ "name": name, "in": "header", "required": true, "description": what, "schema": { "type": "string" } });
    let one = |kind: NoticeType| {
        json!({ "post": {
            "operationId": format!("webhooks.{}", kind.as_str().replace('.', "_")),
            "tags": ["webhooks"],
            "summary": format!("Tells of `{}`", kind.as_str()),
            "description": "Sent by Standard Webhooks. Any 2xx takes it; anything else, a redirect too, is tried again \
                over three days. 410 switches the endpoint off.",
            "parameters": [
                header("webhook-id", "The notice's id: the same in every try. Do nothing twice for it."),
                header("webhook-timestamp", "When it was sent, in seconds since 1970; refuse what is older than 5 minutes."),
                header("webhook-signature", "One signature for each secret in force: `v1,…` (HMAC-SHA256) or `v1a,…` (ed25519)."),
            ],
            "requestBody": { "required": true, "content": { "application/json": { "schema": payload } } },
            "responses": { "2XX": { "description": "Taken" }, "410": { "description": "Send no more" } },
        } })
    };
    NoticeType::ALL.iter().map(|kind| (kind.as_str().to_owned(), one(*kind))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference in a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(all) => all.iter().for_each(|one| references(one, found)),
            _ => {}
        }
    }

    /// What generators of clients stumble over: schemas that are `true`, and a `oneOf`, which we only use for choices
    /// that can be said by an `enum` or by fields.
    fn stumbling_blocks(path: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let path = format!("{path}/{name}");
                    let is_schema =
                        ["schema", "items"].contains(&name.as_str()) || path_ends_in_schemas(&path);
                    if name == "oneOf" || (is_schema && field.is_boolean()) {
                        found.push(path.clone());
                    }
                    stumbling_blocks(&path, field, found);
                }
            }
            Value::Array(all) => all.iter().for_each(|one| stumbling_blocks(path, one, found)),
            _ => {}
        }
    }

    fn path_ends_in_schemas(path: &str) -> bool {
        path.rsplit('/').nth(1).is_some_and(|parent| parent == "properties" || parent == "schemas")
    }

    #[test]
    fn generators_of_clients_find_nothing_to_stumble_over() {
        let document = crate::document();
        let mut found = Vec::new();
        stumbling_blocks("", &document, &mut found);
        assert_eq!(found, Vec::<String>::new());
        // In Go a type's constructor is its name behind `New`, and all constants are neighbours.
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut constants = Vec::new();
        for (name, schema) in schemas {
            assert!(!schemas.contains_key(&format!("New{name}")), "New{name} is the constructor of {name}");
            let names = schema.get("x-enum-varnames").or_else(|| schema.get("enum"));
            constants.extend(names.and_then(Value::as_array).into_iter().flatten().map(Value::to_string));
        }
        let count = constants.len();
        constants.sort_unstable();
        constants.dedup();
        assert_eq!(constants.len(), count, "a constant twice: {constants:?}");
        let of = |part: &str, field: &str| -> Vec<String> {
            let methods = document[part].as_object().unwrap().values();
            let operations = methods.flat_map(|methods| methods.as_object().unwrap().values());
            operations.map(|operation| operation[field].to_string()).collect()
        };
        let tags = of("paths", "tags");
        assert!(
            of("x-webhooks", "tags").iter().all(|tag| !tags.contains(tag)),
            "a tag is a class of its own"
        );
        let mut ids = [of("paths", "operationId"), of("x-webhooks", "operationId")].concat();
        assert!(ids.iter().all(|id| id.split('.').count() == 2), "each is noun.verb: {ids:?}");
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "a name twice");
    }

    #[test]
    fn what_the_document_speaks_of_stands_in_it() {
        let document = crate::document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for reference in found {
            let at = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference}"));
            assert!(document.pointer(at).is_some(), "{reference} leads nowhere");
        }
        for (path, methods) in document["paths"].as_object().unwrap() {
            for operation in methods.as_object().unwrap().values() {
                let all = operation["parameters"].as_array().unwrap();
                let in_path = all.iter().filter(|one| one["in"] == "path");
                let names: Vec<_> =
                    in_path.map(|one| format!("{{{}}}", one["name"].as_str().unwrap())).collect();
                assert_eq!(names.len(), path.matches('{').count(), "{path}");
                assert!(names.iter().all(|name| path.contains(name)), "{path}");
            }
        }
        assert!(document["components"]["schemas"]["BatchError"].is_object(), "of lines, too");
    }
}
