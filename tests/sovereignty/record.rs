//! What is on record: who did what, and a chain that anybody can compute again.
