//! Who may use the server: the page that it served itself, opened by the address that it printed.
//!
//! Another site's page can send requests to the loopback address, under a name of its own that it points there (DNS
//! rebinding) or from its own origin. The first is refused by `Host`, the second by `Origin` and `Sec-Fetch-Site`, and
//! both lack the token. The token also keeps out other users of the machine.

use super::http::{Head, Whole};
use crate::{Error, Result};

/// The header in which the page sends the token.
const TOKEN: &str = "x-msdcam-token";

/// What a request has to show.
#[derive(Debug)]
pub struct Access {
    token: String,
    /// The server's names as `Host` headers have them.
    hosts: Vec<String>,
}

impl Access {
    /// Access to the server at `port`, with a new token.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(port: u16) -> Result<Access> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|e| Error::device(format!("no random numbers for a token: {e}")))?;
        let token = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let names = ["127.0.0.1", "localhost"];
        let mut hosts: Vec<String> = names.iter().map(|name| format!("{name}:{port}")).collect();
        if port == 80 {
            // Browsers leave out the usual port.
            hosts.extend(names.map(String::from));
        }
        Ok(Access { token, hosts })
    }

    /// The address of the page. The token is in the fragment, which browsers send to nobody.
    pub fn address(&self) -> String {
        format!("http://{}/#{}", self.hosts[0], self.token)
    }

    /// Checks a request for a file of the page, which holds no secrets.
    ///
    /// # Errors
    /// The answer to a request for another host.
    pub fn check_host(&self, head: &Head) -> Result<(), Whole> {
        let host = head.header("host").unwrap_or_default();
        if self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        Err(Whole::error(421, &format!("this server is {}", self.hosts[0])))
    }

    /// Checks any other request.
    ///
    /// # Errors
    /// The answer to a request that is not the page's own.
    pub fn check(&self, head: &Head) -> Result<(), Whole> {
        self.check_host(head)?;
        let own_origin = |origin: &str| {
            let host = origin.strip_prefix("http://").unwrap_or_default();
            self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
        };
        let foreign = [
            head.has("origin") && !head.header("origin").is_some_and(own_origin),
            head.has("sec-fetch-site") && head.header("sec-fetch-site") != Some("same-origin"),
        ];
        if foreign.contains(&true) {
            return Err(Whole::error(403, "only the page of this server may use it"));
        }
        if !is_equal(head.header(TOKEN).unwrap_or_default(), &self.token) {
            return Err(Whole::error(
                403,
                "the token is missing or wrong: open the address that msdcam serve printed",
            ));
        }
        Ok(())
    }
}

/// Whether the texts are equal, in a time that does not depend on where they differ.
fn is_equal(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_equal_or_not() {
        assert!(is_equal("", "") && is_equal("0af3", "0af3"));
        assert!(!is_equal("0af3", "0af") && !is_equal("0af3", "0af4") && !is_equal("", "0"));
    }

    #[test]
    fn every_server_has_a_token_of_its_own() {
        let [a, b] = [(); 2].map(|()| Access::new(80).unwrap().address());
        assert!(a != b && a.starts_with("http://127.0.0.1:80/#") && a.len() == 21 + 32, "{a}");
    }
}
