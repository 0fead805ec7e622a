//! Whole journeys over real processes and a real Redis.

mod arrows;
mod callbacks;
mod crashes;
mod demo;
mod flows;
mod polling;
mod submitting;
