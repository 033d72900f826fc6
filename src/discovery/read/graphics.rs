//! `<graphics>` and `<video>`.

use super::characters::is_made_up;
use super::parts::{device_parts, keep_address};
use super::words;
use crate::discovery::device::Video;
use crate::discovery::domain::{Graphics, GraphicsPort, GraphicsType};
use crate::discovery::settings::Settings;
use crate::discovery::xml::Element;

/// Reads a display. Its password is a secret, and its password's age tells of one.
pub(super) fn read(element: Element<'_>) -> Graphics {
    let mut settings = Settings::new();
    element.ignore_attributes(&["passwd", "passwdValidTo"]);
    if element.peek("socket").is_some_and(is_made_up) {
        element.ignore_attributes(&["socket"]);
    }
    // libvirt writes -1 for "not chosen yet".
    let now = element.number_if_any::<u16>("port");
    let said = element.peek("port");
    if said == Some("-1") {
        element.attribute("port");
    }
    let port = match (element.attribute("autoport"), said, now) {
        (Some("yes"), _, now) => GraphicsPort::Auto(now),
        (_, Some("-1"), _) => GraphicsPort::Auto(None),
        (_, _, Some(port)) => GraphicsPort::Fixed(port),
        (_, _, None) => GraphicsPort::Unsaid,
    };
    let mut listen = element.owned("listen");
    // The first place is written twice, for old readers; others are options.
    if let Some(place) = element.child("listen") {
        for name in ["address", "socket"] {
            if listen.is_none() || listen.as_deref() == place.peek(name) {
                listen = place.owned(name).or(listen);
            }
        }
    }
    let kind = GraphicsType::from(element.owned("type").unwrap_or_default());
    words::GRAPHICS.keep(element, "", &mut settings);
    Graphics { kind, listen, port, settings }
}

/// Reads a display adapter.
pub(super) fn read_video(element: Element<'_>) -> Video {
    let mut settings = Settings::new();
    let model = element.child("model");
    let video = Video {
        model: model.and_then(|model| model.owned("type")).unwrap_or_default(),
        vram_kib: model.and_then(|model| model.number_if_any("vram")),
        heads: model.and_then(|model| model.number_if_any("heads")),
        settings: Settings::new(),
    };
    keep_address(device_parts(element, &mut settings), &mut settings);
    words::VIDEO.keep(element, "", &mut settings);
    Video { settings, ..video }
}
