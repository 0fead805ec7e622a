//! The API's own description: for machines, and for people.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, Method, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde_json::Value;

use crate::app::App;
use crate::operation::Operation;
use crate::problem::Problem;

pub(crate) fn operations() -> Vec<Operation> {
    let of = |path, id, summary| Operation::new(Method::GET, path, id, health).says(summary, "");
    vec![
        of("/health", "service.health", "Says whether the API and its store answer")
            .problems(&[503])
            .reply_text(200, "They do", "text/plain"),
        Operation::new(Method::GET, "/openapi.json", "service.openapi", document)
            .says("This document", "")
            .reply::<serde_json::Map<String, Value>>(200, "OpenAPI 3.0"),
        Operation::new(Method::GET, "/docs", "service.docs", shown)
            .says("This document, to be read", "")
            .reply_text(200, "A page", "text/html"),
        Operation::new(Method::GET, "/", "service.root", to_docs)
            .says("Leads to /docs", "")
            .reply_empty(303, "It is there"),
    ]
}

async fn health(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    app.store.health().await?;
    Ok("ok\n")
}

async fn document(State(app): State<Arc<App>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.document.clone()).into_response()
}

async fn shown(State(app): State<Arc<App>>) -> Response {
    let mut response = Html(app.page.clone()).into_response();
    // Nothing on the page comes from elsewhere or does anything.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

async fn to_docs() -> Redirect {
    Redirect::to("/docs")
}

const STYLE: &str = include_str!("docs.css");

/// The document as a page: no scripts, nothing from elsewhere.
pub(crate) fn page(document: &Value) -> String {
    let mut html = String::new();
    let info = &document["info"];
    let _ = write!(
        html,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>\
         <title>Songmill API</title><style>{STYLE}</style><body><nav><h2>Songmill API</h2>"
    );
    let empty = serde_json::Map::new();
    let paths = document["paths"].as_object().unwrap_or(&empty);
    let schemas = document["components"]["schemas"].as_object().unwrap_or(&empty);
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap_or(&empty) {
            let id = text(&operation["operationId"]);
            let _ = write!(html, "<a href='#{id}'><b class={method}>{method}</b> {}</a>", escaped(path));
        }
    }
    html += "<h3>Notices</h3>";
    for kind in document["x-webhooks"].as_object().unwrap_or(&empty).keys() {
        let _ = write!(html, "<a href='#notices'>{}</a>", escaped(kind));
    }
    html += "<h3>Schemas</h3>";
    for name in schemas.keys() {
        let _ = write!(html, "<a href='#schema-{0}'>{0}</a>", escaped(name));
    }
    let _ = write!(html, "</nav><main><h1>{}</h1>", escaped(text(&info["title"])));
    let _ = write!(
        html,
        "<p class=small>version {} · <a href=/openapi.json>openapi.json</a></p>",
        escaped(text(&info["version"]))
    );
    html += &prose(text(&info["description"]));
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap_or(&empty) {
            described(&mut html, path, method, operation);
        }
    }
    html += "<section id=notices><h2>Notices</h2>";
    for (kind, hook) in document["x-webhooks"].as_object().unwrap_or(&empty) {
        let _ = write!(
            html,
            "<p><code>{}</code> posts {}</p>",
            escaped(kind),
            shape(&hook["post"]["requestBody"]["content"]["application/json"]["schema"])
        );
    }
    if let Some(hook) = document["x-webhooks"].as_object().and_then(|hooks| hooks.values().next()) {
        html += &prose(text(&hook["post"]["description"]));
        parameters(&mut html, &hook["post"]["parameters"]);
    }
    html += "</section><h2>Schemas</h2>";
    for (name, schema) in schemas {
        let _ = write!(html, "<section id='schema-{0}'><h3>{0}</h3>", escaped(name));
        html += &prose(text(&schema["description"]));
        fields(&mut html, schema);
        html += "</section>";
    }
    html + "</main></body></html>"
}

fn described(html: &mut String, path: &str, method: &str, operation: &Value) {
    let id = text(&operation["operationId"]);
    let _ = write!(
        html,
        "<section id='{id}'><h2>{}</h2><p class=route><b class={method}>{method}</b> <code>{}</code></p>",
        escaped(text(&operation["summary"])),
        escaped(path)
    );
    *html += &prose(text(&operation["description"]));
    parameters(html, &operation["parameters"]);
    if let Some(contents) = operation["requestBody"]["content"].as_object() {
        *html += "<p>Body: ";
        let all: Vec<_> = contents.iter().map(|(media, content)| as_said(media, content)).collect();
        *html += &all.join(", ");
        *html += "</p>";
    }
    *html += "<table class=replies>";
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let (what, body) = if response["$ref"].is_string() {
            (
                "a problem".to_owned(),
                "<code>application/problem+json</code> <a href='#schema-Problem'>Problem</a>".to_owned(),
            )
        } else {
            let contents = response["content"].as_object().into_iter().flatten();
            let all: Vec<_> = contents.map(|(media, content)| as_said(media, content)).collect();
            (marked(text(&response["description"])), all.join(", "))
        };
        let _ = write!(html, "<tr><td>{status}</td><td>{what}</td><td>{body}</td></tr>");
    }
    *html += "</table></section>";
}

fn parameters(html: &mut String, parameters: &Value) {
    let Some(all) = parameters.as_array().filter(|all| !all.is_empty()) else { return };
    *html += "<table>";
    for parameter in all {
        let must = if parameter["required"] == true { " <i>required</i>" } else { "" };
        let _ = write!(
            html,
            "<tr><td><code>{}</code>{must}<br><span class=small>{}</span></td><td>{}</td><td>{}</td></tr>",
            escaped(text(&parameter["name"])),
            escaped(text(&parameter["in"])),
            shape(&parameter["schema"]),
            marked(text(&parameter["description"]))
        );
    }
    *html += "</table>";
}

fn fields(html: &mut String, schema: &Value) {
    if let Some(properties) = schema["properties"].as_object() {
        *html += "<table>";
        for (name, field) in properties {
            let must = schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name));
            let must = if must { " <i>required</i>" } else { "" };
            let what = marked(text(&field["description"]));
            let _ = write!(
                html,
                "<tr><td><code>{}</code>{must}</td><td>{}</td><td>{what}</td></tr>",
                escaped(name),
                shape(field)
            );
        }
        *html += "</table>";
    } else {
        let _ = write!(html, "<p>{}</p>", shape(schema));
    }
}

/// A media type and what it holds; of lines, what one of them is.
fn as_said(media: &str, content: &Value) -> String {
    let line = &content["x-line-schema"];
    let (what, schema) = if line.is_null() { ("", &content["schema"]) } else { ("each line ", line) };
    format!("<code>{}</code> {what}{}", escaped(media), shape(schema))
}

/// What a value looks like, in a few words.
fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href='#schema-{0}'>{0}</a>", escaped(name));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(all) = schema[key].as_array() {
            let all: Vec<_> = all.iter().filter(|one| one["type"] != "null").map(shape).collect();
            return all.join(" or ");
        }
    }
    if let Some(all) = schema["enum"].as_array() {
        let all: Vec<_> = all.iter().map(|one| format!("<code>{}</code>", escaped(text(one)))).collect();
        return all.join(" ");
    }
    if let Some(only) = schema["const"].as_str() {
        return format!("<code>{}</code>", escaped(only));
    }
    if schema["items"].is_object() || schema["items"].is_boolean() {
        return format!("list of {}", shape(&schema["items"]));
    }
    match &schema["type"] {
        Value::String(name) => bounded(name, schema),
        Value::Array(names) => {
            bounded(names.iter().map(text).find(|name| *name != "null").unwrap_or_default(), schema)
        }
        _ => "any".to_owned(),
    }
}

fn bounded(name: &str, schema: &Value) -> String {
    let bounds = ["minimum", "maximum", "minLength", "maxLength"];
    let said: Vec<_> = bounds
        .iter()
        .filter(|key| schema[**key].is_number())
        .map(|key| format!("{key} {}", schema[*key]))
        .collect();
    if said.is_empty() {
        escaped(name)
    } else {
        format!("{} <span class=small>{}</span>", escaped(name), said.join(", "))
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Paragraphs, with what stands between back-quotes or stars marked.
fn prose(text: &str) -> String {
    text.split("\n\n")
        .filter(|part| !part.is_empty())
        .map(|part| format!("<p>{}</p>", marked(part)))
        .collect()
}

fn marked(text: &str) -> String {
    let code = escaped(text).split('`').enumerate().fold(String::new(), |html, (n, part)| {
        if n % 2 == 1 { format!("{html}<code>{part}</code>") } else { html + part }
    });
    code.split("**").enumerate().fold(String::new(), |html, (n, part)| {
        if n % 2 == 1 { format!("{html}<b>{part}</b>") } else { html + part }
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}
