//! What statistics and warnings say of discovery.

use super::answers::{Answers, Trouble};
use crate::{
    api::types::SourceStats,
    config::{Config, Origin, Question, Service},
};

/// Where a service's other backends come from; `service` has them all.
pub fn sources(service: &Service, answers: &Answers) -> Vec<SourceStats> {
    let count = |origin: &Origin| {
        service.backends.iter().filter(|backend| backend.origin == *origin).count() as u64
    };
    let mut sources = Vec::new();
    if let Some(path) = &service.discovery.file {
        let answer = answers.files.get(&service.name);
        sources.push(stats(
            ("file", path.display().to_string(), count(&Origin::BackendsFile)),
            answer.and_then(|answer| answer.answered),
            answer.and_then(|answer| answer.trouble.as_ref()),
        ));
    }
    for Question { kind, name, family } in
        service.discovery.names.iter().map(|source| &source.question)
    {
        let question = Question { kind: *kind, name: name.clone(), family: *family };
        let answer = answers.names.get(&question);
        sources.push(stats(
            (kind.key(), name.clone(), count(&Origin::Name(question))),
            answer.and_then(|answer| answer.answered),
            answer.and_then(|answer| answer.trouble.as_ref()),
        ));
    }
    sources
}

fn stats(
    (kind, name, backends): (&str, String, u64),
    answered: Option<u64>,
    trouble: Option<&Trouble>,
) -> SourceStats {
    SourceStats {
        kind: kind.to_owned(),
        name,
        backends,
        answered,
        problem: trouble.map(|trouble| trouble.why.clone()),
        problem_since: trouble.map(|trouble| trouble.since),
    }
}

/// What is not kept up to date, one sentence for each name and file, and since
/// when (Unix seconds).
pub fn troubles(config: &Config, answers: &Answers) -> Vec<(String, u64)> {
    let names = super::questions(config).into_iter().filter_map(|question| {
        let answer = answers.names.get(&question)?;
        let Trouble { why, since } = answer.trouble.as_ref()?;
        let sentence = match answer.answered {
            Some(_) => format!("{question}: {why}; its last answer is kept"),
            None => format!("{question}: {why}; there is no earlier answer to keep"),
        };
        Some((sentence, *since))
    });
    let files = config.services.iter().filter_map(|service| {
        let answer = answers.files.get(&service.name)?;
        let Trouble { why, since } = answer.trouble.as_ref()?;
        let kept = match answer.answered {
            Some(_) => "what it last said is kept",
            None => "it has given no backends yet",
        };
        Some((format!("service {}: backends_file: {kept}: {why}", service.name), *since))
    });
    names.chain(files).collect()
}
