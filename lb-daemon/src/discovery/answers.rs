//! What is known of backends that the file does not list, and since when it is
//! not kept up to date, if so.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::round::{Endpoint, Round};
use crate::config::{Backend, Config, Question};

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Answers {
    pub names: BTreeMap<Question, NameAnswer>,
    /// By service.
    pub files: BTreeMap<String, FileAnswer>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NameAnswer {
    pub endpoints: Vec<Endpoint>,
    /// Unix seconds of the last full answer.
    pub answered: Option<u64>,
    #[serde(skip)]
    pub trouble: Option<Trouble>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileAnswer {
    pub path: PathBuf,
    pub backends: Vec<Backend>,
    /// Unix seconds of the last good reading.
    pub answered: Option<u64>,
    pub trouble: Option<Trouble>,
}

/// Why what is known may be out of date.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    pub why: String,
    /// Unix seconds.
    pub since: u64,
}

#[derive(Clone, PartialEq, Debug)]
pub enum News {
    Name(Question, Round),
    File(FileNews),
}

/// A service's file was read.
#[derive(Clone, PartialEq, Debug)]
pub struct FileNews {
    pub service: String,
    pub path: PathBuf,
    /// Or what is wrong with it, one problem a line.
    pub outcome: Result<Vec<Backend>, String>,
}

impl Answers {
    /// Whether there may be other backends than before.
    pub fn note(&mut self, news: News, now: u64) -> bool {
        match news {
            News::Name(question, round) => {
                self.names.entry(question).or_default().note(&round, now)
            }
            News::File(news) => self.files.entry(news.service.clone()).or_default().note(news, now),
        }
    }

    /// Forgets what `config` does not ask for.
    pub fn retain(&mut self, config: &Config) {
        let questions = super::questions(config);
        self.names.retain(|question, _| questions.contains(question));
        self.files.retain(|name, answer| {
            let service = config.services.iter().find(|service| service.name == *name);
            service.is_some_and(|service| service.discovery.file.as_ref() == Some(&answer.path))
        });
    }
}

impl NameAnswer {
    fn note(&mut self, round: &Round, now: u64) -> bool {
        let endpoints = round.merge(&self.endpoints);
        let changed = endpoints != self.endpoints;
        self.endpoints = endpoints;
        let trouble = round.trouble();
        if trouble.is_none() {
            self.answered = Some(now);
        }
        renew(&mut self.trouble, trouble, now);
        changed
    }
}

impl FileAnswer {
    fn note(&mut self, news: FileNews, now: u64) -> bool {
        let moved = self.path != news.path;
        if moved {
            *self = Self { path: news.path, ..Self::default() };
        }
        match news.outcome {
            Ok(backends) => {
                let changed = moved || backends != self.backends;
                *self =
                    Self { backends, answered: Some(now), trouble: None, ..std::mem::take(self) };
                changed
            }
            Err(why) => {
                renew(&mut self.trouble, Some(why), now);
                moved
            }
        }
    }
}

/// It began with the first failure, whatever the last one says.
fn renew(trouble: &mut Option<Trouble>, why: Option<String>, now: u64) {
    *trouble = why.map(|why| {
        let since = trouble.as_ref().map_or(now, |before| before.since);
        Trouble { why, since }
    });
}
