//! Reading what others send without trusting it.
