//! The output of a prediction, in the shapes that models have.

use serde_json::{Value, json};

use super::V;
use crate::outputs::{self, Outputs, Shown};
use crate::settings::OutputShape;
use crate::world::{Task, World};

pub(super) fn output(world: &World, task: &Task) -> Value {
    match outputs::of(world, V, task) {
        Outputs::Missing(form) => [Value::Null, json!([]), json!("")][form % 3].clone(),
        Outputs::Shown(shown) => shaped(&shown, world.config.replicate.output_list),
    }
}

fn shaped(shown: &Shown, is_list: bool) -> Value {
    let songs = shown.addresses();
    match shown.shape {
        OutputShape::None | OutputShape::Mixed if !is_list => json!(songs[0]),
        OutputShape::None | OutputShape::Mixed | OutputShape::Many | OutputShape::Unusable => json!(songs),
        OutputShape::Named => json!({ "audio": songs[0] }),
        OutputShape::Objects => songs.iter().map(|song| json!({ "url": song })).collect(),
        OutputShape::Nested => json!([songs]),
        OutputShape::OtherKey => json!({ "generated_audio": songs[0] }),
        OutputShape::Text => json!(json!({ "audio": songs[0] }).to_string()),
        OutputShape::Beside => json!([shown.beside[0], songs[0], shown.beside[1]]),
    }
}
