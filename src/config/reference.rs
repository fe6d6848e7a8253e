//! `docs/configuration.md`, and the short table in `README.md`: both made from the doc comments of [`Config`](super::Config)
//! and from its real defaults.

use serde_json::Value as Schema;

use super::sources::{keys, schema, variable_of};

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the doc comments in src/config.rs: SIGNET_TEST_UPDATE_DOCS=1 cargo test --lib -->

Every key has a default that is safe; `serve` demands only `issuer`. Values come from a file in TOML, and environment
variables override it:

```toml
# signet.toml, or the file that --config or SIGNET_CONFIG names
issuer = \"https://id.example.com\"

[session]
grace = \"30s\"
```

- `session.grace` is `SIGNET_SESSION__GRACE` in the environment: upper case, two underscores for the dot.
- Each variable has a variant with `_FILE` that names a file to read the value from, for mounted secrets:
  `SIGNET_DATABASE__URL_FILE=/run/secrets/database-url`. A line break at its end is not part of the value.
- Durations read `30s`, `15m`, `12h`, `7d`. A quota reads `20/1h`: twenty at once, and twenty more over each hour. Lists are comma-separated in the environment.
- A key that does not exist is an error, in the file as in the environment, and so is a value of the wrong form.
- `signet check` says what is wrong with a configuration, one line for each finding, without starting anything.
";

/// `docs/configuration.md`.
fn page() -> String {
    let schema = schema();
    let (tables, top_level): (Vec<_>, Vec<_>) =
        properties(schema).partition(|(_, property)| property.get("properties").is_some());
    let mut page = format!("{INTRODUCTION}\n## Top level\n\n{}", table(top_level.into_iter(), ""));
    for (name, section) in tables {
        let prefix = format!("{name}.");
        page += &format!("\n## `[{name}]`\n\n{}\n\n{}", description(section), table(properties(section), &prefix));
    }
    page
}

fn table<'a>(rows: impl Iterator<Item = (&'a String, &'a Schema)>, prefix: &str) -> String {
    let mut table = "| Key | Environment variable | Type | Default | Meaning |\n|---|---|---|---|---|\n".to_owned();
    for (name, schema) in rows {
        let key = format!("{prefix}{name}");
        let (variable, kind, default) = (variable_of(&key), kind(schema), default(schema));
        table += &format!("| `{key}` | `{variable}` | {kind} | {default} | {} |\n", description(schema));
    }
    table
}

/// The table in `README.md`: each key with its default and the first sentence about it.
fn short_table() -> String {
    let schema = schema();
    let mut table = "| Key | Default | |\n|---|---|---|\n".to_owned();
    for (key, schema) in keys(schema) {
        let meaning = description(schema);
        let sentence = meaning.split_once(". ").map_or(meaning.as_str(), |(first, _)| first);
        table += &format!("| `{key}` | {} | {} |\n", default(schema), sentence.trim_end_matches('.'));
    }
    table
}

fn properties(schema: &Schema) -> impl Iterator<Item = (&String, &Schema)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn description(schema: &Schema) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

fn kind(schema: &Schema) -> String {
    let values = values(schema);
    if !values.is_empty() {
        return values.join(", ");
    }
    let name = match &schema["type"] {
        Schema::Array(names) => &names[0],
        name => name,
    };
    match (name.as_str().unwrap_or_default(), schema["format"].as_str().unwrap_or_default()) {
        ("array", _) if values_of_items(schema).is_empty() => "list".to_owned(),
        ("array", _) => format!("list of {}", values_of_items(schema).join(", ")),
        ("string", "duration") => "duration".to_owned(),
        ("string", "password") => "secret".to_owned(),
        ("string", "quota") => "quota".to_owned(),
        ("string", _) => "text".to_owned(),
        ("boolean", _) => "`true`, `false`".to_owned(),
        (other, _) => other.to_owned(),
    }
}

/// The values of an enum, which schemars writes in one way if they have comments and in another if not.
fn values(schema: &Schema) -> Vec<String> {
    let plain = schema["enum"].as_array().into_iter().flatten();
    let commented = schema["oneOf"].as_array().into_iter().flatten().map(|one| &one["const"]);
    plain.chain(commented).filter_map(Schema::as_str).map(|value| format!("`{value}`")).collect()
}

fn values_of_items(schema: &Schema) -> Vec<String> {
    values(&schema["items"])
}

fn default(schema: &Schema) -> String {
    match &schema["default"] {
        Schema::Null => "unset".to_owned(),
        Schema::String(text) if text.is_empty() => "empty".to_owned(),
        Schema::Array(items) if items.is_empty() => "empty".to_owned(),
        Schema::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

#[test]
fn the_reference_is_current() {
    crate::generated::expect_file("docs/configuration.md", &page());
}

#[test]
fn the_table_in_the_readme_is_current() {
    crate::generated::expect_region("README.md", "configuration", &short_table());
}

#[test]
fn every_key_is_explained_and_has_a_default() {
    for (key, schema) in keys(schema()) {
        assert!(!description(schema).is_empty(), "{key} has no doc comment");
        assert!(schema.get("default").is_some(), "{key} has no default: its type does not implement Serialize");
    }
}
