//! Bodies: read within bounds of size and time, as one media type, into types that cannot be wrong afterwards.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::BytesMut;
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::error::{Error, FieldError, Result};
use crate::field::{FromField, Invalid};
use crate::patience::within;

/// No legitimate body is larger.
pub const MAX_BODY_BYTES: usize = 16 * 1024;
/// A body arrives in this time or not at all.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A body in JSON.
pub struct Json<T>(pub T);

/// A body in JSON, or none.
pub struct MaybeJson<T>(pub Option<T>);

/// A request body that is made of fields. `request_body!` implements it.
pub trait FromFields: Sized {
    /// Takes its fields out of `fields`; what is left over is unknown.
    ///
    /// # Errors
    /// All that is wrong, at once.
    fn from_fields(fields: &mut Fields) -> Result<Self>;

    /// What the API description says.
    fn schema() -> schemars::Schema;
}

/// Declares a request body: a struct, how it is parsed from fields, and its schema, from one text.
macro_rules! request_body {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident { $($(#[doc = $field_doc:literal])* $field:ident: $type:ty,)* }
    ) => {
        $(#[doc = $doc])*
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: $type,)*
        }

        impl $crate::http::body::FromFields for $name {
            fn from_fields(fields: &mut $crate::http::body::Fields) -> $crate::error::Result<Self> {
                $(let $field = fields.take::<$type>(stringify!($field));)*
                fields.finish()?;
                const TAKEN: &str = "a field that could not be taken is an error that finish() returns";
                Ok(Self { $($field: $field.expect(TAKEN),)* })
            }

            fn schema() -> schemars::Schema {
                let mut required: Vec<&str> = Vec::new();
                let mut properties = serde_json::Map::new();
                $(
                    if !<$type as $crate::field::FromField>::OPTIONAL {
                        required.push(stringify!($field));
                    }
                    let mut schema = <$type as $crate::field::FromField>::schema();
                    let description = concat!($($field_doc),*).trim();
                    schema.insert("description".to_owned(), description.into());
                    properties.insert(stringify!($field).to_owned(), schema.to_value());
                )*
                schemars::json_schema!({
                    "type": "object",
                    "description": concat!($($doc),*).trim(),
                    "additionalProperties": false,
                    "required": required,
                    "properties": properties,
                })
            }
        }
    };
}
pub(crate) use request_body;

/// The fields of a body, and what has been found wrong with them.
pub struct Fields {
    values: BTreeMap<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Parses one field; `None` if it is wrong, which [`Fields::finish`] will report.
    pub fn take<T: FromField>(&mut self, name: &'static str) -> Option<T> {
        T::from_field(self.values.remove(name)).map_err(|invalid| self.refuse(name.to_owned(), invalid)).ok()
    }

    fn refuse(&mut self, field: String, Invalid { code, detail }: Invalid) {
        self.errors.push(FieldError { field, code, detail });
    }

    /// Ends the parsing: fields that nobody took are unknown.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] with everything that was wrong.
    pub fn finish(&mut self) -> Result<()> {
        for name in std::mem::take(&mut self.values).into_keys() {
            // The name is the caller's own; a long one is not sent back.
            let name = name.chars().filter(|c| !c.is_control()).take(64).collect();
            self.refuse(name, Invalid::new("unknown", "there is no such field"));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Error::InvalidFields(std::mem::take(&mut self.errors))) }
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] if it is none, or has a name twice at any depth.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let StrictObject(values) = serde_json::from_slice(json).map_err(|error| {
            let detail = if error.to_string().starts_with(DUPLICATE) {
                "the body has a field twice"
            } else {
                "the body is not a JSON object"
            };
            Error::InvalidRequest(Cow::Borrowed(detail))
        })?;
        Ok(Self { values, errors: Vec::new() })
    }
}

impl Fields {
    /// Reads a query string.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] if a name comes twice.
    pub(super) fn of_query(query: &str) -> Result<Self> {
        let mut fields = Self { values: BTreeMap::new(), errors: Vec::new() };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if fields.values.insert(name.clone().into_owned(), Value::String(value.into_owned())).is_some() {
                let name = name.chars().filter(|c| !c.is_control()).take(64).collect();
                fields.refuse(name, Invalid::new("repeated", "this parameter comes twice"));
                return Err(Error::InvalidFields(fields.errors));
            }
        }
        Ok(fields)
    }
}

/// An object without a name that comes twice, at any depth: readers disagree on which one counts.
struct StrictObject(BTreeMap<String, Value>);

const DUPLICATE: &str = "duplicate name";

impl<'de> Deserialize<'de> for StrictObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = StrictObject;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StrictObject, A::Error> {
                strict_map(map).map(|map| StrictObject(map.into_iter().collect()))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn strict_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<serde_json::Map<String, Value>, A::Error> {
    let mut values = serde_json::Map::new();
    while let Some(name) = map.next_key::<String>()? {
        let value = map.next_value_seed(StrictValue)?;
        if values.insert(name, value).is_some() {
            return Err(de::Error::custom(DUPLICATE));
        }
    }
    Ok(values)
}

struct StrictValue;

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(StrictValue)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        strict_map(map).map(Value::Object)
    }
}

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

impl<T: FromFields + 'static> FromRequest for Json<T> {
    type Error = Error;
    type Future = Extracting<Self>;

    fn from_request(http: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (http, payload) = (http.clone(), payload.take());
        Box::pin(async move {
            expect_media_type(&http, &mime::APPLICATION_JSON)?;
            let body = read(&http, payload).await?;
            T::from_fields(&mut Fields::parse(&body)?).map(Json)
        })
    }
}

impl<T: FromFields + 'static> FromRequest for MaybeJson<T> {
    type Error = Error;
    type Future = Extracting<Self>;

    fn from_request(http: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (http, payload) = (http.clone(), payload.take());
        Box::pin(async move {
            let body = read(&http, payload).await?;
            if body.is_empty() {
                return Ok(Self(None));
            }
            expect_media_type(&http, &mime::APPLICATION_JSON)?;
            T::from_fields(&mut Fields::parse(&body)?).map(|body| Self(Some(body)))
        })
    }
}

/// Refuses a body of another media type, charset or encoding (RFC 9110 §15.5.16).
pub(super) fn expect_media_type(http: &HttpRequest, expected: &mime::Mime) -> Result<()> {
    let unsupported = || unsupported(expected);
    let one = |name| {
        let mut values = http.headers().get_all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(unsupported()),
        }
    };
    let content_type = one(header::CONTENT_TYPE)?.and_then(|value| value.to_str().ok()).ok_or_else(unsupported)?;
    let content_type: mime::Mime = content_type.parse().map_err(|_| unsupported())?;
    let is_utf_8 = content_type.get_param(mime::CHARSET).is_none_or(|charset| charset == mime::UTF_8);
    let is_plain = one(header::CONTENT_ENCODING)?.is_none_or(|encoding| encoding.as_bytes() == b"identity");
    if content_type.essence_str() == expected.essence_str() && is_utf_8 && is_plain {
        Ok(())
    } else {
        Err(unsupported())
    }
}

fn unsupported(expected: &mime::Mime) -> Error {
    Error::UnsupportedMediaType(if *expected == mime::APPLICATION_JSON {
        "application/json in UTF-8"
    } else {
        "application/x-www-form-urlencoded in UTF-8"
    })
}

/// What can be wrong with any body of a media type.
pub(super) fn refusals(expected: &mime::Mime) -> Vec<Error> {
    let malformed = Error::invalid_request("the body is malformed");
    let mut errors = vec![malformed, Error::RequestTimeout, Error::PayloadTooLarge, unsupported(expected)];
    if *expected == mime::APPLICATION_JSON {
        errors.push(Error::InvalidFields(Vec::new()));
    }
    errors
}

/// The bytes of a body, at most [`MAX_BODY_BYTES`] within [`BODY_TIMEOUT`].
pub(super) async fn read(http: &HttpRequest, mut payload: Payload) -> Result<BytesMut> {
    let announced = http.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > MAX_BODY_BYTES as u64) {
        return Err(Error::PayloadTooLarge);
    }
    let reading = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Error::invalid_request("the body ended too soon"))?;
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(Error::PayloadTooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    within(BODY_TIMEOUT, reading).await.ok_or(Error::RequestTimeout)?
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro declares what handlers take, which is public")]
mod tests {
    use super::*;
    use crate::field::Text;

    request_body! {
        /// A body for these tests.
        pub struct Sample {
            /// Required.
            name: Text,
            /// Optional.
            note: Option<Text>,
            /// A flag.
            flag: bool,
        }
    }

    fn parse(json: &str) -> Result<Sample> {
        Sample::from_fields(&mut Fields::parse(json.as_bytes())?)
    }

    fn field_errors(json: &str) -> Vec<(String, &'static str)> {
        match parse(json) {
            Err(Error::InvalidFields(errors)) => errors.into_iter().map(|error| (error.field, error.code)).collect(),
            Err(error) => panic!("{json}: {error:?}"),
            Ok(_) => panic!("{json} was accepted"),
        }
    }

    #[test]
    fn a_body_is_parsed_into_its_types() {
        let body = parse(r#"{"name": " Ada ", "flag": true, "note": null}"#).expect("valid");
        assert_eq!(body.name.into_string(), "Ada");
        assert!(body.flag && body.note.is_none());
    }

    #[test]
    fn everything_wrong_is_reported_at_once() {
        assert_eq!(
            field_errors(r#"{"name": 1, "flag": "yes", "role": "admin"}"#),
            [("name".to_owned(), "wrong_type"), ("flag".to_owned(), "wrong_type"), ("role".to_owned(), "unknown")]
        );
        assert_eq!(field_errors("{}"), [("name".to_owned(), "missing")]);
        assert_eq!(field_errors(r#"{"name": null}"#), [("name".to_owned(), "wrong_type")]);
    }

    #[test]
    fn what_is_no_object_or_says_a_thing_twice_is_malformed() {
        let nested = format!("{{\"name\":{}", "[".repeat(100_000));
        for json in ["", "[]", "null", "{", "{\"name\":\"a\"} x", "{\"name\":\"\\ud800\"}", "\u{feff}{}", &nested] {
            assert!(matches!(parse(json), Err(Error::InvalidRequest(_))), "{}", &json[..json.len().min(40)]);
        }
        for json in [r#"{"name":"a","name":"a"}"#, r#"{"name":{"x":1,"x":2}}"#] {
            match parse(json) {
                Err(Error::InvalidRequest(detail)) => assert_eq!(detail, "the body has a field twice"),
                _ => panic!("{json}"),
            }
        }
        assert!(matches!(Fields::parse(b"{\"name\":\"\xff\"}"), Err(Error::InvalidRequest(_))));
    }

    #[test]
    fn the_schema_says_what_the_parser_does() {
        let schema = Sample::schema().to_value();
        assert_eq!(schema["required"], serde_json::json!(["name"]));
        assert_eq!(schema["additionalProperties"], serde_json::json!(false));
        assert_eq!(schema["properties"]["flag"]["description"], "A flag.");
    }
}
