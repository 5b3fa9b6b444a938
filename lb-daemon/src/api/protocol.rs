//! Requests and responses of the control socket: one JSON line each way.
//!
//! `{"version":1,"command":"stats"}` is answered with
//! `{"version":1,"stats":{…}}` or `{"version":1,"error":{…}}`. The version
//! changes only when an old client could not understand a new daemon.

use serde::{Deserialize, Serialize};

use super::types::{Change, EventPage, EventQuery, Stats};
use crate::nat::{Page, Query};

pub const VERSION: u32 = 1;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    Stats,
    Reload,
    Version,
    Flows,
    Events,
    Drain,
    Undrain,
    SetWeight,
}

impl Command {
    pub const ALL: [Self; 8] = [
        Self::Stats,
        Self::Reload,
        Self::Version,
        Self::Flows,
        Self::Events,
        Self::Drain,
        Self::Undrain,
        Self::SetWeight,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Reload => "reload",
            Self::Version => "version",
            Self::Flows => "flows",
            Self::Events => "events",
            Self::Drain => "drain",
            Self::Undrain => "undrain",
            Self::SetWeight => "set-weight",
        }
    }

    /// Whether only root may ask for it.
    pub const fn changes_something(self) -> bool {
        matches!(self, Self::Reload | Self::Drain | Self::Undrain | Self::SetWeight)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Request {
    pub version: u32,
    pub command: Command,
    /// Of `flows`: which ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Query>,
    /// Of `events`: which ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<EventQuery>,
    /// Of `drain`, `undrain` and `set-weight`: of which backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Of `reload`: backends that are removed are not drained.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub now: bool,
}

impl Request {
    pub const fn new(command: Command) -> Self {
        Self { version: VERSION, command, query: None, events: None, change: None, now: false }
    }

    pub fn flows(query: Query) -> Self {
        Self { query: Some(query), ..Self::new(Command::Flows) }
    }

    pub fn events(query: EventQuery) -> Self {
        Self { events: Some(query), ..Self::new(Command::Events) }
    }

    pub fn change(command: Command, change: Change) -> Self {
        Self { change: Some(change), ..Self::new(command) }
    }

    pub fn reload(now: bool) -> Self {
        Self { now, ..Self::new(Command::Reload) }
    }

    /// Reads a line. The version is looked at first: of another version nothing
    /// else is assumed.
    pub fn parse(line: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        #[derive(Deserialize)]
        struct Commanded {
            command: String,
            query: Option<Query>,
            events: Option<EventQuery>,
            change: Option<Change>,
            #[serde(default)]
            now: bool,
        }
        let malformed = |e: serde_json::Error| {
            Error::new(
                ErrorCode::BadRequest,
                format!(r#"not a request ({e}); example: {{"version":1,"command":"stats"}}"#),
            )
        };
        let Versioned { version } = serde_json::from_slice(line).map_err(malformed)?;
        if version != VERSION {
            return Err(Error::new(
                ErrorCode::UnsupportedVersion,
                format!("protocol version {version} asked, this daemon speaks {VERSION}"),
            ));
        }
        let commanded: Commanded = serde_json::from_slice(line).map_err(malformed)?;
        let Commanded { command: name, query, events, change, now } = commanded;
        match Command::ALL.into_iter().find(|command| command.name() == name) {
            Some(command) => Ok(Self { version, command, query, events, change, now }),
            None => {
                let known = Command::ALL.map(Command::name).join(", ");
                Err(Error::new(
                    ErrorCode::UnknownCommand,
                    format!("unknown command {name:?}; this daemon knows: {known}"),
                ))
            }
        }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Response {
    pub version: u32,
    #[serde(flatten)]
    pub reply: Reply,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    Stats(Box<Stats>),
    Reload(Reloaded),
    /// To `version`, whose name the protocol's own version has taken.
    Daemon(DaemonVersion),
    Flows(Page),
    Events(EventPage),
    /// To `drain`, `undrain` and `set-weight`.
    Changed(Reloaded),
    Error(Error),
}

impl Reply {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stats(_) => "stats",
            Self::Reload(_) => "reload",
            Self::Daemon(_) => "daemon",
            Self::Flows(_) => "flows",
            Self::Events(_) => "events",
            Self::Changed(_) => "changed",
            Self::Error(_) => "error",
        }
    }
}

impl From<Reply> for Response {
    fn from(reply: Reply) -> Self {
        Self { version: VERSION, reply }
    }
}

/// What a reload, or a change by command, did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reloaded {
    /// What is different now, one sentence each; empty when nothing is.
    pub changes: Vec<String>,
    /// What takes effect later, and when.
    pub pending: Vec<String>,
    pub warnings: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DaemonVersion {
    /// Of the daemon's binary.
    pub daemon: String,
    pub instance: String,
    pub pid: u32,
}

/// Why a request was not carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Error {
    pub code: ErrorCode,
    pub message: String,
    /// Each thing that is wrong, when there may be several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Error {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), problems: Vec::new() }
    }

    /// A file that does not hold a configuration; nothing was changed.
    pub fn bad_configuration(path: impl std::fmt::Display, problems: Vec<String>) -> Self {
        Self {
            code: ErrorCode::BadConfiguration,
            message: format!("{path} was not loaded; the configuration in force is unchanged"),
            problems,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    BadRequest,
    UnsupportedVersion,
    UnknownCommand,
    NotPermitted,
    BadConfiguration,
    /// The request was right, carrying it out failed.
    Failed,
    /// What was asked for by name does not exist.
    NotFound,
    /// A code of a newer daemon.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn code(line: &str) -> ErrorCode {
        Request::parse(line.as_bytes()).unwrap_err().code
    }

    #[test]
    fn a_request_is_version_and_command() {
        let request = Request::new(Command::Stats);
        let line = serde_json::to_vec(&request).unwrap();
        assert_eq!(line, br#"{"version":1,"command":"stats"}"#);
        assert_eq!(Request::parse(&line), Ok(request));
        let query = Query { client: Some("10.0.0.1".into()), ..Query::default() };
        let line = br#"{"version":1,"command":"flows","query":{"client":"10.0.0.1"}}"#;
        assert_eq!(serde_json::to_vec(&Request::flows(query.clone())).unwrap(), line);
        assert_eq!(Request::parse(line), Ok(Request::flows(query)));
    }

    #[test]
    fn requests_that_cannot_be_carried_out_have_a_code_each() {
        assert_eq!(code("stats"), ErrorCode::BadRequest);
        assert_eq!(code(r#"{"command":"stats"}"#), ErrorCode::BadRequest);
        assert_eq!(code(r#"{"version":1}"#), ErrorCode::BadRequest);
        assert_eq!(code(r#"{"version":2,"order":"stats"}"#), ErrorCode::UnsupportedVersion);
        assert_eq!(code(r#"{"version":1,"command":"dance"}"#), ErrorCode::UnknownCommand);
    }

    #[test]
    fn a_reply_stands_under_its_name() {
        let response = Response::from(Reply::Reload(Reloaded::default()));
        let value = serde_json::to_value(&response).unwrap();
        assert_eq!(
            value,
            json!({"version": 1, "reload": {"changes": [], "pending": [], "warnings": []}})
        );
        assert_eq!(serde_json::from_value::<Response>(value).unwrap(), response);
    }

    #[test]
    fn an_error_code_of_a_newer_daemon_is_understood() {
        let value = json!({"version": 1, "error": {"code": "too_hot", "message": "wait"}});
        let response: Response = serde_json::from_value(value).unwrap();
        let Reply::Error(error) = response.reply else { panic!("{response:?}") };
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::Unknown, "wait"));
    }
}
