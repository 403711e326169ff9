//! Options of a process, given to a command that finds one there: it keeps its own, and that is said.

use std::path::absolute;

use clap::ArgMatches;
use clap::parser::ValueSource;
use telemetry::units::ByteSize;

use crate::node::Supply;

/// Which of them the command line or the environment says. What a file says is meant for whoever
/// serves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    cache_size: bool,
    dfdaemon: bool,
    read_limit: bool,
}

impl Given {
    pub(super) fn by(matches: &ArgMatches) -> Self {
        let command = matches.subcommand().map(|(_, command)| command);
        let given = |id: &str| {
            let source = command.and_then(|command| command.value_source(id));
            matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
        };
        Self {
            cache_size: given("cache_size"),
            dfdaemon: given("dfdaemon"),
            read_limit: given("read_limit"),
        }
    }

    /// What is said of those that were given as `ours` and are otherwise in the process.
    pub(super) fn ignored(self, ours: &Supply, theirs: &Supply) -> Vec<String> {
        let size = |supply: &Supply| ByteSize::bytes(supply.quota).to_string();
        let socket = |supply: &Supply| {
            let whole = absolute(&supply.dfdaemon);
            whole.unwrap_or_else(|_| supply.dfdaemon.clone()).display().to_string()
        };
        let limit = |supply: &Supply| supply.read_limit.as_secs().to_string();
        [
            (self.cache_size, "--cache-size", size(ours), size(theirs)),
            (self.dfdaemon, "--dfdaemon", socket(ours), socket(theirs)),
            (self.read_limit, "--read-limit", limit(ours), limit(theirs)),
        ]
        .into_iter()
        .filter(|(given, _, ours, theirs)| *given && ours != theirs)
        .map(|(_, name, ours, theirs)| {
            format!("{name} {ours} is ignored: the process that serves this cache has {theirs}")
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_given_and_is_otherwise_is_said() {
        let ours =
            Supply { quota: 1 << 30, dfdaemon: "/a".into(), read_limit: Duration::from_secs(5) };
        let theirs = Supply { read_limit: Duration::from_secs(60), ..ours.clone() };
        let given = Given { cache_size: true, dfdaemon: true, read_limit: true };
        assert_eq!(given.ignored(&ours, &ours), Vec::<String>::new());
        let said = given.ignored(&ours, &theirs);
        assert!(said.len() == 1 && said[0].starts_with("--read-limit 5 is ignored"), "{said:?}");
        let given = Given { read_limit: false, ..given };
        assert_eq!(given.ignored(&ours, &theirs), Vec::<String>::new());
    }
}
