//! Workers that collect audio; everything that fetches untrusted addresses.
