//! The chain: the bytes of an event and the digest that ties it to all before it. Pure.
//!
//! The bytes must be the same on both databases and in every release to come, so they are laid down here and not left to a
//! serialiser: fields in a fixed order, each with its length before it, documents with their members in order. A change
//! of any of it is a new version beside this one.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;

/// What every event begins with, so that its bytes are those of nothing else.
const EVENT: &[u8] = b"signet audit event v1";
/// The same for a link of the chain.
const SEAL: &[u8] = b"signet audit seal v1";

/// An id's bytes.
pub type IdBytes = [u8; 16];

/// All that is recorded of an event.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "named like the columns")]
pub struct Fields<'a> {
    pub id: IdBytes,
    pub at: Timestamp,
    pub kind: &'a str,
    pub subject: Option<IdBytes>,
    pub actor: Option<IdBytes>,
    pub session: Option<IdBytes>,
    pub address: Option<&'a str>,
    pub user_agent: Option<&'a str>,
    pub request_id: Option<&'a str>,
    pub detail: &'a Value,
}

impl Fields<'_> {
    /// The bytes that are sealed.
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = EVENT.to_vec();
        put(&mut bytes, &self.id);
        put(&mut bytes, &self.at.as_micros().to_be_bytes());
        put(&mut bytes, self.kind.as_bytes());
        for id in [&self.subject, &self.actor, &self.session] {
            put_optional(&mut bytes, id.as_ref().map(IdBytes::as_slice));
        }
        for text in [self.address, self.user_agent, self.request_id] {
            put_optional(&mut bytes, text.map(str::as_bytes));
        }
        put_document(&mut bytes, self.detail);
        bytes
    }
}

/// The digest of a seal: of its place and time, of the digest before, and of its event.
pub fn link(previous: &[u8; 32], position: i64, sealed_at: Timestamp, event: &Fields<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(SEAL);
    hash.update(previous);
    hash.update(position.to_be_bytes());
    hash.update(sealed_at.as_micros().to_be_bytes());
    hash.update(event.canonical());
    hash.finalize().into()
}

/// What stands before the first seal.
pub const BEGINNING: [u8; 32] = [0; 32];

fn put(bytes: &mut Vec<u8>, value: &[u8]) {
    let length = u32::try_from(value.len()).expect("no column of an event is that long");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(value);
}

fn put_optional(bytes: &mut Vec<u8>, value: Option<&[u8]>) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(bytes, value);
    }
}

/// A letter for the type, then the value. `jsonb` keeps neither the order of members nor the spelling of numbers.
fn put_document(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(b'n'),
        Value::Bool(false) => bytes.push(b'f'),
        Value::Bool(true) => bytes.push(b't'),
        Value::Number(number) => {
            bytes.push(b'#');
            put(bytes, number.to_string().as_bytes());
        }
        Value::String(text) => {
            bytes.push(b'"');
            put(bytes, text.as_bytes());
        }
        Value::Array(values) => {
            bytes.push(b'[');
            put(bytes, &(values.len() as u64).to_be_bytes());
            values.iter().for_each(|value| put_document(bytes, value));
        }
        Value::Object(members) => {
            bytes.push(b'{');
            put(bytes, &(members.len() as u64).to_be_bytes());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| name.as_str());
            for (name, value) in members {
                put(bytes, name.as_bytes());
                put_document(bytes, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const AT: Timestamp = Timestamp::from_micros(1_795_255_200_123_456);

    fn fields(detail: &Value) -> Fields<'_> {
        Fields {
            id: [1; 16],
            at: AT,
            kind: "authn_login_success",
            subject: Some([2; 16]),
            actor: Some([2; 16]),
            session: Some([3; 16]),
            address: Some("203.0.113.7"),
            user_agent: Some("tester/1"),
            request_id: None,
            detail,
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// If this fails, no chain of an earlier release verifies any more.
    #[test]
    fn the_bytes_are_what_they_were_in_the_first_release() {
        let detail =
            json!({"limit": "account", "wait_seconds": 60, "all": true, "roles": ["admin", "user"], "none": null});
        let digest = link(&BEGINNING, 1, AT, &fields(&detail));
        assert_eq!(hex(&digest), "58b8629d9e551e73e21ed0d15be25abdd2532ed8a68b36d38ff0bc2c74a08af7");
    }

    #[test]
    fn the_order_of_members_does_not_count_and_everything_else_does() {
        let (first, second): (Value, Value) = (
            serde_json::from_str(r#"{"a": 1, "b": {"c": 2, "d": 3}}"#).expect("JSON"),
            serde_json::from_str(r#"{"b": {"d": 3, "c": 2}, "a": 1}"#).expect("JSON"),
        );
        assert_eq!(fields(&first).canonical(), fields(&second).canonical());
        let base = fields(&first);
        let others = [
            Fields { id: [9; 16], ..base },
            Fields { at: AT + std::time::Duration::from_micros(1), ..base },
            Fields { kind: "authn_login_fail", ..base },
            Fields { subject: None, ..base },
            Fields { actor: None, ..base },
            Fields { session: None, ..base },
            Fields { address: None, ..base },
            // What moves from one column to the next is another event.
            Fields { address: Some("203.0.113.7tester/1"), user_agent: Some(""), ..base },
            Fields { user_agent: None, request_id: Some("tester/1"), ..base },
            Fields { request_id: Some(""), ..base },
        ];
        let mut seen = vec![base.canonical()];
        for other in others {
            assert!(!seen.contains(&other.canonical()), "{other:?}");
            seen.push(other.canonical());
        }
        for detail in
            [json!({}), json!([]), json!(""), json!(0), json!("0"), json!([[], []]), json!([[[]]]), json!(null)]
        {
            let bytes = fields(&detail).canonical();
            assert!(!seen.contains(&bytes), "{detail}");
            seen.push(bytes);
        }
    }

    #[test]
    fn a_digest_depends_on_its_place_its_time_and_all_before() {
        let detail = json!({});
        let own = link(&BEGINNING, 1, AT, &fields(&detail));
        assert_ne!(own, link(&[1; 32], 1, AT, &fields(&detail)));
        assert_ne!(own, link(&BEGINNING, 2, AT, &fields(&detail)));
        assert_ne!(own, link(&BEGINNING, 1, AT + std::time::Duration::from_micros(1), &fields(&detail)));
    }
}
