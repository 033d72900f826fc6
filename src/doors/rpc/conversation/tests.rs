//! Transcripts of one connection, and what holds whatever is said.

mod chance;
mod desk;
mod ends;
mod held;
mod views;
