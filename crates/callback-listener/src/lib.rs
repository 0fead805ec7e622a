//! Receives the vendors' completion POSTs and updates job state.
