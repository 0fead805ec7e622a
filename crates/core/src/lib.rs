//! The machine: jobs, song requests, faults and the one function that decides.
