//! One RPC request from its bytes to its answer.
//!
//! Owns the list of steps and the choice of handler. Never knows a connection: `server` hands it a whole request.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::action::Action;
use super::auth::Entry;
use super::error::ApiError;
use super::params::Params;
use super::request::{self, Incoming};
use super::{ApiContext, auth, callback_settings, jobs, snapshots, submit, videos};
use crate::model::ids::AccountId;
use crate::service::settings::Settings;

/// An authenticated call, as handlers get it.
#[derive(Debug)]
pub struct Call<'a> {
    pub context: &'a ApiContext,
    pub settings: Arc<Settings>,
    pub account: AccountId,
    pub params: &'a Params,
    pub request_id: &'a str,
}

/// What a handler answers: the fields beside RequestId.
pub type Answer = Result<Map<String, Value>, ApiError>;

/// How a request ended, with its action as soon as that was known.
#[derive(Debug)]
pub struct Outcome {
    pub action: Option<Action>,
    pub answer: Answer,
}

/// Reads, authenticates and carries out one request.
pub async fn answer(context: &ApiContext, incoming: &Incoming<'_>, request_id: &str) -> Outcome {
    let signed = match request::read(incoming) {
        Ok(signed) => signed,
        Err(error) => return Outcome { action: None, answer: Err(error) },
    };
    let settings = context.settings.borrow().clone();
    let answer = match auth::identify(context, &settings, &signed).await {
        Ok(entry) => {
            let account = entry.account();
            let call = Call { context, settings, account, params: &signed.params, request_id };
            carry_out(signed.action, &call, &entry).await
        }
        Err(error) => Err(error),
    };
    Outcome { action: Some(signed.action), answer }
}

async fn carry_out(action: Action, call: &Call<'_>, entry: &Entry<'_>) -> Answer {
    // A submission is let in by the commit that queues its job.
    if action != Action::SubmitSnapshotJob {
        entry.admit(call.context).await?;
    }
    match action {
        Action::SubmitSnapshotJob => submit::submit_snapshot_job(call, entry).await,
        Action::ListSnapshots => snapshots::list_snapshots(call).await,
        Action::GetJobDetail => jobs::get_job_detail(call).await,
        Action::GetVideoInfo => videos::get_video_info(call).await,
        Action::RegisterMedia => videos::register_media(call).await,
        Action::SetMessageCallback => callback_settings::set(call).await,
        Action::GetMessageCallback => callback_settings::get(call).await,
        Action::DeleteMessageCallback => callback_settings::delete(call).await,
    }
}

impl Call<'_> {
    /// A parameter that must be there.
    ///
    /// # Errors
    /// `MissingParameter`.
    pub fn mandatory(&self, name: &str) -> Result<&str, ApiError> {
        self.params.get(name).ok_or_else(|| ApiError::missing_parameter(name))
    }
}

/// The fields of an answer from a JSON object; anything else is no field.
pub fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A new id in 32 lower-case hex digits.
pub fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
