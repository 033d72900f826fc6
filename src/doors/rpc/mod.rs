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

pub mod frame;
pub mod xdr;
