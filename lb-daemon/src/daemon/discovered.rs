//! Backends that were found, on their way into the control loop.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::{events::Daemon, requests::some};
use crate::{
    api::{
        protocol::Reloaded,
        types::{Event, EventKind, ServiceStats},
    },
    config::Config,
    control::{ControlError, targets},
    discovery::{
        AnswerFile, Answers, Expanded, Hosts, News, Round, Wanted, expand, follow_files,
        follow_names, look_up, questions, read_all, sources, troubles,
    },
};

/// How long a start or a reload waits for names that nothing is known of.
const FIRST_ANSWERS: Duration = Duration::from_secs(2);
/// News that wait for the control loop.
const NEWS: usize = 64;

/// What the file says, what was found, and what came of it.
pub struct Discovered {
    /// As in the file. Whoever follows names and files sees it, too.
    wanted: watch::Sender<Wanted>,
    answers: Answers,
    left_out: Vec<String>,
    troubles: Vec<(String, u64)>,
    file: AnswerFile,
    /// Since the answers were last written.
    changed: bool,
    /// What was found could not be put in force yet.
    waiting: bool,
}

/// A configuration that may be taken, with what was found for it.
pub struct Candidate {
    config: Arc<Config>,
    answers: Answers,
    left_out: Vec<String>,
}

impl Discovered {
    /// Finds what can be found at once, and follows it from then on. Returns
    /// the configuration to begin with, too.
    pub async fn start(config: Config, file: AnswerFile) -> (Self, Config, mpsc::Receiver<News>) {
        let mut answers = file.read();
        answers.retain(&config);
        let found = find(&config, &|question| answers.names.contains_key(question)).await;
        for news in found {
            answers.note(news, now());
        }
        let Expanded { config: expanded, left_out } = expand(&config, &answers);
        let (wanted, receiver) = watch::channel(Arc::new(config));
        let (sender, news) = mpsc::channel(NEWS);
        tokio::spawn(follow_names(receiver.clone(), sender.clone()));
        tokio::spawn(follow_files(receiver, sender));
        let mut discovered = Self {
            wanted,
            answers,
            left_out: Vec::new(),
            troubles: Vec::new(),
            file,
            changed: true,
            waiting: false,
        };
        discovered.say(left_out);
        (discovered, expanded, news)
    }

    /// The file's configuration that is in force, now and later.
    pub fn wanted(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    /// A new file's configuration, with what is known and what was found for it.
    pub fn consider(&self, config: Config, found: Vec<News>) -> (Candidate, Config) {
        let mut answers = self.answers.clone();
        answers.retain(&config);
        for news in found {
            answers.note(news, now());
        }
        let Expanded { config: expanded, left_out } = expand(&config, &answers);
        (Candidate { config: Arc::new(config), answers, left_out }, expanded)
    }

    /// The candidate is in force.
    pub fn take(&mut self, candidate: Candidate) {
        let Candidate { config, answers, left_out } = candidate;
        self.answers = answers;
        self.changed = true;
        self.waiting = false;
        self.wanted.send_replace(config);
        self.say(left_out);
    }

    /// Whether there may be other backends than before.
    fn note(&mut self, news: News) -> bool {
        let changed = self.answers.note(news, now());
        self.changed |= changed;
        changed
    }

    /// Logs what is new of what an operator should know.
    fn say(&mut self, left_out: Vec<String>) {
        let known = self.wanted.borrow().clone();
        let troubles = troubles(&known, &self.answers);
        for (new, _) in troubles.iter().filter(|one| !self.troubles.contains(one)) {
            warn!("{new}");
        }
        if troubles.is_empty() && !self.troubles.is_empty() {
            info!("all names and files of backends are up to date again");
        }
        for new in left_out.iter().filter(|one| !self.left_out.contains(one)) {
            warn!("{new}");
        }
        self.troubles = troubles;
        self.left_out = left_out;
    }

    pub fn warnings(&self) -> Vec<String> {
        let troubles = self.troubles.iter().map(|(sentence, _)| sentence.clone());
        troubles.chain(self.left_out.iter().cloned()).collect()
    }

    /// Adds where a service's backends come from.
    pub fn describe(&self, services: &mut [ServiceStats], config: &Config) {
        for (stats, service) in services.iter_mut().zip(&config.services) {
            stats.sources = sources(service, &self.answers);
        }
    }

    /// In the background, if there is something new.
    pub fn remember(&mut self) {
        if std::mem::take(&mut self.changed) {
            let (file, answers) = (self.file.clone(), self.answers.clone());
            tokio::task::spawn_blocking(move || write(&file, &answers));
        }
    }

    pub fn remember_now(&self) {
        write(&self.file, &self.answers);
    }
}

fn write(file: &AnswerFile, answers: &Answers) {
    if let Err(error) = file.write(answers) {
        warn!(
            "a daemon that starts while no name server answers will know fewer backends: {error}"
        );
    }
}

/// Reads the files that `config` names, and asks for names that `known` does
/// not know.
pub async fn find(
    config: &Config,
    known: &(dyn Fn(&crate::config::Question) -> bool + Sync),
) -> Vec<News> {
    let mut unknown = questions(config);
    unknown.retain(|question| !known(question));
    let mut rounds = look_up(config, unknown.clone(), FIRST_ANSWERS).await;
    let silent = |question| {
        let why = format!("no answer within {FIRST_ANSWERS:?}");
        let round = Round { hosts: Hosts::Unknown(why), ttl: None };
        let round = rounds.remove(&question).unwrap_or(round);
        News::Name(question, round)
    };
    let mut news: Vec<News> = unknown.into_iter().map(silent).collect();
    let config = config.clone();
    let files = tokio::task::spawn_blocking(move || read_all(&config)).await;
    news.extend(files.unwrap_or_default().into_iter().map(News::File));
    news
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Daemon {
    /// All that have come together are acted on together.
    pub(super) fn discovered(&mut self, news: News) {
        let mut changed = self.discovery.note(news);
        while let Ok(news) = self.inputs.discovered.try_recv() {
            changed |= self.discovery.note(news);
        }
        self.discovery.waiting |= changed;
        if changed {
            self.apply_discovered();
        } else {
            self.discovery.say(self.discovery.left_out.clone());
        }
    }

    pub(super) fn retry_discovered(&mut self) {
        if self.discovery.waiting {
            self.apply_discovered();
        }
    }

    /// As a reload does, though nobody asked for one.
    fn apply_discovered(&mut self) {
        let file = self.discovery.wanted.borrow().clone();
        let Expanded { config, left_out } = expand(&file, &self.discovery.answers);
        self.discovery.say(left_out);
        match self.put_in_force(config, false) {
            Ok(answer) => {
                self.discovery.waiting = false;
                for change in &answer.changes {
                    info!("found: {change}");
                }
                if !answer.changes.is_empty() {
                    self.journal.record(Event::new(EventKind::Discovery, some(&answer.changes)));
                }
            }
            Err(error) => error!("backends that were found: {error}; trying again"),
        }
    }

    /// `now`: nobody waits for flows of backends that go.
    pub(super) fn put_in_force(
        &mut self,
        config: Config,
        now: bool,
    ) -> Result<Reloaded, ControlError> {
        self.tell_time();
        let answer = self.controller.reload(config, now)?;
        self.health_changed = true;
        self.prober.set_targets(targets(self.controller.config()));
        self.monitor.watch(self.controller.next_hop_targets());
        self.follow_interfaces();
        Ok(answer)
    }
}
