//! Workers that submit, resolve, poll and cancel upstream.
