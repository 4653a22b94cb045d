//! HTTP/1.1 for a page on the loopback address: one request a connection, within limits of size, time and number.
//!
//! httparse reads the heads. Small servers among the crates (tiny_http, rouille on it) limit neither the time that a
//! client may take nor the number of connections, and those that do bring a runtime.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::util::panic;

/// Limit of a request's line and headers together, in bytes.
const LONGEST_HEAD: usize = 16 << 10;
/// Limit of the number of headers.
const MOST_HEADERS: usize = 64;
/// Limit of the connections that are served at once; a browser opens six for a page.
const MOST_CONNECTIONS: usize = 48;
/// Limit of the bodies that are held at once, in bytes.
const MOST_BODIES: usize = 256 << 20;
/// Time for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Time for its body.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Time for a client to take what is written at once.
const WRITE_TIME: Duration = Duration::from_secs(20);
/// Time for a client to close the connection after the response.
const CLOSING_TIME: Duration = Duration::from_secs(2);

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
}

/// A request without its body.
#[derive(Debug)]
pub struct Head {
    pub verb: Verb,
    /// Path of the target, as it was sent.
    pub path: String,
    /// What follows the path's question mark, as it was sent.
    query: String,
    /// Names in lower case, and values.
    headers: Vec<(String, Vec<u8>)>,
}

/// An answer.
pub enum Response<'a> {
    Whole(Whole),
    /// Lines that are sent as they are made.
    Lines(SendLines<'a>),
}

/// Makes and sends the lines of an answer.
pub type SendLines<'a> = Box<dyn FnOnce(&mut Lines) -> std::io::Result<()> + 'a>;

/// An answer of known length.
#[derive(Debug)]
pub struct Whole {
    pub status: u16,
    /// MIME type.
    pub kind: &'static str,
    pub body: Vec<u8>,
    /// Further headers: a name and a value of visible ASCII characters.
    pub headers: Vec<(&'static str, String)>,
}

/// What a server answers.
pub trait Service: Sync {
    /// Decides by the head of a request whether it is read: the largest body in bytes, or the answer at once.
    ///
    /// # Errors
    /// The answer to a request that is refused.
    fn admit(&self, head: &Head) -> Result<usize, Whole>;

    /// Answers a request of `client` that was admitted.
    fn answer<'a>(&'a self, head: &Head, body: Vec<u8>, client: &Client) -> Response<'a>;

    /// The headers of every answer.
    fn headers(&self) -> &[(&'static str, &'static str)];
}

/// Serves connections until the process ends.
///
/// # Errors
/// When the system accepts no connections any more.
pub fn serve(listener: &TcpListener, service: &impl Service) -> std::io::Result<()> {
    let under_way = AtomicUsize::new(0);
    let under_way = &under_way;
    std::thread::scope(|scope| {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                // Of one connection, or until files are closed.
                Err(e) if is_passing(e.kind()) => continue,
                Err(e) if is_shortage(&e) => {
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                }
                Err(e) => return Err(e),
            };
            let place = Place::take(under_way);
            if place.number > MOST_CONNECTIONS {
                refuse(&stream, service);
                continue;
            }
            let serve = move || {
                let _place = place;
                let mut connection = Connection { stream, service };
                // A client that goes away is no event.
                let _ = connection.serve();
            };
            // A thread that the system refuses drops the connection.
            let _ = std::thread::Builder::new().name("request".into()).spawn_scoped(scope, serve);
        }
    })
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

/// Whether the process or the system has no file descriptor or memory left for a connection.
fn is_shortage(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    let short = matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EPROTO)
    );
    #[cfg(not(unix))]
    let short = error.kind() == ErrorKind::OutOfMemory;
    short
}

/// A connection that counts among those under way.
struct Place<'a> {
    under_way: &'a AtomicUsize,
    number: usize,
}

impl<'a> Place<'a> {
    fn take(under_way: &'a AtomicUsize) -> Place<'a> {
        Place { under_way, number: under_way.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers that there are too many connections, without reading the request.
fn refuse(stream: &TcpStream, service: &impl Service) {
    let _ = stream.set_write_timeout(Some(Duration::from_millis(100)));
    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
    let mut stream = stream;
    let _ = stream.write_all(&written(&Whole::error(503, "too many requests are under way"), service));
    // A connection that is closed before its request is read loses the answer.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 4 << 10]);
}

/// One connection, for one request.
struct Connection<'a, S> {
    stream: TcpStream,
    service: &'a S,
}

impl<S: Service> Connection<'_, S> {
    fn serve(&mut self) -> std::io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_write_timeout(Some(WRITE_TIME))?;
        match self.read() {
            Ok((head, body, _held)) => {
                let service = self.service;
                match panic::catch(|| service.answer(&head, body, &Client { stream: &self.stream })) {
                    Ok(Response::Whole(whole)) => self.send(&whole)?,
                    Ok(Response::Lines(lines)) => {
                        self.stream.write_all(&head_of_lines(service))?;
                        let mut to = Lines { stream: &self.stream };
                        // After a panic there is no last line, by which the page knows that something is missing.
                        let _ = panic::catch(|| lines(&mut to));
                    }
                    Err(panic) => self.send(&Whole::error(500, &format!("internal error: {panic}")))?,
                }
            }
            Err(Refused::Answer(whole)) => self.send(&whole)?,
            Err(Refused::Gone) => return Ok(()),
        }
        self.close()
    }

    fn send(&mut self, whole: &Whole) -> std::io::Result<()> {
        self.stream.write_all(&written(whole, self.service))
    }

    /// Reads what the client still sends: a connection that is closed before loses the answer.
    fn close(&mut self) -> std::io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        let (deadline, mut rest) = (Instant::now() + CLOSING_TIME, [0; 16 << 10]);
        while self.receive(&mut rest, deadline)? > 0 {}
        Ok(())
    }

    /// Reads some bytes; none at the end.
    fn receive(&mut self, to: &mut [u8], deadline: Instant) -> std::io::Result<usize> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(to) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                read => return read,
            }
        }
    }

    /// The request, once the service admits it.
    fn read(&mut self) -> Result<(Head, Vec<u8>, HeldBytes), Refused> {
        let (mut bytes, deadline) = (Vec::new(), Instant::now() + HEAD_TIME);
        let (head, length, expects, end) = loop {
            let mut some = [0; 4 << 10];
            let read = self.receive(&mut some, deadline).map_err(Refused::late)?;
            if read == 0 {
                return Err(Refused::Gone);
            }
            bytes.extend_from_slice(&some[..read]);
            let parsed = parse(&bytes)?;
            if parsed.as_ref().map_or(bytes.len(), |(.., end)| *end) > LONGEST_HEAD {
                return Err(Whole::error(431, "the head of the request is too long").into());
            }
            if let Some(parsed) = parsed {
                break parsed;
            }
        };
        let most = self.service.admit(&head)?;
        if length > most {
            let text = format!("the body has {length} bytes, at most {most} are taken");
            return Err(Whole::error(413, &text).into());
        }
        let Some(held) = HeldBytes::take(length) else {
            return Err(Whole::error(503, "too many photos are being sent").into());
        };
        if expects && bytes.len() == end {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Refused::Gone)?;
        }
        let mut body = bytes.split_off(end);
        body.truncate(length);
        let deadline = Instant::now() + BODY_TIME;
        let mut some = vec![0; 64 << 10];
        while body.len() < length {
            let room = some.len().min(length - body.len());
            let read = self.receive(&mut some[..room], deadline).map_err(Refused::late)?;
            if read == 0 {
                return Err(Refused::Gone);
            }
            // Memory grows with what arrives, not with what is announced.
            if body.try_reserve(read).is_err() {
                return Err(Whole::error(503, "not enough memory for the request").into());
            }
            body.extend_from_slice(&some[..read]);
        }
        Ok((head, body, held))
    }
}

/// A part of [`MOST_BODIES`].
struct HeldBytes(usize);

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

impl HeldBytes {
    fn take(bytes: usize) -> Option<HeldBytes> {
        let more = |held: usize| held.checked_add(bytes).filter(|&held| held <= MOST_BODIES);
        HELD_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| HeldBytes(bytes))
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        HELD_BYTES.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Why a request is not answered by the service.
enum Refused {
    Answer(Whole),
    /// There is nobody to answer.
    Gone,
}

impl Refused {
    fn late(error: std::io::Error) -> Refused {
        match error.kind() {
            ErrorKind::TimedOut => Refused::Answer(Whole::error(408, "the request took too long to arrive")),
            _ => Refused::Gone,
        }
    }
}

impl From<Whole> for Refused {
    fn from(whole: Whole) -> Refused {
        Refused::Answer(whole)
    }
}

/// Headers that a request has once at most.
const SINGLE: [&str; 5] = ["content-length", "host", "origin", "sec-fetch-site", "x-msdcam-token"];

/// The head, the length of the body, whether the client waits to be asked for it, and the length of the head;
/// `None` if more is to come.
pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize, bool, usize)>, Whole> {
    let invalid = |what: &str| Whole::error(400, &format!("not a request: {what}"));
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let end = match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Whole::error(431, "too many headers")),
        Err(e) => return Err(invalid(&e.to_string())),
    };
    let verb = match request.method {
        Some("GET") => Verb::Get,
        Some("POST") => Verb::Post,
        _ => {
            let refused = Whole::error(405, "only GET and POST are answered");
            return Err(Whole { headers: vec![("Allow", "GET, POST".into())], ..refused });
        }
    };
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = request.headers.iter().map(|h| (h.name.to_ascii_lowercase(), h.value.to_vec())).collect();
    let head = Head { verb, path: path.into(), query: query.into(), headers };
    // Two lengths, or a length and an encoding, are how requests are smuggled; of two origins one is not looked at.
    let mut seen = HashSet::new();
    for (name, _) in head.headers.iter().filter(|(name, _)| SINGLE.contains(&name.as_str())) {
        if !seen.insert(name.as_str()) {
            return Err(invalid(&format!("two headers {name}")));
        }
    }
    if head.has("transfer-encoding") {
        return Err(Whole::error(411, "the length of the body is needed, not an encoding"));
    }
    let length = match head.header("content-length") {
        None if head.has("content-length") => return Err(invalid("the length of the body")),
        None => 0,
        Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().unwrap_or(usize::MAX)
        }
        Some(_) => return Err(invalid("the length of the body")),
    };
    let expects = head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
    Ok(Some((head, length, expects, end)))
}

impl Head {
    /// The value of a header, whose name is in lower case; `None` if it is not of visible ASCII characters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = &self.headers.iter().find(|(known, _)| known == name)?.1;
        std::str::from_utf8(value).ok().filter(|value| value.bytes().all(|b| (0x20..0x7f).contains(&b)))
    }

    /// Whether there is a header of that name.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }

    /// A value of the query, decoded; invalid UTF-8 is replaced.
    pub fn value(&self, name: &str) -> Option<String> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| decoded(value))
    }
}

/// Text in which `%XX` is a byte.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A client that waits for its answer.
pub struct Client<'a> {
    stream: &'a TcpStream,
}

/// Lines to a client that waits.
pub struct Lines<'a> {
    stream: &'a TcpStream,
}

impl Client<'_> {
    /// Whether it still waits.
    pub fn is_waiting(&self) -> bool {
        let _ = self.stream.set_read_timeout(Some(Duration::from_millis(1)));
        match self.stream.peek(&mut [0]) {
            Ok(read) => read > 0,
            Err(e) => {
                matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
            }
        }
    }
}

impl Lines<'_> {
    /// Sends a line.
    ///
    /// # Errors
    /// When the client is gone.
    pub fn send(&mut self, line: &impl serde::Serialize) -> std::io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.stream.write_all(&bytes)
    }

    /// The client.
    pub fn client(&self) -> Client<'_> {
        Client { stream: self.stream }
    }
}

impl Whole {
    /// A value as JSON.
    pub fn json(value: &impl serde::Serialize) -> Whole {
        match serde_json::to_vec(value) {
            Ok(body) => Whole { status: 200, kind: "application/json", body, headers: Vec::new() },
            Err(e) => Whole::error(500, &e.to_string()),
        }
    }

    /// An error, in one line.
    pub fn error(status: u16, text: &str) -> Whole {
        let body = serde_json::json!({ "error": text }).to_string().into_bytes();
        Whole { status, kind: "application/json", body, headers: Vec::new() }
    }
}

/// The bytes of an answer.
fn written(whole: &Whole, service: &impl Service) -> Vec<u8> {
    let Whole { status, kind, body, headers } = whole;
    let mut head = first_lines(*status, kind, service);
    head += &format!("Content-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    head += "\r\n";
    [head.as_bytes(), body].concat()
}

/// The head of an answer in lines, which ends with the connection.
fn head_of_lines(service: &impl Service) -> Vec<u8> {
    (first_lines(200, "application/x-ndjson", service) + "\r\n").into_bytes()
}

fn first_lines(status: u16, kind: &str, service: &impl Service) -> String {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    };
    let mut head = format!("HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nConnection: close\r\n");
    service.headers().iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    head
}

/// Room for tasks that may run at once.
#[derive(Debug)]
pub struct Room {
    free: AtomicUsize,
}

/// A task's place in a [`Room`], given back when it is dropped.
#[derive(Debug)]
pub struct Taken<'a>(&'a Room);

impl Room {
    /// Room for `count` tasks.
    pub const fn new(count: usize) -> Room {
        Room { free: AtomicUsize::new(count) }
    }

    /// A place, if there is one.
    pub fn take(&self) -> Option<Taken<'_>> {
        let less = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok().map(|_| Taken(self))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<(Head, usize, bool, usize)>, u16> {
        parse(text.as_bytes()).map_err(|refused| refused.status)
    }

    #[test]
    fn a_head_is_parsed_once_it_is_complete() {
        let text = "POST /api/photos?name=a%20b%2Fc.png&x=1 HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: 12\r\n\r\nbody";
        for end in 0..text.len() - 4 {
            assert!(head(&text[..end]).unwrap().is_none(), "{end}");
        }
        let (head, length, expects, end) = head(text).unwrap().unwrap();
        assert_eq!((head.verb, head.path.as_str(), length, expects), (Verb::Post, "/api/photos", 12, false));
        assert_eq!(&text[end..], "body");
        assert_eq!(head.value("name").as_deref(), Some("a b/c.png"));
        assert_eq!((head.value("x").as_deref(), head.value("y")), (Some("1"), None));
        assert_eq!(head.header("host"), Some("localhost:1"));
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        for (headers, status) in [
            ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
            ("Host: a\r\nhost: b\r\n", 400),
            ("Origin: http://a\r\nOrigin: http://b\r\n", 400),
            ("Content-Length: 5\u{e4}\r\n", 400),
            ("Transfer-Encoding: chunked\u{e4}\r\n", 411),
            ("Transfer-Encoding: chunked\r\n", 411),
            ("Content-Length: -1\r\n", 400),
            ("Content-Length: 1 2\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("no colon\r\n", 400),
        ] {
            assert_eq!(head(&format!("POST / HTTP/1.1\r\n{headers}\r\n")).unwrap_err(), status, "{headers}");
        }
        let huge =
            head("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n").unwrap().unwrap();
        assert_eq!(huge.1, usize::MAX);
        assert_eq!(head("PUT / HTTP/1.1\r\n\r\n").unwrap_err(), 405);
        assert_eq!(head("\u{1}\r\n\r\n").unwrap_err(), 400);
        assert_eq!(head(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65))).unwrap_err(), 431);
    }

    #[test]
    fn percent_signs_that_begin_no_byte_stay() {
        assert_eq!(["%", "%4", "%zz", "%41%", "%e4"].map(decoded), ["%", "%4", "%zz", "A%", "\u{fffd}"]);
    }

    #[test]
    fn there_is_room_again_after_a_task() {
        let room = Room::new(1);
        let taken = room.take();
        assert!(taken.is_some() && room.take().is_none());
        drop(taken);
        let _ = panic::catch(|| {
            let _taken = room.take();
            panic!("a task")
        });
        assert!(room.take().is_some());
    }
}
