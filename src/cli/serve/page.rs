//! The page's files. The style and the drawing of heatmaps are the report's.

use crate::report::{VIEWER_SCRIPTS, VIEWER_STYLES};

/// The page's own scripts, in the order in which they need each other.
const SCRIPTS: [&str; 7] = [
    include_str!("page/server.js"),
    include_str!("page/combobox.js"),
    include_str!("page/chart.js"),
    include_str!("page/appearance.js"),
    include_str!("page/photos.js"),
    include_str!("page/pane.js"),
    include_str!("page/start.js"),
];

/// Paths of the page's files.
pub const PATHS: [&str; 3] = ["/", "/serve.css", "/serve.js"];

/// A file of the page by the path of its address: MIME type and text.
pub fn file(path: &str) -> Option<(&'static str, String)> {
    match path {
        "/" => Some(("text/html; charset=utf-8", include_str!("page/page.html").into())),
        "/serve.css" => {
            let own = include_str!("page/serve.css");
            Some(("text/css; charset=utf-8", [&VIEWER_STYLES[..], &[own]].concat().join("\n")))
        }
        "/serve.js" => {
            Some(("text/javascript; charset=utf-8", [&VIEWER_SCRIPTS[..], &SCRIPTS].concat().join("\n")))
        }
        _ => None,
    }
}
