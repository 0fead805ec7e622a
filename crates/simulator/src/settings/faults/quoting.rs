//! What goes wrong with requests that contain a text, in words that quote them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A refusal of requests that contain a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Refusal {
    /// Which requests are meant.
    pub of: Refused,
    /// What stands in a text of the request's JSON; empty for every request.
    pub contains: String,
    /// The status of the answer.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: String,
    /// More headers of it.
    pub headers: BTreeMap<String, String>,
    /// Its body, in which `{quoted}` stands for the whole text that contains `contains`, written as JSON texts are where
    /// `content_type` speaks of JSON.
    pub body: String,
}

impl Default for Refusal {
    fn default() -> Self {
        Self {
            of: Refused::default(),
            contains: String::new(),
            status: 400,
            content_type: "application/json".to_owned(),
            headers: BTreeMap::new(),
            body: String::new(),
        }
    }
}

/// Requests that are refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// Submissions.
    #[default]
    Submissions,
    /// Requests for lists.
    LookUps,
}

/// The bad end of tasks whose submissions contain a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Doom {
    /// What stands in a text of the submission's JSON; empty for every submission.
    pub contains: String,
    /// What the task fails with, in which `{quoted}` stands for the whole text that contains `contains`.
    pub message: String,
}
