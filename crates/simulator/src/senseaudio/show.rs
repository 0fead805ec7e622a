//! What a task that was successful holds.

use serde_json::{Value, json};

use super::{LYRICS, V};
use crate::outputs::{self, Outputs, Shown};
use crate::settings::OutputShape;
use crate::world::{Fault, Task, World};

pub(super) fn data(world: &World, task: &Task) -> Value {
    let is_lyrics = task.outputs.is_empty();
    let shown = match outputs::of(world, V, task) {
        Outputs::Missing(form) => {
            let empty =
                if is_lyrics { json!({ "text": "", "title": "" }) } else { json!({ "audio_url": "" }) };
            return [json!([empty]), json!([]), Value::Null][form % 3].clone();
        }
        Outputs::Shown(shown) => shown,
    };
    let data = match is_lyrics {
        true => json!([{ "text": LYRICS, "title": "" }]),
        false => shaped(world, task, &shown),
    };
    if shown.shape == OutputShape::Text { json!(data.to_string()) } else { data }
}

fn shaped(world: &World, task: &Task, shown: &Shown) -> Value {
    let faults = world.faults(V);
    if faults.wrong_duration != 1.0 {
        world.note(V, task, Fault::WrongDuration);
    }
    let lyrics = task.request.get("lyrics").cloned().unwrap_or_else(|| "".into());
    let under = |key: &str| -> Vec<Value> {
        let song = |song: &outputs::Song| {
            let seconds = f64::from(song.millis) / 1000.0 * faults.wrong_duration;
            // Whole seconds are written without a fraction.
            let seconds = if seconds.fract() == 0.0 { json!(seconds as u64) } else { json!(seconds) };
            json!({ key: song.address, "lyrics": lyrics, "duration": seconds })
        };
        shown.songs.iter().map(song).collect()
    };
    match shown.shape {
        OutputShape::None
        | OutputShape::Mixed
        | OutputShape::Text
        | OutputShape::Many
        | OutputShape::Unusable => json!(under("audio_url")),
        OutputShape::Named => under("audio").remove(0),
        OutputShape::Objects => json!(under("url")),
        OutputShape::Nested => json!([under("audio_url")]),
        OutputShape::OtherKey => json!(under("stream_audio_url")),
        OutputShape::Beside => {
            let mut song = under("audio_url").remove(0);
            song["image_url"] = json!(shown.beside[0]);
            song["midi_url"] = json!(shown.beside[1]);
            json!([song])
        }
    }
}
