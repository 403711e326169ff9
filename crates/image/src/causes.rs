//! How errors are told to people.

use std::error::Error;

/// An error with its causes, each once: some say those of their own.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !said.ends_with(&next) {
            said = format!("{said}: {next}");
        }
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("not written: {0}")]
        Says(#[source] io::Error),
        #[error("not read")]
        Silent(#[source] io::Error),
    }

    #[test]
    fn causes_are_said_once() {
        let cause = || io::Error::other("no room");
        assert_eq!(causes(&Outer::Says(cause())), "not written: no room");
        assert_eq!(causes(&Outer::Silent(cause())), "not read: no room");
    }
}
