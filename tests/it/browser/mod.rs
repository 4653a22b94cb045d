//! The report and the page of `msdcam serve` in headless Chromium. `MSDCAM_SCREENSHOTS=FOLDER` keeps screenshots.

mod chrome;
mod gallery;
mod page;
mod runs;
mod serve;

use chrome::{Chrome, Look};

/// A browser, or a line that says that there is none.
fn browser(look: &Look) -> Option<Chrome> {
    let chrome = Chrome::start(look);
    if chrome.is_none() {
        skipped!("a test of a page in a browser: no Chromium");
    }
    chrome
}
