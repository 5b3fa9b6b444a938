//! What names have now, for who checks a configuration.

use std::time::Duration;

use super::{Answers, FileNews, News, expand, look_up, questions, read_all};
use crate::config::{Config, Origin};

const PATIENCE: Duration = Duration::from_secs(30);

/// One sentence each.
#[derive(Debug, Default)]
pub struct Resolved {
    /// Backends of each service.
    pub found: Vec<String>,
    pub left_out: Vec<String>,
    /// Names without a full answer.
    pub failed: Vec<String>,
}

pub async fn resolve(config: &Config) -> Resolved {
    let mut answers = Answers::default();
    let questions = questions(config);
    let mut rounds = look_up(config, questions.clone(), PATIENCE).await;
    let mut resolved = Resolved::default();
    for question in questions {
        let Some(round) = rounds.remove(&question) else {
            resolved.failed.push(format!("{question}: no answer within {PATIENCE:?}"));
            continue;
        };
        resolved.failed.extend(round.trouble().map(|why| format!("{question}: {why}")));
        answers.note(News::Name(question, round), 0);
    }
    for news in read_all(config) {
        let FileNews { service, outcome, .. } = &news;
        resolved
            .failed
            .extend(outcome.as_ref().err().map(|why| format!("service {service}: {why}")));
        answers.note(News::File(news), 0);
    }
    let expanded = expand(config, &answers);
    resolved.left_out = expanded.left_out;
    for service in &expanded.config.services {
        for backend in service.backends.iter().filter(|one| one.origin != Origin::Listed) {
            let port = backend.port.map(|port| format!(", port {port}")).unwrap_or_default();
            resolved.found.push(format!(
                "service {}: {} ({}): weight {}{port}",
                service.name, backend.name, backend.origin, backend.weight
            ));
        }
    }
    resolved
}
