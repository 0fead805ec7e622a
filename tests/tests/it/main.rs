//! Whole journeys over real processes and a real Redis.

mod arrows;
mod callbacks;
mod chaos;
mod crashes;
mod demo;
mod flows;
mod house;
mod polling;
mod submitting;
