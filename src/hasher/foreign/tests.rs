//! Known answers: each hash was made by the implementation that is named, and by none of those that are used here.

use super::*;

/// All of `correct horse battery`.
const KNOWN: [(&str, &str); 17] = [
    ("Python bcrypt 5.0", "$2a$04$TroGvtdtUCT4Rf0uA.cINuj2sdn4ySc3bGQdpxaOAgIWYH/4boxtW"),
    ("Python bcrypt 5.0", "$2b$04$SIYzu/075eLGYeD5i.KQ1eEGOXeOsPNPZ1iYqpaWZmnp.xJqVy9c2"),
    ("the same, named as PHP does", "$2y$04$8m9eaHf7vG0GEsrnDlqNkukkrkBn3Z3BUUgHsX2z8PNEZL2nk7tUy"),
    ("the same, as Django stores it", "bcrypt$$2b$04$SIYzu/075eLGYeD5i.KQ1eEGOXeOsPNPZ1iYqpaWZmnp.xJqVy9c2"),
    (
        "argon2-cffi 25.1",
        "$argon2i$v=19$m=64,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$Ox3jqmUhfBFhHqQRGYCo4AqJiFROry56/COggMloHew",
    ),
    (
        "argon2-cffi 25.1",
        "$argon2d$v=19$m=64,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$TbzMPtgpQb9Fl5dkb/m5e/Th1lVCfqjEtOuiFI5n6mg",
    ),
    (
        "argon2-cffi 25.1",
        "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$dXS1tLyOKGtm6Z8lUP5d19LcQ4ZLJq/Ggrd5bYLSnpM",
    ),
    (
        "argon2-cffi 25.1, the version before 1.3",
        "$argon2id$v=16$m=64,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$5cfPjDYQVOc5fsS0ssEzU6KCkNC6NvJqP92r22o2Y2I",
    ),
    (
        "Python hashlib (OpenSSL)",
        "$scrypt$ln=4,r=8,p=1$c2l4dGVlbiBieXRlcyA6KQ$d3txmDrgvm6GKYPxfqISVSttFhRg8kS1WubtDPM8EQ4",
    ),
    ("Python hashlib (OpenSSL)", "$pbkdf2-sha1$i=100,l=20$c2l4dGVlbiBieXRlcyA6KQ$OS8nxXLg1oALBcxfzHwMENPx7IQ"),
    (
        "Python hashlib (OpenSSL)",
        "$pbkdf2-sha256$i=100,l=32$c2l4dGVlbiBieXRlcyA6KQ$O89pIlkF6QO6QSoSMXI3jLkG7b2HfJelAy5b1B014ZA",
    ),
    (
        "Python hashlib (OpenSSL)",
        "$pbkdf2-sha512$i=100,l=64$c2l4dGVlbiBieXRlcyA6KQ$3d0Cin0jqHwduWWk9XUodAKfxum0QxrVkuzZQJXi9sCjWYut6AGcQdpXWDfyU9TCrtlu+khlCdGY6Xm5yVvujA",
    ),
    ("passlib 1.7", "$pbkdf2$100$cC7FOMf4X2sNwVgrBWAMQQ$I/zGDI5zI0xyN2nwm2e7rYh2/Pc"),
    ("passlib 1.7", "$pbkdf2-sha256$100$lFJqbW1NaW2ttXZuLYUwRg$d4yx2BnslzDUs3dVTQ7ZSj5K97e0au30OMFUiCpfk7E"),
    (
        "passlib 1.7",
        "$pbkdf2-sha512$100$t1bqHSNk7P3/X.ud876Xkg$bHQPXUwuucifoSYObbHQCwM7EOwNGmzKCG0zc1fh//j932gcEB9HfVVwKHZAP6iL5HfgljmcSJG5hVf/dlLiiw",
    ),
    ("passlib 1.7", "$scrypt$ln=4,r=8,p=1$RmgthdBaC0Eo5dy7V0qJ0Q$qyebp0dqC3QtvVNa5+Z08TP8DEckmzj8hOT0+5ShjAI"),
    ("Django 5.2", "pbkdf2_sha256$100$saltOfDjango$/wi8NdaBxOSQne2FecOrKeo8jp1fdGLAp422oH0QaOg="),
];

fn password(text: &str) -> Password {
    Password::parse(text).expect("a password")
}

#[test]
fn hashes_of_other_implementations_open_for_their_passwords_only() {
    for (maker, text) in KNOWN {
        let hash = ForeignHash::parse(text).unwrap_or_else(|refused| panic!("{maker}: {text} {refused}"));
        let stored = ForeignHash::stored(&hash.to_column()).expect("marked").expect("read again");
        assert!(stored.opens_for(&password("correct horse battery")), "{maker}: {text}");
        assert!(!stored.opens_for(&password("correct horse batterz")), "{maker}: {text}");
        assert_eq!(format!("{hash:?}"), "(password hash)");
    }
    assert!(ForeignHash::stored("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaA").is_none(), "ours are not marked");
}

#[test]
fn bcrypt_reads_seventy_two_bytes_as_its_makers_do() {
    let hash = ForeignHash::parse("$2b$04$cWyOXmyvDBnsMEGTZyA0Zu.vAbi/K9C5jBR05N5jMEhKIdHyebTDK").expect("a hash");
    for (count, opens) in [(71, false), (72, true), (73, true)] {
        assert_eq!(hash.opens_for(&password(&"a".repeat(count))), opens, "{count}");
    }
}

/// One made of the bytes that a keyboard sent, one of the normal form.
#[test]
fn a_password_opens_as_it_was_typed_and_as_it_is_normalised() {
    let of = |hash: &str| {
        ForeignHash::parse(&format!("$pbkdf2-sha256$i=100,l=32$c2l4dGVlbiBieXRlcyA6KQ${hash}")).expect("a hash")
    };
    let decomposed = of("ApaVlMJOAXqlN4fwsdrdvoQSZN/edlw5g+TKI2Q/+vM");
    let composed = of("rNaxly6ZF0mSuKenQTcA9iwBW9d8EJKv8V7Xq8C4iVU");
    let (as_marks, as_letters) = (password("cafe\u{301} au lait"), password("caf\u{e9} au lait"));
    assert!(decomposed.opens_for(&as_marks) && composed.opens_for(&as_marks) && composed.opens_for(&as_letters));
    assert!(!decomposed.opens_for(&as_letters), "what was typed cannot be known from its normal form");
}

#[test]
fn what_costs_too_much_or_is_no_hash_is_refused() {
    const TAIL: &str = "c2l4dGVlbiBieXRlcyA6KQ$O89pIlkF6QO6QSoSMXI3jLkG7b2HfJelAy5b1B014ZA";
    const BCRYPT: &str = "SIYzu/075eLGYeD5i.KQ1eEGOXeOsPNPZ1iYqpaWZmnp.xJqVy9c2";
    for (text, expected) in [
        (format!("$2b$15${BCRYPT}"), COSTLY),
        (format!("$2b$31${BCRYPT}"), COSTLY),
        (format!("$argon2id$v=19$m=262145,t=1,p=1${TAIL}"), COSTLY),
        (format!("$argon2id$v=19$m=262144,t=5,p=1${TAIL}"), COSTLY),
        (format!("$argon2id$v=19$m=999999999,t=999999999,p=1${TAIL}"), COSTLY),
        (format!("$argon2id$v=19$m=1024,t=1,p=17${TAIL}"), COSTLY),
        (format!("$scrypt$ln=19,r=8,p=1${TAIL}"), COSTLY),
        (format!("$scrypt$ln=17,r=8,p=5${TAIL}"), COSTLY),
        (format!("$scrypt$ln=30,r=1024,p=1024${TAIL}"), COSTLY),
        (format!("$pbkdf2-sha256$i=2000001,l=32${TAIL}"), COSTLY),
        (format!("$2b$03${BCRYPT}"), MALFORMED),
        (format!("$2b$10${}", &BCRYPT[1..]), MALFORMED),
        (format!("$scrypt$ln=64,r=8,p=1${TAIL}"), MALFORMED),
        (format!("$scrypt$ln=31,r=8,p=1${TAIL}"), MALFORMED),
        (format!("$scrypt$ln=4,r=1025,p=1${TAIL}"), MALFORMED),
        (format!("$scrypt$ln=4,r=8,p=1025${TAIL}"), MALFORMED),
        (format!("$scrypt$ln=4,r=4294967295,p=1${TAIL}"), MALFORMED),
        (format!("$scrypt$r=8,ln=4,p=1${TAIL}"), MALFORMED),
        (format!("$pbkdf2-sha256$i=0${TAIL}"), MALFORMED),
        (format!("$pbkdf2-sha256$i=+1${TAIL}"), MALFORMED),
        (format!("$argon2id$v=20$m=64,t=1,p=1${TAIL}"), MALFORMED),
        (format!("$argon2id$v=19$m=64,t=1,p=1,keyid=x${TAIL}"), MALFORMED),
        ("$argon2id$v=19$m=64,t=1,p=1$c2FsdA$O89pIlkF6QO6QSoSMXI3jLkG7b2HfJelAy5b1B014ZA".to_owned(), MALFORMED),
        ("$pbkdf2-sha256$i=9$c2l4dGVlbg$not base64".to_owned(), MALFORMED),
        ("$pbkdf2-sha256$i=9$c2l4dGVlbg$c2hvcnQ".to_owned(), SHORT),
        (format!("$2x$10${BCRYPT}"), UNKNOWN),
        (format!("$6$rounds=5000${TAIL}"), UNKNOWN),
        (format!("scrypt$100${TAIL}"), UNKNOWN),
        (format!("$pbkdf2-md5$i=9${TAIL}"), UNKNOWN),
        ("bcrypt_sha256$$2b$12$abc".to_owned(), UNKNOWN),
        ("$1$salt$qJH7.N4xYta3aEG/dfqo/0".to_owned(), UNKNOWN),
        ("5f4dcc3b5aa765d61d8327deb882cf99".to_owned(), UNKNOWN),
        ("password".to_owned(), UNKNOWN),
        (String::new(), UNKNOWN),
    ] {
        assert_eq!(ForeignHash::parse(&text).err(), Some(expected), "{text}");
    }
}

/// Nothing is computed here: the dearest would take a second each.
#[test]
fn what_is_just_cheap_enough_is_taken_over() {
    const TAIL: &str = "c2l4dGVlbiBieXRlcyA6KQ$O89pIlkF6QO6QSoSMXI3jLkG7b2HfJelAy5b1B014ZA";
    for text in [
        "$2b$14$SIYzu/075eLGYeD5i.KQ1eEGOXeOsPNPZ1iYqpaWZmnp.xJqVy9c2".to_owned(),
        format!("$argon2id$v=19$m=262144,t=4,p=16${TAIL}"),
        format!("$argon2id$v=19$m=1024,t=1024,p=1${TAIL}"),
        format!("$scrypt$ln=18,r=8,p=2${TAIL}"),
        format!("$scrypt$ln=17,r=8,p=4${TAIL}"),
        format!("$scrypt$ln=1,r=1024,p=1024${TAIL}"),
        format!("$pbkdf2-sha256$i=2000000,l=32${TAIL}"),
    ] {
        assert_eq!(ForeignHash::parse(&text).err(), None, "{text}");
    }
}

#[test]
fn salts_and_hashes_have_their_lengths() {
    let of = |count: usize| base64::engine::general_purpose::STANDARD_NO_PAD.encode(vec![7; count]);
    let pbkdf2 = |salt, hash| format!("$pbkdf2-sha256$i=9${}${}", of(salt), of(hash));
    let argon2 = |salt| format!("$argon2id$v=19$m=64,t=1,p=1${}${}", of(salt), of(32));
    // Django's salt is a text, and nothing that is to be decoded.
    let django = |salt: usize| format!("pbkdf2_sha256$9${}${}", "s".repeat(salt), of(32));
    for (text, refused) in [
        (pbkdf2(1, 16), None),
        (pbkdf2(128, 64), None),
        (pbkdf2(0, 16), Some(MALFORMED)),
        (pbkdf2(129, 16), Some(MALFORMED)),
        (pbkdf2(1, 15), Some(SHORT)),
        (pbkdf2(1, 65), Some(SHORT)),
        (argon2(7), Some(MALFORMED)),
        (argon2(8), None),
        (argon2(128), None),
        (argon2(129), Some(MALFORMED)),
        (django(0), Some(MALFORMED)),
        (django(1), None),
        (django(128), None),
        (django(129), Some(MALFORMED)),
    ] {
        assert_eq!(ForeignHash::parse(&text).err(), refused, "{text}");
    }
}
