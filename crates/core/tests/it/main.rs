//! The machine from outside: each transition by value, and what must hold whatever happens.

mod canceling;
mod collecting;
mod explaining;
mod fuzz;
mod generating;
mod holding;
mod permutations;
mod records;
mod resolving;
mod story;
mod submitting;
mod vendor;
mod world;
