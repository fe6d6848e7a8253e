//! The text of the secrets that we make up (refresh tokens, API keys, one-time tokens, challenges): a prefix that says what it is, for
//! the eyes of people and of secret scanners, and base64url( body ‖ checksum (4) ).
//!
//! The checksum (CRC-32) refuses what was damaged on its way, and whatever a scanner tries, without a query. It proves nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

const CHECKSUM_BYTES: usize = 4;
/// As much as the longest body and its checksum take.
const MAX_BYTES: usize = 64;

/// Bytes of the text of a body of so many bytes.
pub const fn text_bytes(prefix: &str, body_bytes: usize) -> usize {
    assert!(body_bytes + CHECKSUM_BYTES <= MAX_BYTES);
    prefix.len() + ((body_bytes + CHECKSUM_BYTES) * 4).div_ceil(3)
}

/// The text of `parts`, one after the other.
pub fn write(prefix: &str, parts: &[&[u8]]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; MAX_BYTES]);
    let mut length = 0;
    for part in parts {
        bytes[length..length + part.len()].copy_from_slice(part);
        length += part.len();
    }
    let checksum = crc32fast::hash(&bytes[..length]);
    bytes[length..length + CHECKSUM_BYTES].copy_from_slice(&checksum.to_be_bytes());
    let mut text = Zeroizing::new(String::with_capacity(text_bytes(prefix, length)));
    text.push_str(prefix);
    URL_SAFE_NO_PAD.encode_string(&bytes[..length + CHECKSUM_BYTES], &mut text);
    text
}

/// The body of a text; `None` for whatever is not byte for byte what [`write`] wrote.
pub fn read<const BYTES: usize>(prefix: &str, text: &str) -> Option<Zeroizing<[u8; BYTES]>> {
    let encoded = text.strip_prefix(prefix).filter(|_| text.len() == text_bytes(prefix, BYTES))?;
    let mut bytes = Zeroizing::new([0; MAX_BYTES]);
    let length = URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice()).ok()?;
    let (body, checksum) = bytes[..length].split_first_chunk::<BYTES>()?;
    (crc32fast::hash(body).to_be_bytes() == checksum).then(|| Zeroizing::new(*body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_in_parts_and_nothing_else_is_read() {
        let text = write("sgx_", &[&[1, 2, 3], &[4, 5]]);
        assert_eq!(text.len(), text_bytes("sgx_", 5));
        assert_eq!(read::<5>("sgx_", &text).as_deref(), Some(&[1, 2, 3, 4, 5]));
        assert_eq!(read::<5>("sgy_", &text), None, "another prefix");
        assert_eq!(read::<4>("sgx_", &text), None, "another length");
        assert_eq!(read::<6>("sgx_", &text), None, "another length");
        for bit in 0..text.len() * 8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let flipped = String::from_utf8(bytes);
            assert!(flipped.is_ok_and(|flipped| read::<5>("sgx_", &flipped).is_none()) || bit % 8 == 7, "bit {bit}");
        }
    }

    #[test]
    fn bits_that_fill_up_the_last_letter_are_nought() {
        // 1 + 4 bytes are 40 bits, in 7 letters of 6: the last two bits say nothing.
        let text = write("", &[&[7]]);
        let last = text.chars().last().expect("letters");
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let next = letters.chars().skip_while(|letter| *letter != last).nth(1).expect("a next letter");
        assert_eq!(read::<1>("", &format!("{}{next}", &text[..text.len() - 1])), None);
        assert!(read::<1>("", &text).is_some());
    }
}
