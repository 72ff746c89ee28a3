//! Names of things. *Pure.*
//!
//! Owns the id types. Never makes one: randomness comes in from outside.

use std::fmt;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_id!(
    /// A registered video: 32 lower-case hex digits when we made it, opaque on input.
    VideoId
);
text_id!(
    /// One accepted submission: 32 lower-case hex digits when we made it, opaque on input.
    JobId
);
text_id!(
    /// One start of one daemon. A claim belongs to an incarnation and is void without it.
    Incarnation
);
text_id!(
    /// Proof of ownership of one claim; every later change of the job is guarded by it.
    ClaimToken
);

/// The owner of keys, videos and jobs; the API's `UserId`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub i64);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
