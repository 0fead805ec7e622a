//! The four vendors as translators: bytes out, bytes in, no IO.
