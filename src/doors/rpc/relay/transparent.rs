//! The policy that changes nothing.

use super::super::frame::Frame;
use super::{Outputs, Policy, Side};

/// Passes everything on as it came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transparent;

/// News that nobody sends.
#[derive(Debug, Clone, Copy)]
pub enum NoNews {}

impl Policy for Transparent {
    type News = NoNews;

    fn client_says(&mut self, frame: Frame, out: &mut Outputs) {
        out.to_upstream(frame);
    }

    fn upstream_says(&mut self, frame: Frame, out: &mut Outputs) {
        out.to_client(frame);
    }

    fn told(&mut self, news: NoNews, _out: &mut Outputs) {
        match news {}
    }

    fn gone(&mut self, side: Side, out: &mut Outputs) {
        out.close(format!("{side} is gone"));
    }
}
