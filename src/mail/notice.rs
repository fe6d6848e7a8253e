//! Notices: mails that ask for nothing, and tell of something that happened. Each has its own words, which are called as it is.

/// What a user is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Another password is in force.
    PasswordChanged,
    /// Another address is; to the former one.
    EmailChanged,
    /// The account was deleted; with a token by which it is brought back, if its user may.
    AccountDeleted,
    /// The account was logged in to from where it never was.
    NewSignIn,
    /// Two parties held a session.
    SessionEnded,
    /// Log-ins ask for a second factor.
    FactorAdded,
    /// They do no more.
    FactorRemoved,
    /// One code less is left.
    RecoveryCodeUsed,
    /// The user made an API key.
    ApiKeyCreated,
    /// Somebody else made one for the user, or gave one a new secret: they have seen it.
    ApiKeyHandedOut,
    /// Somebody else ended one, or all.
    ApiKeyRevoked,
}

impl Notice {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::PasswordChanged,
        Self::EmailChanged,
        Self::AccountDeleted,
        Self::NewSignIn,
        Self::SessionEnded,
        Self::FactorAdded,
        Self::FactorRemoved,
        Self::RecoveryCodeUsed,
        Self::ApiKeyCreated,
        Self::ApiKeyHandedOut,
        Self::ApiKeyRevoked,
    ];

    /// The name in the outbox, and of its files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PasswordChanged => "password_changed",
            Self::EmailChanged => "email_changed",
            Self::AccountDeleted => "account_deleted",
            Self::NewSignIn => "new_sign_in",
            Self::SessionEnded => "session_ended",
            Self::FactorAdded => "factor_added",
            Self::FactorRemoved => "factor_removed",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::ApiKeyCreated => "api_key_created",
            Self::ApiKeyHandedOut => "api_key_handed_out",
            Self::ApiKeyRevoked => "api_key_revoked",
        }
    }
}
