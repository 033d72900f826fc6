//! Steps 4, 6 and 8: how providers and the operator reach the agent, and how the agent asks them.
//!
//! | file | idea |
//! |---|---|
//! | `wire` | what travels: one type per message, shared with the command line |
//! | `identity` | who is at the other end of a socket |
//! | `api` | HTTP/1.1 and JSON on the Unix socket |
//! | `session` | a provider's WebSocket: clock samples, asks and answers, events from a cursor |
//! | `callback` | carries a lane's questions to sessions, standing answers and the operator's hook |

pub mod wire;
