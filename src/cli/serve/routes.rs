//! The answers to the page's requests.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::error::printable;
use crate::util::panic;
use crate::util::text::percent_encoded;
use crate::{Error, Result};

use super::access::Access;
use super::computing::{Computed, Computing, Key, LONGEST, Task, internal};
use super::http::{Client, Head, Response, Room, Service, Taken, Verb, Whole};
use super::models::{ServedModel, choices};
use super::page;
use super::photos::{HeldPhoto, LARGEST_FILE, Photos, PreparedPhoto};
use super::question::Question;
use super::view::{Drawing, View};
use crate::cli::explain::one_photo::{ExplainedPhoto, OnePhotoJob, PhotoFile};

/// A photo to try the page with.
const SAMPLE: (&str, &[u8]) = ("chelsea.png", include_bytes!("../../../weights/samples/chelsea.png"));
/// Limit of a question, in bytes.
const LONGEST_QUESTION: usize = 16 << 10;
/// Uploads at once.
const MOST_UPLOADS: usize = 4;
/// Questions at once, of which one is computed.
const MOST_QUESTIONS: usize = 16;
/// How often a client that waits is told of the progress.
const BETWEEN_LINES: Duration = Duration::from_millis(200);

static UPLOADS: Room = Room::new(MOST_UPLOADS);
static QUESTIONS: Room = Room::new(MOST_QUESTIONS);

/// The content security policy: everything from this server, nothing inline, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer.
const HEADERS: &[(&str, &str)] = &[
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
];

/// All that the page needs.
pub struct Server {
    pub access: Access,
    pub models: Vec<ServedModel>,
    pub photos: Photos,
    pub computing: Computing,
}

/// A question with what it is about.
struct Asked<'a> {
    question: Question,
    model: &'a ServedModel,
    photo: Arc<HeldPhoto>,
    job: OnePhotoJob,
    key: Key,
}

impl Server {
    /// Explains the sample by the default settings, so that the first photo of the page is explained at once.
    ///
    /// # Errors
    /// When the device fails.
    pub fn warm_up(&self) -> Result<()> {
        let photo = self.photos.add(SAMPLE.0, SAMPLE.1, &self.models)?;
        for model in 0..self.models.len() {
            let question = json!({
                "photo": photo.id.to_string(), "model": model,
                "method": "grad-cam", "tap": "own", "class": "predicted", "score": "logit", "smooth": "none",
            });
            let question = serde_json::from_value(question).expect("the fields are its own");
            let Ok(asked) = self.asked(question, photo.clone()) else { continue };
            if let Some(failed) = self.computed_while(&asked, |_| true) {
                failed?;
            }
        }
        Ok(())
    }

    fn model(&self, at: usize) -> Result<&ServedModel> {
        let models = self.models.len();
        self.models.get(at).ok_or_else(|| Error::usage(format!("model {at} of {models}, from 0")))
    }

    fn asked(&self, question: Question, photo: Arc<HeldPhoto>) -> Result<Asked<'_>> {
        let model = self.model(question.model)?;
        let key = Key { photo: photo.id, model: question.model, settings: question.key(model)? };
        Ok(Asked { job: question.job(model)?, question, model, photo, key })
    }

    /// The question in the body of a request.
    fn question(&self, body: &[u8]) -> Result<Asked<'_>, Whole> {
        let question: Question = serde_json::from_slice(body)
            .map_err(|e| Whole::error(400, &format!("not a question: {}", printable(&e.to_string()))))?;
        let Some(photo) = self.photos.find(&question.photo) else {
            return Err(Whole::error(410, "the photo is no longer held: add it again"));
        };
        self.asked(question, photo).map_err(|e| refused(&e))
    }

    /// Explains a photo, and sends progress until that is done.
    fn explain(&self, body: &[u8]) -> Response<'_> {
        let ready = self.question(body).and_then(|asked| Ok((self.place(&asked)?, asked)));
        let (place, asked) = match ready {
            Ok(ready) => ready,
            Err(refused) => return Response::Whole(refused),
        };
        Response::Lines(Box::new(move |lines| {
            let _place = place;
            let found = self.computed_while(&asked, |(done, all)| {
                lines.client().is_waiting() && lines.send(&json!({ "progress": [done, all] })).is_ok()
            });
            let ready = match found {
                None => return Ok(()),
                Some(found) => found.and_then(|computed| Ok((computed, asked.prepared()?))),
            };
            match ready {
                Err(e) => lines.send(&json!({ "error": e.to_string() })),
                Ok((computed, prepared)) => {
                    let explained = asked.explained(&computed, prepared);
                    let (maps, labels) = (explained.quantized(), &asked.model.loaded.model.labels);
                    let view = View::new(explained, labels, (prepared, maps.as_ref()), &computed);
                    lines.send(&json!({ "result": view }))
                }
            }
        }))
    }

    /// The place of a question among those that are computed or wait for it; what is known needs none.
    fn place(&self, asked: &Asked) -> Result<Option<Taken<'static>>, Whole> {
        if self.computing.known(&asked.key).is_some() {
            return Ok(None);
        }
        match QUESTIONS.take() {
            Some(place) => Ok(Some(place)),
            None => Err(Whole::error(503, "too many explanations are under way")),
        }
    }

    /// The explanations; `None` if the client no longer waits, by `is_waiting`, which is told the runs that were made and
    /// all runs.
    fn computed_while(
        &self,
        asked: &Asked,
        mut is_waiting: impl FnMut((usize, usize)) -> bool,
    ) -> Option<Result<Arc<Computed>>> {
        if let Some(known) = self.computing.known(&asked.key) {
            return Some(Ok(known));
        }
        let (task, mut start) = (Task::default(), None);
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            let task = &task;
            let compute = move || {
                let Asked { key, model, job, photo, .. } = asked;
                let found =
                    panic::catch(|| self.computing.explain(key.clone(), model, &job.request, photo, task));
                let _ = sender.send(found.unwrap_or_else(|text| Err(internal(&text))));
            };
            let thread = std::thread::Builder::new().name("explain".into());
            if let Err(e) = thread.spawn_scoped(scope, compute) {
                return Some(Err(Error::device(format!("cannot start a thread: {e}"))));
            }
            // Meanwhile.
            let _ = asked.prepared().map(PreparedPhoto::shown);
            let mut is_late = false;
            loop {
                match receiver.recv_timeout(BETWEEN_LINES) {
                    Ok(_) if is_late => {
                        let seconds = LONGEST.as_secs();
                        let text = format!("stopped after {seconds} s, the longest that is allowed");
                        return Some(Err(Error::usage(text)));
                    }
                    Ok(found) => return Some(found),
                    Err(RecvTimeoutError::Disconnected) => {
                        return Some(Err(internal("the computation ended without a result")));
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                }
                if !is_waiting(task.runs()) {
                    task.cancel();
                    return None;
                }
                // The time for which it waits for the device is not its own.
                if task.is_computing()
                    && start.get_or_insert_with(Instant::now).elapsed() > LONGEST
                    && !is_late
                {
                    is_late = true;
                    task.cancel();
                }
            }
        })
    }

    /// The explanations for an answer that has no lines.
    fn computed_for(&self, asked: &Asked, client: &Client) -> Result<Arc<Computed>, Whole> {
        let _place = self.place(asked)?;
        let found = self.computed_while(asked, |_| client.is_waiting());
        found.unwrap_or_else(|| Err(Error::usage("cancelled"))).map_err(|e| refused(&e))
    }

    /// Contours, boxes and the command.
    fn drawing(&self, body: &[u8], client: &Client) -> Result<Whole, Whole> {
        let asked = self.question(body)?;
        let computed = self.computed_for(&asked, client)?;
        let Asked { question, model, photo, .. } = &asked;
        let command = question.command(model, &photo.name).map_err(|e| refused(&e))?;
        let explained = asked.explained(&computed, asked.prepared().map_err(|e| refused(&e))?);
        Ok(Whole::json(&Drawing::new(explained, command)))
    }

    /// A file that `explain` would write.
    fn download(&self, body: &[u8], client: &Client) -> Result<Whole, Whole> {
        let asked = self.question(body)?;
        let exits = &asked.job.request.exits;
        let file = match (asked.question.kind.as_deref(), asked.question.exit) {
            (Some("strip"), _) => PhotoFile::Strip,
            (Some("arrays"), _) => PhotoFile::Arrays,
            (Some("picture"), Some(exit)) => match exits.iter().position(|&known| known == exit) {
                Some(at) => PhotoFile::Picture(at),
                None => {
                    return Err(Whole::error(
                        400,
                        &format!("exit {exit}: the network has {} exits", exits.len()),
                    ));
                }
            },
            _ => return Err(Whole::error(400, "kind: expected strip, arrays, or picture and an exit")),
        };
        let computed = self.computed_for(&asked, client)?;
        let explained = asked.explained(&computed, asked.prepared().map_err(|e| refused(&e))?);
        let (name, body) = explained.file(file);
        let kind = if file == PhotoFile::Arrays { "application/zip" } else { "image/png" };
        let headers = vec![("Content-Disposition", disposition(&name))];
        Ok(Whole { status: 200, kind, body, headers })
    }

    fn add(&self, name: &str, bytes: &[u8]) -> Whole {
        let Some(_place) = UPLOADS.take() else { return Whole::error(503, "too many photos are being read") };
        match self.photos.add(name, bytes, &self.models) {
            Err(e) => refused(&e),
            Ok(photo) => Whole::json(&photo.facts()),
        }
    }
}

impl Asked<'_> {
    /// The photo as the model sees it.
    fn prepared(&self) -> Result<&PreparedPhoto> {
        self.photo.of(self.question.model)
    }

    /// What was computed, as the job's files show it.
    fn explained<'a>(&'a self, computed: &'a Computed, prepared: &'a PreparedPhoto) -> ExplainedPhoto<'a> {
        let (job, name) = (&self.job, self.photo.name.as_str());
        ExplainedPhoto { job, name, photo: &prepared.photo, explanations: &computed.explanations }
    }
}

impl Service for Server {
    fn admit(&self, head: &Head) -> Result<usize, Whole> {
        let most = match (head.verb, head.path.as_str()) {
            (Verb::Get, path) if page::PATHS.contains(&path) => {
                self.access.check_host(head)?;
                return Ok(0);
            }
            (Verb::Get, "/api/models") | (Verb::Post, "/api/sample") => 0,
            (Verb::Post, "/api/photos") => LARGEST_FILE,
            (Verb::Post, "/api/explain" | "/api/drawing" | "/api/download") => LONGEST_QUESTION,
            _ => {
                self.access.check_host(head)?;
                return Err(Whole::error(404, "there is nothing at this address"));
            }
        };
        self.access.check(head)?;
        Ok(most)
    }

    fn answer<'a>(&'a self, head: &Head, body: Vec<u8>, client: &Client) -> Response<'a> {
        let whole = |found: Result<Whole, Whole>| Response::Whole(found.unwrap_or_else(|refused| refused));
        match head.path.as_str() {
            "/api/models" => Response::Whole(Whole::json(&choices(&self.models, LARGEST_FILE))),
            "/api/sample" => Response::Whole(self.add(SAMPLE.0, SAMPLE.1)),
            "/api/photos" => Response::Whole(self.add(&head.value("name").unwrap_or_default(), &body)),
            "/api/explain" => self.explain(&body),
            "/api/drawing" => whole(self.drawing(&body, client)),
            "/api/download" => whole(self.download(&body, client)),
            path => whole(match page::file(path) {
                Some((kind, text)) => {
                    Ok(Whole { status: 200, kind, body: text.into_bytes(), headers: Vec::new() })
                }
                None => Err(Whole::error(404, "there is nothing at this address")),
            }),
        }
    }

    fn headers(&self) -> &[(&'static str, &'static str)] {
        HEADERS
    }
}

/// The answer to a request that an error ends.
fn refused(error: &Error) -> Whole {
    let status = match error {
        Error::Device { .. } => 500,
        _ => 400,
    };
    Whole::error(status, &error.to_string())
}

/// The header that makes an answer a file called `name` (RFC 6266).
pub fn disposition(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_graphic() && !"\"\\%".contains(c) { c } else { '_' }).collect();
    let encoded = percent_encoded(name, |b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_leave_its_header() {
        assert_eq!(
            disposition("a\r\nSet-Cookie: x\"\u{e4}.png"),
            "attachment; filename=\"a__Set-Cookie:_x__.png\"; \
             filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x%22%C3%A4.png"
        );
    }
}
