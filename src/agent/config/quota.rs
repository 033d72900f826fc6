//! `[quota]`: how much every provider may have under way, on all VMs together.

use serde::{Deserialize, Serialize};

use super::mistake::Mistakes;
use super::section::{Read, Table};
use crate::sovereignty::Quota;

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct QuotaTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commands_per_minute: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<u32>,
}

impl Table for QuotaTable {
    const NAME: &'static str = "quota";
}

impl Read<QuotaTable> {
    /// What it bounds; a bound of 0 would be a freeze without a reason.
    pub(super) fn checked(&self, mistakes: &mut Mistakes) -> Quota {
        let QuotaTable { queued, commands_per_minute, open } = self.value;
        for (key, bound) in [("queued", queued), ("commands_per_minute", commands_per_minute), ("open", open)] {
            if bound == Some(0) {
                let hint = "at least 1 is expected; `covirt freeze` stops a provider";
                self.wrong(key, "0 lets nothing through", Some(hint), mistakes);
            }
        }
        Quota { queued, per_minute: commands_per_minute, open }
    }
}
