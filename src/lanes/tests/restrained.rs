//! What the host's owner decides reaches a lane though nobody asks it anything.

use std::time::Duration;

use uuid::Uuid;

use super::world::{World, vm};
use crate::hypervisor::Mode;
use crate::model::{ChannelId, ChannelKind, Peer};
use crate::resolver::{ChannelEnd, ChannelRequest, Force};
use crate::sovereignty::{Ceiling, Quota, Subject, Table};

#[tokio::test]
async fn a_lower_ceiling_closes_a_channel_at_once() {
    let world = World::new(Mode::Auto).await;
    world.enroll(1).await;
    let request = ChannelRequest {
        id: ChannelId(Uuid::from_u128(1)),
        by: "north".parse().unwrap(),
        kind: ChannelKind::Screen,
        from: Peer::Local { uid: 7, gid: None, pid: None },
        force: Force::No,
    };
    let closing = world.lanes().open_channel(vm(1), request).await.unwrap();
    let nothing = Table {
        subject: Subject::Host,
        place: "ceiling.toml, line 1".to_owned(),
        actions: Some([].into()),
        class: None,
        primary: None,
        enroll: None,
        roles: None,
        quota: Quota::default(),
    };
    world.lanes().host().set_ceiling(Ceiling { tables: vec![nothing] });
    let how = tokio::time::timeout(Duration::from_secs(30), closing).await.expect("it is closed");
    assert_eq!(how, Ok(ChannelEnd::Stopped {}));
}
