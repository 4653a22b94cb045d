//! The page of `msdcam serve` in Chromium: keys, pointer, drop, cancel, two tabs.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::browser::browser;
use crate::browser::chrome::{Chrome, Look};
use crate::browser::page::least_contrast;
use crate::cli::program::{Place, repository};
use crate::serve::server::Server;

/// The page with nothing on it.
fn open(chrome: &mut Chrome, server: &Server) {
    // Addresses that differ in their fragments only are one page.
    chrome.open_address("about:blank");
    chrome.open_address(&server.address());
    chrome.until("offer.methods.length > 0");
}

/// A browser with the page of a server with further arguments, and what the server needs; `None` without a browser.
fn served(arguments: &[&str]) -> Option<(Chrome, Server, Place)> {
    let mut chrome = browser(&Look::DESKTOP)?;
    let place = Place::new();
    let server = Server::start(&place, arguments);
    open(&mut chrome, &server);
    Some((chrome, server, place))
}

/// As [`served`], with the sample in pane A.
fn with_sample(arguments: &[&str]) -> Option<(Chrome, Server, Place)> {
    let (mut chrome, server, place) = served(arguments)?;
    chrome.click("#sample");
    chrome.until("panes[0].image !== null");
    Some((chrome, server, place))
}

/// Drops files on an element of the page, as a user does; resolves with the milliseconds until a pane has another map.
fn drop_files(chrome: &mut Chrome, on: &str, files: &[(&str, Vec<u8>)]) -> serde_json::Value {
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name, STANDARD.encode(bytes))).collect();
    let files = serde_json::to_string(&files).unwrap();
    chrome.eval(&format!(
        "(async () => {{
           const data = new DataTransfer();
           for (const [name, text] of {files}) {{
             data.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
           }}
           const images = () => panes.map(pane => pane.image), before = images(), start = performance.now();
           document.querySelector({on:?}).dispatchEvent(new DragEvent('drop', {{ dataTransfer: data, bubbles: true, cancelable: true }}));
           while (images().every((image, i) => image === before[i]) && performance.now() - start < 20000) await new Promise(requestAnimationFrame);
           return performance.now() - start;
         }})()"
    ))
}

fn cat() -> Vec<u8> {
    std::fs::read(repository("weights/samples/chelsea.png")).unwrap()
}

fn text(chrome: &mut Chrome, selector: &str) -> String {
    let text = chrome.eval(&format!("document.querySelector({selector:?}).textContent"));
    text.as_str().unwrap().trim().into()
}

#[test]
fn a_dropped_photo_is_explained_and_every_exit_can_be_reached_by_keys() {
    let Some((mut chrome, _server, place)) = served(&[]) else { return };
    chrome.screenshot("serve-welcome");
    let took = drop_files(&mut chrome, "body", &[("a cat.png", cat())]).as_f64().unwrap();
    assert!(took < 5000.0, "a map after {took} ms");
    assert!(text(&mut chrome, "#title-a bdi") == "a cat.png");
    let known = classes_of_exits(&place);
    let mut maps = Vec::new();
    // Pane A opens at the last exit; the arrow keys move from there.
    for exit in (1..=10).rev() {
        assert_eq!(text(&mut chrome, "#exit-control-a .exit-now"), exit.to_string());
        assert!(text(&mut chrome, "#top-a li").starts_with(&known[exit - 1]), "exit {exit}");
        let map = chrome.eval("document.querySelector('#picture-a canvas').toDataURL()");
        assert!(!maps.contains(&map), "exit {exit} has a map of its own");
        maps.push(map);
        chrome.press("ArrowLeft");
    }
    assert_eq!(text(&mut chrome, "#exit-control-a .exit-now"), "1", "there is no exit before the first");
    chrome.until("document.querySelector('#command-a').textContent.startsWith('msdcam explain')");
    assert!(text(&mut chrome, "#command-a").starts_with("msdcam explain 'a cat.png'"));
    assert_eq!(chrome.problems(), [""; 0]);
}

/// The class that each exit predicts for the cat, by the command line.
fn classes_of_exits(place: &Place) -> Vec<String> {
    place.cat("cat.png");
    let run = place.msdcam("classify cat.png --json --device cpu -q");
    let exits = run.json()[0]["exits"].as_array().unwrap().clone();
    exits.iter().map(|exit| exit["class_name"].as_str().unwrap().to_string()).collect()
}

#[test]
fn two_panes_compare_methods_classes_and_photos() {
    let Some((mut chrome, _server, _place)) = with_sample(&[]) else { return };
    chrome.press("c");
    chrome.until("panes[1].image !== null");
    chrome.eval("panes[1].set('method', 'guided-backprop')");
    chrome.until("panes[1].image.pictures?.length === 10");
    assert!(text(&mut chrome, "#method-caution-b").contains("sharp edges are the photo's"));
    assert!(!text(&mut chrome, "#method-caution-a").is_empty());
    let references = chrome
        .eval("['formula-a', 'paper-b'].map(id => document.getElementById('method-' + id).textContent)");
    let expected = ["ReLU(Σₖ wₖ Aₖ), wₖ = mean Gₖ", "Springenberg et al., ICLR Workshop 2015"];
    assert_eq!(references, serde_json::json!(expected));
    chrome.screenshot("serve-compare");
    let methods = chrome.eval("panes.map(pane => pane.asks.method)");
    assert_eq!(methods, serde_json::json!(["grad-cam", "guided-backprop"]));
    // A class among the ten, by typing.
    chrome.click("#class-a");
    chrome.eval("document.querySelector('#class-a').select()");
    for key in ["d", "o", "g"] {
        chrome.type_text(key);
    }
    chrome.press("Enter");
    chrome.until("panes[0].asks.class === '5' && panes[0].image.target[0] === 5");
    drop_files(&mut chrome, "#picture-b", &[("other.png", cat())]);
    chrome.until("panes[1].photo.name === 'other.png' && panes[0].photo.name === 'chelsea.png'");
    // Contours and a box are drawn over the map; the picture of a pixel method has none.
    chrome.eval("change('contours', 'on'); change('boxes', '15%')");
    chrome.until("document.querySelectorAll('#picture-a svg path').length === 2");
    chrome.until("document.querySelectorAll('#picture-a svg rect').length === 2");
    chrome.screenshot("serve-contours");
    assert_eq!(chrome.problems(), [""; 0]);
}

#[test]
fn a_slow_method_shows_progress_and_is_cancelled() {
    let Some((mut chrome, _server, _place)) = with_sample(&["--threads", "1"]) else { return };
    chrome.eval("panes[0].set('smooth', 'flips'); panes[0].set('method', 'score-cam')");
    chrome.until("document.querySelector('#progress-a').value > 0");
    chrome.screenshot("serve-progress");
    chrome.press("Escape");
    chrome.until("document.querySelector('#busy-a').hidden && !document.querySelector('#problem-a').hidden");
    assert!(text(&mut chrome, "#problem-a").starts_with("Cancelled"));
    chrome.eval("panes[0].set('method', 'layer-cam')");
    chrome.until("!panes[0].isStale && document.querySelector('#problem-a').hidden");
    assert_eq!(chrome.problems(), [""; 0]);
}

#[test]
fn changes_in_quick_succession_leave_no_old_map_on_the_page() {
    let Some((mut chrome, _server, _place)) = with_sample(&["--threads", "1"]) else { return };
    chrome.until("!document.querySelector('#copy-a').disabled");
    let old = chrome.eval(
        "(async () => {
           panes[0].set('smooth', 'flips');
           for (let i = 0; i < 12; i++) {
             panes[0].set('method', i % 2 ? 'score-cam' : 'ablation-cam');
             await new Promise(resolve => setTimeout(resolve, 100));
           }
           return [panes[0].isStale, document.querySelector('#copy-a').disabled, panes[0].asked.method.name];
         })()",
    );
    assert_eq!(
        old,
        serde_json::json!([true, true, "grad-cam"]),
        "stale, no command, and what the answer was to"
    );
    chrome.eval("panes[0].set('smooth', 'none'); panes[0].set('method', 'layer-cam')");
    chrome.until("!panes[0].isStale && panes[0].asked.method.name === 'layer-cam'");
    chrome.until("document.querySelector('#command-a').textContent.includes('--method=layer-cam')");
    // A tap that early exits do not depend on.
    chrome.eval("panes[0].set('tap', 'exit10')");
    chrome.until("panes[0].image.set.exits.length === 1");
    assert_eq!(text(&mut chrome, "#saved-a"), "Only exit 10 depends on this tap.");
    // Pixel methods leave the settings of maps alone.
    chrome.eval("panes[0].set('tap', 'own'); panes[0].set('method', 'input-gradient')");
    chrome.until("document.querySelector('#contours').disabled");
    assert_eq!(chrome.problems(), [""; 0]);
}

#[test]
fn a_bad_photo_is_told_and_the_next_is_shown() {
    let Some((mut chrome, _server, _place)) = served(&[]) else { return };
    let hostile = "<img src=x onerror=alert(1)>.png";
    drop_files(&mut chrome, "body", &[(hostile, b"not a photo".to_vec()), ("good.png", cat())]);
    chrome.until("panes[0].photo?.name === 'good.png'");
    let told = text(&mut chrome, "#photos .failed");
    assert!(told.starts_with(hostile), "{told}");
    assert_eq!(chrome.eval("document.querySelectorAll('#photos img').length"), 0, "a name is text");
    // The refusal itself is in the browser's log.
    let problems = chrome.problems();
    assert!(problems.iter().all(|problem| problem.contains("status of 400")), "{problems:?}");
}

#[test]
fn downloads_are_offered_under_the_names_of_the_files() {
    let Some((mut chrome, _server, _place)) = with_sample(&[]) else { return };
    chrome.eval(
        "window.saved = []; HTMLAnchorElement.prototype.click = function () { saved.push(this.download); }",
    );
    for kind in ["picture", "strip", "arrays"] {
        chrome.click(&format!("#download-{kind}-a"));
        chrome.until(&format!(
            "document.querySelector('#download-{kind}-a').getAttribute('aria-disabled') !== 'true'"
        ));
    }
    let names = serde_json::json!(["chelsea_exit10_cam.png", "chelsea_strip.png", "chelsea.npz"]);
    assert_eq!(chrome.eval("saved"), names);
}

#[test]
fn the_page_looks_as_it_should_at_every_size_in_light_and_dark() {
    let Some(mut chrome) = browser(&Look::DESKTOP) else { return };
    let place = Place::new();
    let server = Server::start(&place, &[]);
    for (width, height) in [(1280, 900), (400, 800)] {
        for dark in [false, true] {
            chrome.look(&Look { width, height, dark, scripts: true });
            open(&mut chrome, &server);
            let name = format!("serve-{width}-{}", if dark { "dark" } else { "light" });
            for step in ["welcome", "one", "two"] {
                match step {
                    "one" => chrome.click("#sample"),
                    "two" => chrome.click("#compare"),
                    _ => {}
                }
                let image = match step {
                    "welcome" => "true",
                    "one" => "panes[0].image !== null",
                    _ => "panes[1].image !== null",
                };
                chrome.until(image);
                std::thread::sleep(Duration::from_millis(300));
                chrome.screenshot(&format!("{name}-{step}"));
                let wider = chrome.eval("document.documentElement.scrollWidth > innerWidth");
                assert_eq!(wider, false, "{name}, {step}: nothing sticks out sideways");
                assert_eq!(least_contrast(&mut chrome), [""; 0], "{name}, {step}");
            }
            assert_eq!(nameless(&mut chrome), serde_json::json!([]), "{name}");
            assert_eq!(chrome.problems(), [""; 0], "{name}");
        }
    }
}

/// Controls without a name for a screen reader, and ids that exist twice.
fn nameless(chrome: &mut Chrome) -> serde_json::Value {
    chrome.eval(
        "[...document.querySelectorAll('a, button, input, select, [role=img], [role=radiogroup], progress')]
           .filter(e => e.checkVisibility() && !(e.ariaLabel || e.textContent.trim() || e.labels?.length
             || e.getAttribute('aria-labelledby'))).map(e => e.outerHTML.slice(0, 80))
           .concat([...document.querySelectorAll('[id]')].map(e => e.id).filter((id, i, all) => all.indexOf(id) !== i))",
    )
}

#[test]
fn two_tabs_do_not_disturb_each_other() {
    let (Some(mut a), Some(mut b)) = (browser(&Look::DESKTOP), browser(&Look::DESKTOP)) else { return };
    let place = Place::new();
    let server = Server::start(&place, &[]);
    open(&mut a, &server);
    open(&mut b, &server);
    drop_files(&mut a, "body", &[("first.png", cat())]);
    drop_files(&mut b, "body", &[("second.png", cat())]);
    a.eval("panes[0].set('method', 'hires-cam')");
    b.eval("panes[0].set('method', 'layer-cam')");
    a.until("!panes[0].isStale && panes[0].asks.method === 'hires-cam'");
    b.until("!panes[0].isStale && panes[0].asks.method === 'layer-cam'");
    assert_eq!([text(&mut a, "#title-a bdi"), text(&mut b, "#title-a bdi")], ["first.png", "second.png"]);
}

#[test]
fn without_its_token_the_page_says_what_to_open() {
    let Some(mut chrome) = browser(&Look::DESKTOP) else { return };
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let address = server.address();
    let (page, _) = address.split_once('#').unwrap();
    for wrong in [page.to_string(), format!("{page}#{}", "0".repeat(32))] {
        chrome.open_address("about:blank");
        chrome.open_address(&wrong);
        chrome.until("!document.querySelector('#notice').hidden");
        assert!(text(&mut chrome, "#notice").contains("open the address that msdcam serve printed"));
    }
}
