//! Step 1 and 2.
