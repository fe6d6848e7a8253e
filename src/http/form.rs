//! Bodies of the token endpoint: `application/x-www-form-urlencoded`, each parameter at most once (RFC 6749 §3.2).

use std::collections::BTreeMap;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use super::body;
use crate::error::{Error, Result};

/// The parameters of a form. Unknown ones are ignored, as RFC 6749 §3.2 demands; empty ones count as absent.
pub struct Form(BTreeMap<String, Zeroizing<String>>);

impl Form {
    /// Takes a parameter.
    pub fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        self.0.remove(name)
    }

    /// Takes a parameter that must be there.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with `missing`.
    pub fn require(&mut self, name: &str, missing: &'static str) -> Result<Zeroizing<String>> {
        self.take(name).ok_or(Error::invalid_request(missing))
    }

    /// Reads a form.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] if it is not UTF-8 or has a parameter twice.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let mut parameters = BTreeMap::new();
        for pair in text.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |b| *b == b'=');
            let name = decode(halves.next().unwrap_or_default())?;
            let value = decode(halves.next().unwrap_or_default())?;
            if parameters.insert(name.to_string(), value).is_some() {
                return Err(Error::invalid_request("the form has a parameter twice"));
            }
        }
        parameters.retain(|_, value| !value.is_empty());
        Ok(Self(parameters))
    }
}

fn decode(encoded: &[u8]) -> Result<Zeroizing<String>> {
    let spaced: Zeroizing<Vec<u8>> =
        Zeroizing::new(encoded.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect());
    let text = percent_decode(&spaced).decode_utf8().map_err(|_| Error::invalid_request("the form is not UTF-8"))?;
    Ok(Zeroizing::new(text.into_owned()))
}

impl FromRequest for Form {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self>>>>;

    fn from_request(http: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (http, payload) = (http.clone(), payload.take());
        Box::pin(async move {
            body::expect_media_type(&http, &mime::APPLICATION_WWW_FORM_URLENCODED)?;
            Self::parse(&Zeroizing::new(body::read(&http, payload).await?.to_vec()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_and_empty_parameters_are_absent() {
        let mut form = Form::parse(b"a=x+y%21&b=&c&&d=%C3%A9=").expect("a form");
        assert_eq!(form.take("a").as_deref().map(String::as_str), Some("x y!"));
        assert_eq!(form.take("d").as_deref().map(String::as_str), Some("é="));
        assert!(form.take("b").is_none() && form.take("c").is_none() && form.require("e", "e?").is_err());
    }

    #[test]
    fn a_parameter_twice_or_not_in_utf_8_is_malformed() {
        for text in [&b"a=1&a=1"[..], b"a=1&a=", b"a=%FF", b"%FF=1", b"a=\xff"] {
            assert!(Form::parse(text).is_err(), "{text:?}");
        }
    }
}
