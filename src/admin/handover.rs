//! How somebody gets what they need, in an answer.

use std::time::Duration;

use serde::Serialize;

use crate::account::hand_out::Delivery;
use crate::app::App;
use crate::mail::Link;

/// By mail, which nobody else sees; or, where no mail is sent, by whoever asked, who has it once and hands it over.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Handover {
    /// Whether it goes out by mail.
    by_mail: bool,
    /// The token, if it does not. Whoever has it is taken for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// The page with the token in it, if one is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// Whole seconds for which it works.
    expires_in: u64,
}

impl Handover {
    pub(super) fn new(app: &App, delivery: &Delivery, page: Link, ttl: Duration) -> Self {
        let expires_in = ttl.as_secs();
        match delivery {
            Delivery::Mail => Self { by_mail: true, token: None, link: None, expires_in },
            Delivery::Token(token) => {
                let text = token.to_text();
                let link = app.mail.links().to(page, &text).map(|link| link.as_str().to_owned());
                Self { by_mail: false, token: Some(text.as_str().to_owned()), link, expires_in }
            }
        }
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.token);
        zeroize::Zeroize::zeroize(&mut self.link);
    }
}
