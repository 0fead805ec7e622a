//! The four vendors' HTTP APIs with faults on demand; shares no code with the vendors crate.
