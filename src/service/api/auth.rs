//! Who is asking, and may he ask again now?
//!
//! Owns the order of checks after a request is read: key, clock, signature, nonce and rate, token
//! (API contract, 1.11). Never records a nonce before the signature is right: anyone could burn nonces otherwise.

use std::time::Duration;

use secrecy::ExposeSecret;

use crate::model::ids::AccountId;
use crate::service::settings::Settings;
use crate::service::store::StoreError;
use crate::service::store::rows::{Admission, Admitted, NewJob};

use super::ApiContext;
use super::error::{ApiError, Fixed};
use super::request::SignedRequest;

/// A request whose key, clock and signature are right. It is not in yet: its nonce may be used, its rate spent.
#[derive(Debug)]
pub struct Entry<'a> {
    request: &'a SignedRequest,
    admission: Admission,
}

/// Checks who is asking; nothing is stored.
///
/// # Errors
/// As in 1.11, up to the signature.
pub async fn identify<'a>(
    context: &ApiContext,
    settings: &Settings,
    request: &'a SignedRequest,
) -> Result<Entry<'a>, ApiError> {
    let key = context.store.key(&request.key_id).await?;
    let Some(key) = key else {
        // The same work as for a wrong signature, so that time does not tell which ids exist.
        drop(request.check_signature("no such key"));
        return Err(ApiError::fixed(Fixed::KeyNotFound, "no such key"));
    };
    if !key.enabled {
        return Err(ApiError::fixed(Fixed::KeyInactive, format!("key {} is disabled", key.id)));
    }
    let (now_ms, window) = (context.clock.now_ms(), settings.api.clock_window);
    request.check_clock(now_ms, window)?;
    request.check_signature(key.secret.expose_secret())?;
    let limit = request.action.limit_per_second(settings.api.submit_per_second);
    let admission = Admission {
        key_id: key.id,
        account: key.account,
        nonce: request.nonce.clone(),
        nonce_expires_ms: now_ms.saturating_add(nonce_life_ms(window)),
        now_ms,
        limit: limit.map(|most| (request.action.name(), most)),
    };
    Ok(Entry { request, admission })
}

impl Entry<'_> {
    /// Who is asking.
    pub fn account(&self) -> AccountId {
        self.admission.account
    }

    /// Lets the request in.
    ///
    /// # Errors
    /// As in 1.11. A request over its rate has used its nonce up; nothing else is stored of it.
    pub async fn admit(&self, context: &ApiContext) -> Result<(), ApiError> {
        self.judge(context.store.admit(self.admission.clone()).await?)
    }

    /// Lets the request in and queues its job, or neither: one commit and not two.
    ///
    /// # Errors
    /// As `admit`; the job is not queued then.
    pub async fn admit_with_job(&self, context: &ApiContext, job: NewJob) -> Result<(), ApiError> {
        if let Err(error) = self.request.check_token() {
            self.admit(context).await?;
            return Err(error);
        }
        self.judge(context.store.admit_with_job(self.admission.clone(), job).await?)
    }

    fn judge(&self, admitted: Admitted) -> Result<(), ApiError> {
        match admitted {
            Admitted::NonceUsed => Err(ApiError::fixed(Fixed::NonceUsed, "the nonce was used already")),
            Admitted::Throttled { retry_after_ms } => {
                self.request.check_token()?;
                Err(ApiError::throttled(retry_after_ms))
            }
            Admitted::Yes => self.request.check_token(),
        }
    }
}

// A request stamped a window ahead of us is good for two windows; a second more for rounding.
fn nonce_life_ms(window: Duration) -> i64 {
    i64::try_from(window.as_millis()).map_or(i64::MAX, |ms| ms.saturating_mul(2).saturating_add(1000))
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        let fixed = match error {
            StoreError::Unavailable { .. } => Fixed::Unavailable,
            StoreError::Taken { .. } | StoreError::Unusable(_) => Fixed::Internal,
        };
        ApiError::fixed(fixed, error.to_string())
    }
}
