//! What somebody types as the second factor: the code of an app, or a recovery code.

use zeroize::Zeroizing;

use super::recovery::RecoveryCode;
use super::totp::TotpCode;
use crate::field::{FromField, Invalid};

/// A code as a field: any string is taken here, so that whatever is none is answered, and costs, like a wrong one.
#[derive(Debug, Clone)]
pub enum Code {
    /// Of an authenticator app.
    Totp(TotpCode),
    /// From the list.
    Recovery(RecoveryCode),
    /// Neither.
    None,
}

impl Code {
    fn parse(text: &str) -> Self {
        // As apps and paper show them: in groups.
        let plain: Zeroizing<String> =
            Zeroizing::new(text.chars().filter(|c| *c != '-' && !c.is_whitespace()).take(64).collect());
        TotpCode::parse(&plain)
            .map(Self::Totp)
            .or_else(|| RecoveryCode::parse(&plain).map(Self::Recovery))
            .unwrap_or(Self::None)
    }
}

impl FromField for Code {
    fn from_text(text: String) -> Result<Self, Invalid> {
        Ok(Self::parse(&Zeroizing::new(text)))
    }
    fn schema() -> schemars::Schema {
        schemars::json_schema!({"type": "string"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_kind_is_read_in_any_grouping() {
        for text in ["123456", "123 456", " 123-456\n"] {
            assert!(matches!(Code::parse(text), Code::Totp(_)), "{text}");
        }
        for text in ["abcd-efgh-ijkl-mnop", "ABCD EFGH IJKL MNOP", "abcdefghijklmnop"] {
            assert!(matches!(Code::parse(text), Code::Recovery(_)), "{text}");
        }
        for text in ["", "12345", "1234567", "password", "abcd-efgh-ijkl-mnop-q", &"2".repeat(100_000)] {
            assert!(matches!(Code::parse(text), Code::None));
        }
    }
}
