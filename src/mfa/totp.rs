//! Codes of authenticator apps (RFC 6238), pure: SHA-1, six digits, thirty seconds, since the apps know nothing else.
//!
//! A code is good for its own step and the one on either side. That a step is good once only is seen to where it is used.

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use totp_rs::{Algorithm, Builder, Secret, Totp};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::clock::Timestamp;
use crate::random;

/// As many bits as SHA-1 has (RFC 4226 §4).
const SECRET_BYTES: usize = 20;
const DIGITS: u8 = 6;
const STEP_SECONDS: u64 = 30;
/// Steps on either side of the present one whose codes are good: a clock may be wrong, and people are slow.
const DRIFT_STEPS: u16 = 1;

/// What an app and we both know. It is wiped when dropped and never prints itself.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct TotpSecret([u8; SECRET_BYTES]);

/// Six digits as somebody typed them. They are wiped when dropped and never print themselves.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct TotpCode(String);

impl TotpCode {
    /// Reads a code, of which nothing but its digits was typed.
    pub fn parse(digits: &str) -> Option<Self> {
        let is_code = digits.len() == usize::from(DIGITS) && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_code.then(|| Self(digits.to_owned()))
    }
}

impl TotpSecret {
    /// A new one.
    pub fn generate() -> Self {
        Self(random::bytes())
    }

    /// From what was sealed.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The step that a code belongs to, if it is good at `now`.
    pub fn step_of(&self, code: &TotpCode, now: Timestamp) -> Option<i64> {
        let seconds = u64::try_from(now.as_seconds()).ok()?;
        // Compared in constant time; which of the three steps it was, the caller knows anyway.
        let step = self.generator("", "").check(&code.0, seconds)?;
        i64::try_from(step).ok()
    }

    /// For whoever cannot scan: base32 without padding.
    pub fn to_base32(&self) -> Zeroizing<String> {
        Zeroizing::new(Secret::new_stack(self.0).to_base32())
    }

    /// What an app reads: `otpauth://totp/…` (the Key URI format of Google Authenticator).
    pub fn to_uri(&self, service: &str, account: &str) -> Zeroizing<String> {
        // The one character that neither may have.
        let (service, account) = (service.replace(':', " "), account.replace(':', " "));
        let uri = self.generator(&service, &account).to_url();
        Zeroizing::new(uri.expect("there is an account, and no name has a colon"))
    }

    fn generator(&self, service: &str, account: &str) -> Totp {
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(DIGITS)
            .with_skew(DRIFT_STEPS)
            .with_step_duration(STEP_SECONDS)
            .with_secret(Secret::new_stack(self.0))
            .with_issuer((!service.is_empty()).then_some(service))
            .with_account_name(account)
            .build()
            .expect("160 bits, six digits, thirty seconds")
    }
}

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl std::fmt::Debug for TotpCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(code)")
    }
}

/// A picture of the URI for a camera: SVG, which a page can show as it is.
pub fn qr_svg(uri: &str) -> Zeroizing<String> {
    // An address has at most 254 bytes, so a URI has a good thousand at most, and there is room for two.
    let code = QrCode::with_error_correction_level(uri, EcLevel::L).expect("a URI fits");
    let picture = code.render::<svg::Color<'_>>().min_dimensions(240, 240).build();
    // What comes before `<svg` is for files; in a page it would be an error.
    let start = picture.find("<svg").unwrap_or_default();
    Zeroizing::new(picture[start..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> TotpSecret {
        TotpSecret(*b"12345678901234567890")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000 + 999_999)
    }

    fn code(digits: &str) -> TotpCode {
        TotpCode::parse(digits).expect("six digits")
    }

    /// RFC 6238 appendix B, SHA-1, of which six digits are the last of its eight.
    #[test]
    fn the_vectors_of_the_rfc_are_accepted_in_their_step() {
        for (seconds, digits) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret().step_of(&code(digits), at(seconds)), Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn a_code_drifts_by_one_step_and_no_more() {
        let digits = code("081804");
        let step = 1_111_111_109 / 30;
        let accepted: Vec<bool> =
            (-3..=3).map(|away| secret().step_of(&digits, at((step + away) * 30)) == Some(step)).collect();
        assert_eq!(accepted, [false, false, true, true, true, false, false]);
        // To the second.
        assert_eq!(secret().step_of(&digits, at(step * 30 - 30)), Some(step));
        assert_eq!(secret().step_of(&digits, at(step * 30 - 31)), None);
        assert_eq!(secret().step_of(&digits, at(step * 30 + 59)), Some(step));
        assert_eq!(secret().step_of(&digits, at(step * 30 + 60)), None);
    }

    #[test]
    fn another_secret_and_another_code_are_refused() {
        assert_eq!(TotpSecret::generate().step_of(&code("081804"), at(1_111_111_109)), None);
        assert_eq!(secret().step_of(&code("081805"), at(1_111_111_109)), None);
        assert_eq!(secret().step_of(&code("081804"), at(-5)), None);
        for text in ["", "12345", "1234567", "12345a", "１２３４５６", " 12345", "12345-"] {
            assert_eq!(TotpCode::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_uri_says_who_and_where_and_nothing_prints_the_secret() {
        let uri = secret().to_uri("id.example.com", "ada+x@example.com");
        assert_eq!(
            *uri,
            "otpauth://totp/id.example.com:ada%2Bx%40example.com\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=id.example.com"
        );
        assert_eq!(*secret().to_base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(secret().to_uri("a:b", "\"x:y\"@example.com").starts_with("otpauth://totp/a%20b:%22x%20y%22%40"));
        assert_eq!(format!("{:?} {:?}", secret(), code("123456")), "(secret) (code)");
    }

    /// As a phone does: from the picture to the text.
    #[test]
    fn a_camera_reads_the_uri_from_the_picture() {
        for account in ["ada@example.com", &format!("{}@{}.example", "x".repeat(64), "y".repeat(180))] {
            let uri = secret().to_uri("id.example.com", account);
            let svg = qr_svg(&uri);
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{}", *svg);
            let (width, dark) = drawn(&svg);
            let mut picture =
                rqrr::PreparedImage::prepare_from_greyscale(
                    width,
                    width,
                    |x, y| {
                        if dark[y * width + x] { 0 } else { 255 }
                    },
                );
            let grids = picture.detect_grids();
            let (_, text) = grids.first().expect("a QR code").decode().expect("readable");
            assert_eq!(text, *uri);
        }
    }

    /// Draws the one path of the picture, of rectangles `MX YhWvHHXVY`.
    fn drawn(svg: &str) -> (usize, Vec<bool>) {
        let width: usize =
            svg.split_once("width=\"").expect("a width").1.split('"').next().expect("ends").parse().expect("a number");
        let mut dark = vec![false; width * width];
        let path = svg.rsplit_once(" d=\"").expect("a path").1.split('"').next().expect("ends");
        for rectangle in path.split('M').filter(|rectangle| !rectangle.is_empty()) {
            let numbers: Vec<usize> = rectangle
                .split(|c: char| !c.is_ascii_digit())
                .filter(|number| !number.is_empty())
                .map(|number| number.parse().expect("a number"))
                .collect();
            let [left, top, wide, high, ..] = numbers[..] else { panic!("{rectangle}") };
            for y in top..top + high {
                dark[y * width + left..y * width + left + wide].fill(true);
            }
        }
        (width, dark)
    }
}
