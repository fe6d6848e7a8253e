//! Text with `${variables}` in it, which are written as its encoding demands.

use std::collections::HashMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What the variables of one client stand for.
pub type Values = HashMap<String, String>;

/// How a variable is written where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Within a JSON string.
    Json,
    /// Within a form's or a query's value.
    Form,
}

/// What a form keeps as it is (WHATWG URL, application/x-www-form-urlencoded).
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// A text, cut where its variables stand.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
    encoding: Encoding,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Variable(String),
}

impl Template {
    /// Cuts `text`; what stands between the variables stays as it is.
    ///
    /// # Errors
    /// If a `${` has no end.
    pub fn parse(text: &str, encoding: Encoding) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| format!("`{text}` has a ${{ without a }}"))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Variable(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts, encoding })
    }

    /// A form of these fields.
    ///
    /// # Errors
    /// If a `${` has no end.
    pub fn form<'a>(fields: impl Iterator<Item = (&'a String, &'a String)>) -> Result<Self, String> {
        let mut parts = Vec::new();
        for (name, value) in fields {
            let separator = if parts.is_empty() { "" } else { "&" };
            parts.push(Part::Text(format!("{separator}{}=", utf8_percent_encode(name, FORM))));
            parts.extend(Self::parse(value, Encoding::Form)?.parts.into_iter().map(|part| match part {
                Part::Text(text) => Part::Text(utf8_percent_encode(&text, FORM).to_string()),
                variable @ Part::Variable(_) => variable,
            }));
        }
        Ok(Self { parts, encoding: Encoding::Form })
    }

    /// The variables that it names.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Writes the text with its variables filled in.
    ///
    /// # Errors
    /// The name of the variable that has no value.
    pub fn write(&self, values: &Values, to: &mut Vec<u8>) -> Result<(), String> {
        for part in &self.parts {
            match part {
                Part::Text(text) => to.extend_from_slice(text.as_bytes()),
                Part::Variable(name) => {
                    let value = values.get(name).ok_or_else(|| name.clone())?;
                    self.encoding.write(value, to);
                }
            }
        }
        Ok(())
    }
}

impl Encoding {
    fn write(self, value: &str, to: &mut Vec<u8>) {
        match self {
            Self::Plain => to.extend_from_slice(value.as_bytes()),
            Self::Form => utf8_percent_encode(value, FORM).for_each(|piece| to.extend_from_slice(piece.as_bytes())),
            Self::Json => {
                let quoted = serde_json::to_string(value).expect("a string is JSON");
                to.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(template: &Template, values: &[(&str, &str)]) -> String {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut text = Vec::new();
        template.write(&values, &mut text).expect("every variable has a value");
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn a_variable_is_written_as_its_place_demands() {
        let awkward = "a b&c\"d%";
        for (encoding, expected) in [
            (Encoding::Plain, "<a b&c\"d%>"),
            (Encoding::Json, "<a b&c\\\"d%>"),
            (Encoding::Form, "<a%20b%26c%22d%25>"),
        ] {
            let template = Template::parse("<${x}>", encoding).expect("well formed");
            assert_eq!(written(&template, &[("x", awkward)]), expected);
        }
    }

    #[test]
    fn a_form_encodes_names_and_values_and_what_variables_stand_for() {
        let fields = [("grant_type".to_owned(), "a:b".to_owned()), ("x y".to_owned(), "${t}=".to_owned())];
        let form = Template::form(fields.iter().map(|(name, value)| (name, value))).expect("well formed");
        assert_eq!(written(&form, &[("t", "1&2")]), "grant_type=a%3Ab&x%20y=1%262%3D");
    }

    #[test]
    fn what_is_missing_is_named() {
        let template = Template::parse("${a}${b}", Encoding::Plain).expect("well formed");
        assert_eq!(template.write(&Values::from([("a".to_owned(), String::new())]), &mut Vec::new()), Err("b".into()));
        assert!(Template::parse("${a", Encoding::Plain).is_err());
    }
}
