//! A served page: the program in the background, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::program::Place;

/// The program, until it is dropped.
pub struct Server {
    child: Child,
    pub port: u16,
    pub token: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Server {
    /// Starts `msdcam serve` with further arguments.
    pub fn start(place: &Place, arguments: &[&str]) -> Server {
        let mut command =
            place.command(&[&["serve", "--port", "0", "--quiet", "--device", "cpu"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let (host, token) =
            address.trim_end().strip_prefix("http://127.0.0.1:").unwrap().split_once("/#").unwrap();
        Server { child, port: host.parse().unwrap(), token: token.into() }
    }

    /// The page's address, as it is printed.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/#{}", self.port, self.token)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit code, once it has ended.
    pub fn exit_code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Sends bytes as they are, and returns what comes back until the connection ends.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // The server may answer, and close, before it has read everything.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream
    }

    /// The head of a request as the page sends it.
    pub fn head(&self, verb: &str, target: &str, length: usize) -> String {
        let Server { port, token, .. } = self;
        format!(
            "{verb} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n\
             Sec-Fetch-Site: same-origin\r\nX-Msdcam-Token: {token}\r\nContent-Length: {length}\r\n\r\n"
        )
    }

    /// The answer to a request as the page sends it.
    pub fn post(&self, target: &str, body: &[u8]) -> Answer {
        Answer::of(&self.raw(&[self.head("POST", target, body.len()).as_bytes(), body].concat()))
    }

    /// As [`Server::post`], of a value as JSON.
    pub fn ask(&self, target: &str, question: &Value) -> Answer {
        self.post(target, question.to_string().as_bytes())
    }

    /// The number of a photo that is added.
    pub fn add(&self, name: &str, bytes: &[u8]) -> String {
        let answer = self.post(&format!("/api/photos?name={name}"), bytes);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["photo"].as_str().unwrap().into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// Of the bytes of a whole answer.
    pub fn of(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The lines of an explanation; the last has the result.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What an explanation found.
    #[track_caller]
    pub fn result(&self) -> Value {
        let lines = self.lines();
        let last = lines.last().unwrap();
        assert!(last["error"].is_null(), "{last}");
        last["result"].clone()
    }
}

/// The question of the page as it opens, about a photo.
pub fn question(photo: &str) -> Value {
    json!({
        "photo": photo, "model": 0, "method": "grad-cam", "tap": "own", "class": "predicted",
        "score": "logit", "smooth": "none",
    })
}

/// `base` with some fields changed.
pub fn with(base: &Value, fields: Value) -> Value {
    let mut question = base.clone();
    for (name, value) in fields.as_object().unwrap() {
        question[name] = value.clone();
    }
    question
}
