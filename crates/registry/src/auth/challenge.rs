//! `WWW-Authenticate`, read: what the registry wants to see before it answers.

use url::Url;

/// A challenge that we can meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token, from a realm.
    Bearer(Bearer),
    /// A user's name and password.
    Basic,
}

/// Where a token is to be had, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bearer {
    pub(crate) realm: Url,
    pub(crate) service: Option<String>,
    pub(crate) scopes: Vec<String>,
}

/// More scopes than this are nobody's honest wish.
const MOST_SCOPES: usize = 8;

impl Challenge {
    /// The best of the challenges in the header's lines: a bearer token before a password.
    pub(crate) fn best(lines: &[String]) -> Option<Self> {
        let all: Vec<_> = lines.iter().flat_map(|line| parse(line)).collect();
        let bearer = all.iter().find_map(Raw::bearer).map(Self::Bearer);
        let basic = || {
            let any = all.iter().any(|raw| raw.scheme == "basic");
            any.then_some(Self::Basic)
        };
        bearer.or_else(basic)
    }
}

/// A challenge as it stands in the header; names in lower case.
#[derive(Debug, Default)]
struct Raw {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Raw {
    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    fn bearer(&self) -> Option<Bearer> {
        if self.scheme != "bearer" {
            return None;
        }
        let scopes = self.parameter("scope").unwrap_or_default();
        Some(Bearer {
            realm: Url::parse(self.parameter("realm")?).ok()?,
            service: self.parameter("service").map(str::to_owned),
            scopes: scopes.split_ascii_whitespace().take(MOST_SCOPES).map(str::to_owned).collect(),
        })
    }
}

/// The challenges in one line: `scheme name=value, name="value", scheme …` (RFC 9110, 11.6.1). A
/// word that no `=` follows begins the next challenge.
fn parse(line: &str) -> Vec<Raw> {
    let mut challenges: Vec<Raw> = Vec::new();
    let mut rest = line;
    loop {
        // An equals sign here is the padding of a word that stood for itself (`Negotiate abc==`).
        rest = rest.trim_start_matches([' ', '\t', ',', '=']);
        let (word, after) = take_word(rest);
        if word.is_empty() {
            return challenges;
        }
        let name = word.to_ascii_lowercase();
        match (after.trim_start().strip_prefix('='), challenges.last_mut()) {
            (Some(value), Some(current)) => {
                let Some((value, after)) = take_value(value.trim_start()) else {
                    return challenges;
                };
                current.parameters.push((name, value));
                rest = after;
            }
            (None, _) => {
                challenges.push(Raw { scheme: name, parameters: Vec::new() });
                rest = after;
            }
            (Some(_), None) => return challenges,
        }
    }
}

fn take_word(text: &str) -> (&str, &str) {
    let end = text.find([' ', '\t', ',', '=', '"']);
    text.split_at(end.unwrap_or(text.len()))
}

/// A quoted string or a word, and what follows it.
fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = take_word(text);
        return Some((word.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(lines: &[&str]) -> Option<Challenge> {
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        Challenge::best(&lines)
    }

    fn bearer(realm: &str, service: Option<&str>, scopes: &[&str]) -> Option<Challenge> {
        Some(Challenge::Bearer(Bearer {
            realm: Url::parse(realm).unwrap(),
            service: service.map(str::to_owned),
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
        }))
    }

    #[test]
    fn what_registries_send() {
        assert_eq!(
            best(&[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#
            ]),
            bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                &["repository:a/b:pull"]
            )
        );
        assert_eq!(best(&[r#"Basic realm="x""#]), Some(Challenge::Basic));
        assert_eq!(best(&["bearer realm=https://a/t"]), bearer("https://a/t", None, &[]));
    }

    #[test]
    fn a_token_is_preferred_wherever_it_is_offered() {
        let wanted = bearer("https://a/t", None, &["x", "y"]);
        let offer = r#"Bearer realm="https://a/t", scope="x y""#;
        assert_eq!(best(&[r#"Basic realm="q, Bearer""#, offer]), wanted);
        let both = format!(r#"Negotiate abc==, Basic realm="x", {offer}"#);
        assert_eq!(best(&[&both]), wanted);
        assert_eq!(best(&[r#"Bearer error="x", realm="https:\/\/a/t", scope="x y""#]), wanted);
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for bad in [
            "",
            "=",
            "Bearer",
            "Bearer realm=\"https://a",
            "realm=\"x\"",
            "Digest a=b",
            "\"\"",
            "Bearer realm=\"\\",
        ] {
            assert_eq!(best(&[bad]), None, "{bad}");
        }
    }

    /// Whatever a registry writes, nothing of it is taken for a word that we send on.
    #[test]
    fn any_header_is_read_or_left_alone() {
        bolero::check!().with_type::<(Vec<String>, String, String)>().for_each(
            |(lines, name, value)| {
                let likely =
                    format!("Bearer realm=\"https://a.b/{name}\",{name}={value},scope=\"{value}\"");
                let mut lines = lines.clone();
                lines.push(likely);
                if let Some(Challenge::Bearer(bearer)) = Challenge::best(&lines) {
                    assert!(bearer.scopes.len() <= MOST_SCOPES);
                    assert!(bearer.scopes.iter().all(|scope| !scope.contains([' ', '\t'])));
                }
            },
        );
    }
}
