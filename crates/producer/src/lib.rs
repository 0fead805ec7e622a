//! Library that validates, plans and enqueues song requests.
