//! Why work waits, for people: a line for each reason.

use songmill_api::views::WaitView;

use crate::output;

/// `replicate paused: no credit left (LINK); next try 08:40; 3 songs wait`.
pub(crate) fn line(wait: &WaitView) -> String {
    let link = wait.link.as_ref().map_or_else(String::new, |link| format!(" ({link})"));
    let next = wait.next_try_at.as_deref().and_then(output::local);
    let next = next.map_or_else(String::new, |at| format!("; next try {at}"));
    let songs = match wait.songs {
        1 => "1 song waits".to_owned(),
        songs => format!("{songs} songs wait"),
    };
    let hint = wait.hint.as_ref().map_or_else(String::new, |hint| format!(": {hint}"));
    format!("{}{link}{next}; {songs}{hint}", wait.message)
}

/// Those of several vendors, where what holds for all of them is one.
pub(crate) fn merged<'a>(waits: impl IntoIterator<Item = &'a WaitView>) -> Vec<WaitView> {
    let mut merged: Vec<WaitView> = Vec::new();
    for wait in waits {
        let same = |known: &&mut WaitView| (&known.vendor, &known.message) == (&None, &wait.message);
        match merged.iter_mut().find(same) {
            Some(known) => known.songs += wait.songs,
            None => merged.push(wait.clone()),
        }
    }
    merged
}

/// Whether any of them takes a person.
pub(crate) fn need_person(waits: &[WaitView]) -> bool {
    waits.iter().any(|wait| wait.needs_person)
}

/// Prints each on standard error, where it does not mix with results.
pub(crate) fn note(waits: &[WaitView]) {
    for wait in waits {
        output::note(format_args!("waiting: {}", line(wait)));
    }
}
