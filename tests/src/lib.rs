//! Whole journeys over real processes and a real Redis.
