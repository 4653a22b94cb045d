//! JSON embedded in an HTML page.

use serde::Serialize;

/// `value` as JSON that is safe inside a script element: nothing in it ends the element, starts a comment
/// or changes the text direction.
pub fn for_script(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("plain fields have a JSON form");
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // These characters occur only in strings, where an escape means the same character.
        let harmless = c.is_ascii() && !matches!(c, '<' | '>' | '&') || c.is_alphanumeric();
        if harmless {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out += &format!("\\u{unit:04x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_inside_its_string() {
        let hostile = "</script><!--<script>&\u{2028}\u{202e}\n\"\\\u{1f408}\u{e4}";
        let json = for_script(&hostile);
        assert!(!json.contains('<') && !json.contains('\u{202e}') && !json.contains('\u{2028}'), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
    }
}
