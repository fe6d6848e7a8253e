//! How a log line is written: one flat JSON object for machines, readable words for people; either way one line whatever
//! its fields contain. The names of the fields are promised in `docs/operations.md`.
//!
//! The subscriber's own JSON nests a request's fields and parses them again for every line; and neither of its formats
//! escapes all that may break a line or command a terminal.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// A line as JSON: time, level and target, then the event's own fields, then those of the request that it belongs to.
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // A record of the `log` crate says in its fields where it comes from.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\",\"target\":", metadata.level())?;
        write_json_text(&mut writer, format_args!("{}", metadata.target()))?;
        record(&mut writer, |fields| event.record(fields))?;
        for span in ctx.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                writer.write_str(fields)?;
            }
        }
        writer.write_str("}\n")
    }
}

/// Fields as members of an object, each with a comma before it.
pub(super) struct JsonFields;

impl<'writer> FormatFields<'writer> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        record(&mut writer, |visitor| fields.record(visitor))
    }
}

fn record(writer: &mut Writer<'_>, visit: impl FnOnce(&mut Members<'_, '_>)) -> fmt::Result {
    let mut members = Members { writer, outcome: Ok(()) };
    visit(&mut members);
    members.outcome
}

/// What a field is called in a line. Fields with a dot in their name are a trace's, or say where a record of the `log`
/// crate was made, which its target says too; of a request's, some are worth a line's while.
fn name_in_log(field: &Field) -> Option<&'static str> {
    match field.name() {
        "signet.request_id" => Some("request_id"),
        "signet.trace_id" => Some("trace_id"),
        "http.request.method" => Some("method"),
        "http.route" => Some("route"),
        name if name.contains('.') => None,
        name => Some(name),
    }
}

struct Members<'a, 'w> {
    writer: &'a mut Writer<'w>,
    outcome: fmt::Result,
}

impl Members<'_, '_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if let (Ok(()), Some(name)) = (self.outcome, name_in_log(field)) {
            self.outcome = write!(self.writer, ",\"{name}\":").and_then(|()| value(self.writer));
        }
    }
}

impl Visit for Members<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, |writer| write_json_text(writer, format_args!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, |writer| write_json_text(writer, format_args!("{value}")));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, |writer| write!(writer, "{value}"));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, |writer| write!(writer, "{value}"));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |writer| write!(writer, "{value}"));
    }
}

fn write_json_text(writer: &mut Writer<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    writer.write_char('"')?;
    Escaped { writer, quoted: true }.write_fmt(text)?;
    writer.write_char('"')
}

/// Fields for people: `message name=value`.
pub(super) struct PlainFields;

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut words = Words { writer: &mut writer, first: true, outcome: Ok(()) };
        fields.record(&mut words);
        words.outcome
    }
}

struct Words<'a, 'w> {
    writer: &'a mut Writer<'w>,
    first: bool,
    outcome: fmt::Result,
}

impl Visit for Words<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let (Ok(()), Some(name)) = (self.outcome, name_in_log(field)) else { return };
        let space = if std::mem::take(&mut self.first) { "" } else { " " };
        let mut writer = Escaped { writer: self.writer, quoted: false };
        self.outcome = match name {
            "message" => write!(writer, "{space}{value:?}"),
            name => write!(writer, "{space}{name}={value:?}"),
        };
    }
}

/// Passes text on without a character that breaks a line, commands a terminal or, inside quotes, ends them.
struct Escaped<'a, 'w> {
    writer: &'a mut Writer<'w>,
    quoted: bool,
}

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let quoted = self.quoted;
        let mut rest = text;
        while let Some(at) =
            rest.find(|c: char| c.is_control() || is_line_break(c) || quoted && matches!(c, '"' | '\\'))
        {
            let (plain, tail) = rest.split_at(at);
            let special = tail.chars().next().expect("found there");
            self.writer.write_str(plain)?;
            match special {
                '"' | '\\' => write!(self.writer, "\\{special}"),
                '\n' => self.writer.write_str("\\n"),
                '\t' => self.writer.write_str("\\t"),
                // All of them lie in the first plane, so four digits do.
                _ => write!(self.writer, "\\u{:04x}", u32::from(special)),
            }?;
            rest = &tail[special.len_utf8()..];
        }
        self.writer.write_str(rest)
    }
}

/// What some programs take for the end of a line, beside the control characters.
fn is_line_break(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Layer, fmt as lines};

    use super::*;

    const HOSTILE: &str = "a\"b\\c\nd\r\u{1b}[31me\u{9b}f\u{85}g\u{2028}h\u{7f}é\0";

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody panics here").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written<L>(layer: impl FnOnce(Written) -> L, work: impl FnOnce()) -> String
    where
        L: Layer<tracing_subscriber::Registry> + Send + Sync,
    {
        let buffer = Written::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer(buffer.clone())), work);
        String::from_utf8(buffer.0.lock().expect("nobody panics here").clone()).expect("UTF-8")
    }

    fn hostile_event() {
        let span = tracing::info_span!(
            "request",
            signet.request_id = HOSTILE,
            otel.kind = "server",
            late = tracing::field::Empty
        );
        span.record("late", 7);
        span.in_scope(|| tracing::warn!(text = HOSTILE, shown = %HOSTILE, count = -1, is = true, "said {HOSTILE}"));
    }

    #[test]
    fn a_json_line_is_one_flat_object_whatever_it_says() {
        let writer =
            |to: Written| lines::layer().with_writer(move || to.clone()).event_format(JsonLine).fmt_fields(JsonFields);
        let text = written(writer, hostile_event);
        assert!(text.ends_with("}\n") && !text.trim_end_matches('\n').contains(char::is_control), "{text:?}");
        let mut line: Value = serde_json::from_str(&text).expect("JSON");
        assert!(line["timestamp"].take().as_str().is_some_and(|time| time.ends_with('Z')));
        let expected = json!({
            "timestamp": null, "level": "WARN", "target": "signet::telemetry::line::tests",
            "message": format!("said {HOSTILE}"), "text": HOSTILE, "shown": HOSTILE, "count": -1, "is": true,
            "request_id": HOSTILE, "late": 7,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_line_for_people_is_one_line_whatever_it_says() {
        let writer =
            |to: Written| lines::layer().with_writer(move || to.clone()).with_ansi(false).fmt_fields(PlainFields);
        let text = written(writer, hostile_event);
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(!text.trim_end_matches('\n').contains(|c: char| c.is_control() || c == '\u{2028}'), "{text:?}");
        assert!(text.contains(r#"late=7"#) && text.contains(r"said a"), "{text:?}");
    }
}
