//! The machine from outside: each transition by value, and what must hold whatever happens.

mod canceling;
mod collecting;
mod generating;
mod holding;
mod resolving;
mod story;
mod submitting;
