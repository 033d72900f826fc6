//! A libvirt-compatible socket per provider: unmodified libvirt clients become co-managers.
//!
//! ```text
//!  client ──▶ transport ──▶ conversation ──▶ transport ──▶ libvirtd
//!                             │    ▲
//!                     mapping │    │ released, refused
//!                             ▼    │
//!                            lane of the VM
//! ```
//!
//! | file | idea |
//! |---|---|
//! | `xdr` | the words that payloads are made of |
//! | `frame` | one message: length, header, payload, descriptors |
//! | `conversation` | one client's connection: what is held, passed on, answered |
//! | `refusal` | what a client is told when its call is not made |
//! | `view` | what a provider may see of replies, events and errors |
//! | `procedures` | what a door does with each of libvirt's procedures: a table |
//! | `mapping` | from a call to the VM and the operation that it is |

pub mod conversation;
pub mod frame;
pub mod mapping;
pub mod refusal;
pub mod view;
pub mod procedures;
pub mod xdr;
