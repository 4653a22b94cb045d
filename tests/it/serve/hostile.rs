//! Requests that get no answer, photos that are none, and many at once.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use super::server::{Answer, Server, question, with};
use crate::cli::program::{Place, repository};
#[cfg(target_os = "linux")]
use crate::common::process::peak_so_far;

/// Whether the server still explains its sample.
#[track_caller]
fn is_well(server: &Server) {
    let photo = server.post("/api/sample", b"").json()["photo"].as_str().unwrap().to_string();
    assert_eq!(server.ask("/api/explain", &question(&photo)).result()["set"]["exits"][9], 10);
}

#[test]
fn only_its_own_page_is_answered() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let (port, token) = (server.port, server.token.as_str());
    let own = format!("Host: 127.0.0.1:{port}\r\n");
    let known = format!("X-Msdcam-Token: {token}\r\n");
    let foreign = |origin: &str| format!("{own}{known}Origin: {origin}\r\n");
    for (headers, status) in [
        (format!("{own}{known}"), 200),
        (format!("Host: localhost:{port}\r\n{known}Origin: http://localhost:{port}\r\n"), 200),
        // A name that points to the loopback address (DNS rebinding), another port, no name.
        (format!("Host: evil.example:{port}\r\n{known}"), 421),
        (format!("Host: 127.0.0.1.evil.example:{port}\r\n{known}"), 421),
        (format!("Host: 127.0.0.1:{}\r\n{known}", port ^ 1), 421),
        (format!("Host: 127.0.0.1\r\n{known}"), 421),
        (known.clone(), 421),
        (format!("{own}{own}{known}"), 400),
        // Other pages.
        (foreign("https://evil.example"), 403),
        (foreign("null"), 403),
        (foreign(&format!("http://127.0.0.1:{}", port ^ 1)), 403),
        (foreign(&format!("https://127.0.0.1:{port}")), 403),
        (foreign(&format!("http://127.0.0.1:{port}.evil.example")), 403),
        (foreign("\u{ff}"), 403),
        (format!("{own}{known}Sec-Fetch-Site: cross-site\r\n"), 403),
        (format!("{own}{known}Sec-Fetch-Site: same-site\r\n"), 403),
        (format!("{own}{known}Sec-Fetch-Site: none\r\n"), 403),
        // Those who do not know the token.
        (own.clone(), 403),
        (format!("{own}X-Msdcam-Token: \r\n"), 403),
        (format!("{own}X-Msdcam-Token: {}\r\n", "0".repeat(32)), 403),
        (format!("{own}X-Msdcam-Token: {token}0\r\n"), 403),
        (format!("{own}X-Msdcam-Token: {}\r\n", &token[1..]), 403),
    ] {
        for (verb, target) in [("GET", "/api/models"), ("POST", "/api/sample")] {
            let answer =
                Answer::of(&server.raw(format!("{verb} {target} HTTP/1.1\r\n{headers}\r\n").as_bytes()));
            assert_eq!(answer.status, status, "{headers}: {}", answer.text());
            assert_eq!(answer.status == 200, answer.json()["error"].is_null(), "{headers}");
            assert!(!answer.head.to_lowercase().contains("access-control"), "{}", answer.head);
        }
    }
    // The page itself has no secrets, and is for this host only.
    for (headers, status) in [(own.as_str(), 200), ("Host: evil.example\r\n", 421), ("", 421)] {
        let answer = Answer::of(&server.raw(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes()));
        assert_eq!(answer.status, status, "{headers}");
        assert!(!answer.text().contains(token));
        assert!(answer.head.contains("default-src 'none'") && answer.head.contains("frame-ancestors 'none'"));
    }
    is_well(&server);
}

#[test]
fn no_path_of_the_disk_can_be_named() {
    let place = Place::new();
    place.write("secret.txt", b"a secret");
    let server = Server::start(&place, &[]);
    for target in [
        "/secret.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "//secret.txt",
        "/api/photos/../../secret.txt",
        "/api",
        "/serve.js/",
        "/page.html",
        "*",
        "http://127.0.0.1/secret.txt",
    ] {
        let answer = Answer::of(&server.raw(server.head("GET", target, 0).as_bytes()));
        assert_eq!(answer.status, 404, "{target}");
    }
    let photo = server.post("/api/sample", b"").json()["photo"].as_str().unwrap().to_string();
    // Fields and values that would be other options of the command.
    for fields in [
        json!({ "weights": "secret.txt" }),
        json!({ "output": "/tmp/x" }),
        json!({ "method": "grad-cam --weights secret.txt" }),
        json!({ "method": "grad-cam,layer-cam" }),
        json!({ "tap": "all-scales" }),
        json!({ "tap": "--weights=secret.txt" }),
        json!({ "class": "top3" }),
        json!({ "class": "label" }),
        json!({ "class": "10" }),
        json!({ "class": "-1" }),
        json!({ "score": "over" }),
        json!({ "smooth": "" }),
        json!({ "colormap": "../jet" }),
        json!({ "opacity": 1e99 }),
        json!({ "opacity": -0.1 }),
        json!({ "boxes": "0" }),
        json!({ "scale": "shared", "smooth": "flips" }),
        json!({ "photo": 1 }),
        json!({ "model": -1 }),
        json!({ "model": 1 }),
        json!({ "kind": "../strip" }),
        json!({ "kind": "picture" }),
        json!({ "kind": "picture", "exit": 11 }),
    ] {
        let question = with(&question(&photo), fields.clone());
        let answer = server.ask(
            "/api/download",
            &with(&question, json!({ "kind": fields.get("kind").unwrap_or(&json!("strip")) })),
        );
        let error = answer.json()["error"].as_str().unwrap_or_default().to_string();
        assert_eq!((answer.status, error.lines().count()), (400, 1), "{fields}: {}", answer.text());
    }
    let gone = server.ask("/api/explain", &question("999"));
    assert_eq!(gone.status, 410);
    // The name of a photo is a name only.
    for (name, is) in
        [("..%2F..%2Fetc%2Fpasswd", "passwd"), ("%00%0A", "\u{0}\n"), ("", "photo"), ("..", "photo")]
    {
        let answer = server.post(
            &format!("/api/photos?name={name}"),
            &std::fs::read(repository("weights/samples/chelsea.png")).unwrap(),
        );
        assert_eq!(answer.json()["name"], is, "{name}");
        let id = answer.json()["photo"].as_str().unwrap().to_string();
        let strip = server.ask("/api/download", &with(&question(&id), json!({ "kind": "strip" })));
        assert_eq!(strip.status, 200);
        let name = strip.head.split("filename=\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(!name.contains(['/', '\\']) && !name.starts_with('.'), "{name}");
    }
    assert_eq!(place.names("."), ["secret.txt"], "nothing is written");
}

#[test]
fn a_bad_photo_ends_nothing() {
    let place = Place::new();
    place.cat("cat.png");
    let cat = std::fs::read(place.path().join("cat.png")).unwrap();
    let server = Server::start(&place, &[]);
    let mut huge = cat.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]); // 65,535 x 65,535 pixels
    let bad: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("text", b"not a picture"),
        ("cut", &cat[..cat.len() / 2]),
        ("head", &cat[..20]),
        ("huge", &huge),
        ("zeros", &[0; 100_000]),
    ];
    for (name, bytes) in bad {
        let answer = server.post(&format!("/api/photos?name={name}.png"), bytes);
        let error = answer.json()["error"].as_str().unwrap_or_default().to_string();
        assert_eq!((answer.status, error.lines().count()), (400, 1), "{name}: {}", answer.text());
        assert!(error.starts_with(&format!("{name}.png: ")), "{error}");
    }
    let length = (64 << 20) + 1;
    let answer = Answer::of(&server.raw(server.head("POST", "/api/photos?name=big.png", length).as_bytes()));
    assert_eq!(answer.status, 413, "{}", answer.text());
    // Before the body has arrived, of which nothing is kept.
    let answer = Answer::of(&server.raw(server.head("POST", "/api/explain", 1 << 20).as_bytes()));
    assert_eq!(answer.status, 413);
    is_well(&server);
}

#[test]
fn what_is_no_request_is_refused_or_dropped() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20 << 10));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
    let chunked =
        server.head("POST", "/api/explain", 0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let requests: [(&[u8], u16); 8] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400), // TLS
        (b"HELO example\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"DELETE / HTTP/1.1\r\n\r\n", 405),
        (b"OPTIONS /api/models HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n", 405),
        (long.as_bytes(), 431),
        (many.as_bytes(), 431),
        (chunked.as_bytes(), 411),
    ];
    for (bytes, status) in requests {
        assert_eq!(Answer::of(&server.raw(bytes)).status, status, "{:?}", String::from_utf8_lossy(bytes));
    }
    // Clients that leave in the middle, at every byte of a request and of its answer.
    let whole = server.head("POST", "/api/sample", 0);
    for end in (0..whole.len()).step_by(7) {
        let mut stream = server.connect();
        stream.write_all(&whole.as_bytes()[..end]).unwrap();
    }
    for read in [0, 1, 100, 1000] {
        let mut stream = server.connect();
        stream.write_all(server.head("GET", "/api/models", 0).as_bytes()).unwrap();
        stream.read_exact(&mut vec![0; read]).unwrap();
    }
    is_well(&server);
}

#[test]
fn a_slow_client_has_five_seconds_for_its_head_and_holds_up_nobody() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let start = Instant::now();
    let mut slow: Vec<_> = (0..20).map(|_| server.connect()).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(b"GET / HTTP/1.1\r\n").unwrap());
    is_well(&server);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // A header now and then does not buy more time.
    let mut answer = Vec::new();
    for i in 0.. {
        if slow[0].write_all(b"a: b\r\n").is_err() || i > 100 {
            break;
        }
        slow[0].set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut some = [0; 1024];
        match slow[0].read(&mut some) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&some[..read]),
            Err(_) => {}
        }
    }
    let took = start.elapsed();
    assert_eq!(Answer::of(&answer).status, 408);
    assert!((4.5..20.0).contains(&took.as_secs_f64()), "{took:?}");
    is_well(&server);
}

#[test]
fn what_nobody_waits_for_is_not_computed() {
    let place = Place::new();
    let server = Server::start(&place, &["--threads", "1"]);
    let photo = server.post("/api/sample", b"").json()["photo"].as_str().unwrap().to_string();
    let slow = with(&question(&photo), json!({ "method": "score-cam", "smooth": "flips", "kind": "strip" }));
    let start = Instant::now();
    // About ten times twenty seconds of work.
    for i in 0..10 {
        let asked = with(&slow, json!({ "class": i.to_string() })).to_string();
        let target = if i % 2 == 0 { "/api/download" } else { "/api/drawing" };
        let mut stream = server.connect();
        stream.write_all(format!("{}{asked}", server.head("POST", target, asked.len())).as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(30));
    }
    is_well(&server);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[cfg(target_os = "linux")]
#[test]
fn large_photos_wait_for_each_other() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    // 80 megapixels, 240 MB when decoded: two fit into the limit.
    let picture = msdcam::imaging::encode_png(&msdcam::RgbImage::filled(10_000, 8_000, [9, 99, 200]));
    let before = peak(&server);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| server.add("large.png", &picture));
        }
    });
    let more = peak(&server) - before;
    assert!(more < 600 << 10, "{more} KiB more for three photos of 234,000 KiB");
}

/// Peak memory of the server, in KiB.
#[cfg(target_os = "linux")]
fn peak(server: &Server) -> u64 {
    peak_so_far(server.id()).expect("it still serves")
}

#[test]
fn the_oldest_photos_are_forgotten() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let add = || server.post("/api/sample", b"").json()["photo"].as_str().unwrap().to_string();
    let photos: Vec<String> = (0..65).map(|_| add()).collect();
    let status = |photo: &str| server.ask("/api/explain", &question(photo)).status;
    assert_eq!((status(&photos[0]), status(&photos[1]), status(&photos[64])), (410, 200, 200));
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_kept_is_limited_by_its_size() {
    let place = Place::new();
    let network = repository("tests/onnx/networks/plain_size_legacy.onnx");
    let arguments = ["--weights", network.to_str().unwrap(), "--input-size", "1024", "--threads", "1"];
    let server = Server::start(&place, &arguments);
    let before = peak(&server);
    // 12 MiB as the network's input, 3 MiB as it was seen, and pictures.
    let picture = msdcam::imaging::encode_png(&msdcam::RgbImage::filled(64, 64, [9, 99, 200]));
    let photos: Vec<String> = (0..40).map(|_| server.add("plain.png", &picture)).collect();
    let more = peak(&server) - before;
    assert!(more < 400 << 10, "{more} KiB more for 40 photos");
    let status = |photo: &str| server.ask("/api/explain", &question(photo)).status;
    assert_eq!((status(&photos[0]), status(&photos[39])), (410, 200));
    let gone = server.ask("/api/download", &with(&question(&photos[0]), json!({ "kind": "strip" })));
    let told = json!("the photo is no longer held: add it again");
    assert_eq!((gone.status, &gone.json()["error"]), (410, &told));
}

#[test]
fn a_thousand_requests_by_sixteen_clients_are_answered() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let photo = server.post("/api/sample", b"").json()["photo"].as_str().unwrap().to_string();
    let methods = ["grad-cam", "layer-cam", "hires-cam", "eigen-cam"];
    let expected: Vec<_> = methods
        .iter()
        .map(|method| server.ask("/api/explain", &with(&question(&photo), json!({ "method": method }))).result()["image"].clone())
        .collect();
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (server, photo, expected) = (&server, &photo, &expected);
            scope.spawn(move || {
                for i in 0..63 {
                    let at = (client + i) % methods.len();
                    // A class of its own is not known yet.
                    let class =
                        if i % 9 == 0 { json!(((client + i) % 10).to_string()) } else { json!("predicted") };
                    let asked = with(&question(photo), json!({ "method": methods[at], "class": class }));
                    let answer = server.ask("/api/explain", &asked);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let result = answer.result();
                    if class == "predicted" {
                        assert_eq!(result["image"], expected[at]);
                    }
                }
            });
        }
    });
    #[cfg(target_os = "linux")]
    assert!(peak(&server) < 300 << 10, "peak of {} KiB", peak(&server));
}

#[test]
fn a_port_that_is_taken_is_a_usage_error() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let run = place.msdcam(&format!("serve --port {} --device cpu", server.port));
    run.refused(2, &[&format!("port {} of 127.0.0.1: ", server.port)]);
    let run = place.msdcam("serve --port 0 --weights nothing.safetensors");
    run.refused(4, &["nothing.safetensors"]);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let kill = std::process::Command::new("kill").args(["-INT", &server.id().to_string()]).status();
    assert!(kill.unwrap().success());
    assert_eq!(server.exit_code(), Some(130));
    assert_eq!(place.names("."), [""; 0], "nothing is written");
}
