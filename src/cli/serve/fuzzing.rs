//! What the fuzz target for requests calls: the way of a request up to the arguments of a command.

use std::sync::OnceLock;

use super::http;
use super::models::ServedModel;
use super::question::Question;
use super::routes::disposition;
use crate::Result;

/// What is found in a request.
#[derive(Debug, Default)]
pub struct FoundRequest {
    /// Of the answer, if the head is refused.
    pub status: Option<u16>,
    /// The header that names a file as the query does.
    pub file: Option<String>,
    /// The options that the question in the body becomes, if they make a job.
    pub options: Option<Vec<String>>,
}

/// Reads a request; `None` if its head is not complete.
pub fn request(bytes: &[u8]) -> Option<FoundRequest> {
    let (head, _, _, end) = match http::parse(bytes) {
        Ok(parsed) => parsed?,
        Err(refused) => {
            return Some(FoundRequest { status: Some(refused.status), ..FoundRequest::default() });
        }
    };
    let options =
        serde_json::from_slice::<Question>(&bytes[end..]).ok().and_then(|question| options(&question).ok());
    let file = head.value("name").map(|name| {
        let header = disposition(&name);
        header.replacen("filename=\"", "", 1).replacen("\"; filename*", "; filename*", 1)
    });
    Some(FoundRequest { status: None, file, options })
}

/// The options of a question about a photo of the built-in model.
fn options(question: &Question) -> Result<Vec<String>> {
    static MODEL: OnceLock<Result<ServedModel>> = OnceLock::new();
    let model = MODEL.get_or_init(ServedModel::built_in).as_ref().map_err(Clone::clone)?;
    question.job(model)?;
    question.options(model)
}
