//! Audio, made when it is first asked for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;

use crate::audio::{self, Recipe};
use crate::settings::OddAudio;

/// How many bytes of audio are kept made.
const MOST: usize = 64 << 20;

/// Audio that was made, the oldest of which is forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    by_recipe: HashMap<Recipe, Bytes>,
    order: VecDeque<Recipe>,
    size: usize,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The audio of a recipe.
    pub(crate) async fn audio(&self, recipe: &Recipe) -> Bytes {
        if let Some(bytes) = self.lock().by_recipe.get(recipe) {
            return bytes.clone();
        }
        let bytes = make(recipe, 1).await;
        let mut made = self.lock();
        if made.by_recipe.insert(recipe.clone(), bytes.clone()).is_none() {
            made.order.push_back(recipe.clone());
            made.size += bytes.len();
        }
        while made.size > MOST
            && let Some(oldest) = made.order.pop_front()
        {
            made.size -= made.by_recipe.remove(&oldest).map_or(0, |bytes| bytes.len());
        }
        bytes
    }

    /// The audio of a recipe as it is where something is wrong with it.
    pub(crate) async fn odd_audio(&self, recipe: &Recipe, odd: OddAudio) -> Bytes {
        match odd {
            OddAudio::None => self.audio(recipe).await,
            OddAudio::Cut => {
                let whole = self.audio(recipe).await;
                whole.slice(..whole.len() * 3 / 5)
            }
            OddAudio::Page => Bytes::from_static(b"<!doctype html><html><body>403 Forbidden</body></html>"),
            OddAudio::Empty => Bytes::new(),
            OddAudio::Silent => make(recipe, 0).await,
            OddAudio::Clipped => make(recipe, 40).await,
        }
    }
}

/// Audio so many times as loud as usual.
async fn make(recipe: &Recipe, gain: i16) -> Bytes {
    let wanted = recipe.clone();
    let made = tokio::task::spawn_blocking(move || audio::make(&wanted, gain)).await;
    Bytes::from(made.unwrap_or_default())
}
