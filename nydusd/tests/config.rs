//! The configuration: flags over environment over file over defaults.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use support::nydusd;

/// `nydusd serve` with this file, these variables and arguments.
fn serve(file: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = nydusd(&["serve", "--config"]);
    command.arg(file).args(arguments).envs(variables.iter().copied());
    command.output().unwrap()
}

#[test]
fn each_source_lies_over_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nydusd.toml");
    let text = "cache_size = \"10GiB\"\nread_limit = 5\nprefetch = \"all\"\n\
                cache_dir = \"/here\"\n[log]\nformat = \"json\"\n";
    fs::write(&file, text).unwrap();
    let variables = [("MEGANEURA_CACHE_SIZE", "11GiB"), ("MEGANEURA_READ_LIMIT", "6")];
    let output = serve(&file, &variables, &["--read-limit", "7", "--print-config"]);
    assert!(output.status.success());
    let told: toml::Table = String::from_utf8(output.stdout).unwrap().parse().unwrap();
    assert_eq!(told["cache_dir"].as_str(), Some("/here"));
    assert_eq!(told["cache_size"].as_str(), Some("11GiB"));
    assert_eq!(told["read_limit"].as_integer(), Some(7));
    assert_eq!(told["dfdaemon_socket"].as_str(), Some("/run/meganeura/dfdaemon.sock"));
    assert_eq!(told["log"]["format"].as_str(), Some("json"));
    let checked = serve(&file, &[], &["--check-config"]);
    assert!(checked.status.success() && checked.stdout == b"the configuration is fine\n");
    // What other commands have is told by their help.
    let mut help = nydusd(&["mount", "--help"]);
    let help = help.env("MEGANEURA_CONFIG", &file).output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&help).contains("[default: all]"));
}

#[test]
fn a_file_that_is_wrong_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nydusd.toml");
    let said = |text: &str| {
        fs::write(&file, text).unwrap();
        let output = serve(&file, &[], &["--check-config"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let unknown = said("read_limit = 5\ncache = \"/x\"\n");
    assert!(unknown.contains("nydusd.toml") && unknown.contains("cache_dir"), "{unknown}");
    assert!(said("driver = \"vfs\"").contains("erofs"));
    fs::remove_file(&file).unwrap();
    assert_eq!(serve(&file, &[], &["--check-config"]).status.code(), Some(1));
    // A value that its option does not take is wrong usage, as on the command line.
    fs::write(&file, "read_limit = 0").unwrap();
    assert_eq!(serve(&file, &[], &["--check-config"]).status.code(), Some(2));
}
