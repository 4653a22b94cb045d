//! The page as a whole.

use crate::browser::browser;
use crate::browser::chrome::Look;
use crate::browser::runs::{IMAGES, LABELLED};

#[test]
fn the_page_looks_as_it_should_at_every_size_in_light_and_dark() {
    let Some(mut chrome) = browser(&Look::DESKTOP) else { return };
    for (width, height) in [(1280, 900), (390, 844)] {
        for dark in [false, true] {
            chrome.look(&Look { width, height, dark, scripts: true });
            chrome.open(&LABELLED.page());
            let name = format!("{width}-{}", if dark { "dark" } else { "light" });
            for section in ["accuracy", "classes", "hardness", "confidence", "confusion", "gallery"] {
                chrome.eval(&format!(
                    "document.getElementById('{section}').scrollIntoView({{ behavior: 'instant' }})"
                ));
                chrome.screenshot(&format!("{name}-{section}"));
            }
            chrome.until("document.querySelectorAll('.tile canvas').length > 3");
            let wider = chrome.eval("document.documentElement.scrollWidth > innerWidth");
            assert_eq!(wider, false, "{name}: nothing sticks out sideways");
            assert_eq!(least_contrast(&mut chrome), [""; 0], "{name}");
            assert_eq!(chrome.problems(), [""; 0], "{name}");
        }
    }
}

/// Texts whose contrast to what is behind them is under 4.5 (WCAG 2, level AA).
pub fn least_contrast(chrome: &mut crate::browser::chrome::Chrome) -> Vec<String> {
    let found = chrome.eval(
        "(() => {
           const parse = text => text.match(/[\\d.]+/g).map(Number);
           const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
           const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
           const behind = element => {
             let color = [0, 0, 0], left = 1;
             for (let e = element; e && left > 0; e = e.parentElement) {
               const [r, g, b, a = 1] = parse(getComputedStyle(e).backgroundColor);
               color = color.map((v, i) => v + left * a * [r, g, b][i]);
               left *= 1 - a;
             }
             return color;
           };
           const low = [];
           for (const element of document.querySelectorAll('main *, header *, footer *')) {
             const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
             if (!own || !element.checkVisibility() || element.closest('.spoken, dialog')) continue;
             const style = getComputedStyle(element);
             if (parseFloat(style.fontSize) === 0) continue;
             const [a, b] = [luminance(parse(style.color)), luminance(behind(element))];
             const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
             if (contrast < 4.5) low.push(`${element.outerHTML.slice(0, 90)}: ${contrast.toFixed(2)}`);
           }
           return low.slice(0, 5);
         })()",
    );
    found.as_array().unwrap().iter().map(|text| text.as_str().unwrap().into()).collect()
}

#[test]
fn everything_that_can_be_used_has_a_name() {
    let Some(mut chrome) = browser(&Look::DESKTOP) else { return };
    chrome.open(&LABELLED.page());
    chrome.until("document.querySelectorAll('.tile canvas').length >= 0");
    let nameless = chrome.eval(
        "[...document.querySelectorAll('a, button, input, select, svg[role=img], [role=region], dialog')]
           .filter(e => !(e.ariaLabel || e.textContent.trim() || e.labels?.length || e.querySelector('img[alt]')
             || e.getAttribute('aria-labelledby'))).map(e => e.outerHTML.slice(0, 80))",
    );
    assert_eq!(nameless.as_array().unwrap().len(), 0, "{nameless}");
}

#[test]
fn without_a_script_all_can_be_read() {
    let Some(mut chrome) = browser(&Look { scripts: false, ..Look::DESKTOP }) else { return };
    chrome.open(&LABELLED.page());
    assert_eq!(chrome.eval("document.documentElement.className"), "", "no script ran");
    // (What the test asks is run beside the page's own scripts.)
    let text = chrome.eval("document.querySelector('main').textContent").as_str().unwrap().to_string();
    for row in LABELLED.results() {
        assert!(text.contains(row["image"].as_str().unwrap()), "{row}");
        let label = row["exits"][0]["class_name"].as_str().unwrap();
        assert!(text.contains(&format!("1 {label}")), "{row}");
    }
    let photos = chrome.eval("document.querySelectorAll('.tile img').length");
    assert_eq!(photos, IMAGES);
    let shown = "[...document.querySelectorAll('#confusion .panel')].filter(p => p.checkVisibility()).length";
    assert_eq!(chrome.eval(shown), 1, "one exit at a time");
    let idle = "['bar', 'filters', 'viewer'].filter(id => document.getElementById(id).checkVisibility())";
    assert_eq!(chrome.eval(idle), serde_json::json!([]), "no control that does nothing");
    let list = "document.querySelector('#image-1 .track').checkVisibility()";
    assert_eq!(chrome.eval(list), true);
    chrome.eval("document.getElementById('gallery').scrollIntoView({ behavior: 'instant' })");
    chrome.screenshot("no-script");
    chrome.click("#confusion-2");
    let panel = "document.getElementById('confusion-panel-2').checkVisibility()";
    assert_eq!(chrome.eval(panel), true, "another exit is chosen without a script");
    assert_eq!(chrome.problems(), [""; 0]);
}
