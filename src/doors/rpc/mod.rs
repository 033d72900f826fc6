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
//! | `view` | what a provider may see of replies, events and errors |

pub mod frame;
pub mod view;
pub mod xdr;
