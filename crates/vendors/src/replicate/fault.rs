//! What a failed prediction means: its `error` is the platform's sentence with a code, or the model's exception.

use songmill_core::Fault;

use crate::failure::{self, Row};

/// The platform's codes and the model's own exceptions; all others are in the table that holds everywhere.
///
/// Sources: Replicate's page of error codes (`replicate.com/docs/reference/error-codes`) for the codes of four digits;
/// the source of MusicGen's fine-tunes (`predict.py`) for its exceptions.
pub(crate) const FAILURES: &[Row] = &[
    // PA: the machine was taken away. E1000: unknown. E6716: time-out while starting. E8367: stopped in a state that
    // is no end. E8765: health check. E9243: error while starting. E9825: upload of an output. E9828: unexpected error.
    Row::again("task_interrupted")
        .codes(&["PA", "E1000", "E6716", "E8367", "E8765", "E9243", "E9825", "E9828"])
        .starts(&["prediction interrupted"])
        .source("Replicate's page of error codes; PA and E9828 as seen"),
    // The next machine may have more memory left: fine-tunes run on cards that others have used.
    Row::again("task_failed").codes(&["E1001"]).source("Replicate's page of error codes: out of memory"),
    Row::again("task_failed")
        .codes(&["E003", "E004"])
        .source("messages as seen: the model's own service is away or has no room"),
    Row::refused("task_failed")
        .codes(&["E4875"])
        .source("Replicate's page of error codes: the webhook's address is empty"),
    Row::refused("content_refused")
        .codes(&["E005"])
        .source("messages as seen: `flagged as sensitive … (E005)`"),
    Row::refused("task_failed").codes(&["E006"]).source("messages as seen: invalid input"),
    Row::refused("task_failed")
        .has(&[
            "must provide either prompt or input_audio",
            "does not support melody input",
            "is only available with non-stereo models",
            "only works with non-stereo models",
        ])
        .starts(&["multi-band diffusion", "must provide"])
        .source("MusicGen's predict.py"),
];

/// Sorts a prediction's own failure.
pub(super) fn failure(error: Option<&str>) -> Fault {
    failure::fault(FAILURES, error, "the prediction failed without a word")
}
