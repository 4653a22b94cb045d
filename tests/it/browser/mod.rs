//! The report in headless Chromium. `MSDCAM_SCREENSHOTS=FOLDER` keeps screenshots.

mod chrome;
mod gallery;
mod page;
mod runs;

use chrome::{Chrome, Look};

/// A browser, or a line that says that there is none.
fn browser(look: &Look) -> Option<Chrome> {
    let chrome = Chrome::start(look);
    if chrome.is_none() {
        skipped!("a test of report.html in a browser: no Chromium");
    }
    chrome
}
