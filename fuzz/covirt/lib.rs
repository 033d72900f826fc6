//! covirt without what does I/O: the words, the lanes' decisions, and what a door makes of libvirt's protocol.

#[path = "../../src/model/mod.rs"]
pub mod model;
#[path = "../../src/delegation/mod.rs"]
pub mod delegation;
#[path = "../../src/sovereignty/mod.rs"]
pub mod sovereignty;
#[path = "../../src/resolver/mod.rs"]
pub mod resolver;

#[path = "../../src/doors"]
pub mod doors {
    pub mod rpc {
        pub mod conversation;
        pub mod frame;
        mod intake;
        pub mod mapping;
        pub mod procedures;
        pub mod refusal;
        pub mod view;
        pub mod xdr;

        pub use intake::{Filled, Intake, ReadFrameError};
    }
}
