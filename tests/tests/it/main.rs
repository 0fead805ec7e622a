//! Whole journeys over real processes and a real Redis.

mod api;
mod arrows;
mod audio;
mod callbacks;
mod chaos;
mod crashes;
mod demo;
mod doors;
mod flows;
mod house;
mod kept;
mod library;
mod limits;
mod machine;
mod money;
mod notices;
mod polling;
mod redis_faults;
mod refusals;
mod settings;
mod submitting;
mod tenants;
mod terminal;
mod tls;
mod words;
mod workers;
