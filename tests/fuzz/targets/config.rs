//! A file or an environment is a configuration or one line on why it is none.
#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use signet::config::Sources;

fuzz_target!(|text: &str| {
    let file = Sources { file: Some((PathBuf::from("signet.toml"), text.to_owned())), ..Sources::default() };
    let variable = text.split_once('=').map(|(name, value)| (format!("SIGNET_{name}"), value.to_owned()));
    // `…_FILE` would read whatever file the fuzzer can name.
    let variable = variable.filter(|(name, _)| !name.to_ascii_lowercase().ends_with("_file"));
    let environment = Sources { environment: variable.into_iter().collect(), ..Sources::default() };
    for sources in [file, environment] {
        match sources.config() {
            Ok(config) => drop((config.findings(), config.warnings())),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
