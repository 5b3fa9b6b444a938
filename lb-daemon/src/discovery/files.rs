//! Reads files of backends when they have been replaced.

use std::{
    collections::{BTreeMap, BTreeSet},
    future,
    path::PathBuf,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tracing::warn;

use super::{
    FileNews, News, Wanted,
    watch::{Fingerprint, Watch, directories, fingerprint},
};
use crate::config::{Config, Service, read_backends};

/// Between two looks at files of which nothing was heard.
const POLL: Duration = Duration::from_secs(10);
/// Events of one replacement come together.
const SETTLE: Duration = Duration::from_millis(20);

/// Reads, and tells `news`, for as long as somebody wants to know.
pub async fn follow(mut wanted: watch::Receiver<Wanted>, news: mpsc::Sender<News>) {
    let mut files = Files::default();
    let mut watch = None;
    let mut moved = false;
    wanted.mark_changed();
    loop {
        let heard = tokio::select! {
            biased;
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                files = Files { config: Some(wanted.borrow_and_update().clone()), ..files };
                Heard::Asked
            }
            // What happened before the new directories were watched.
            () = future::ready(()), if moved => Heard::Event,
            () = changed(watch.as_mut()) => {
                sleep(SETTLE).await;
                Heard::Event
            }
            () = sleep(POLL) => Heard::Nothing,
        };
        // A file may be far away.
        let looked = tokio::task::spawn_blocking(move || {
            let found = files.look(heard);
            let directories = files.directories();
            (files, found, directories)
        });
        let Ok((back, found, directories)) = looked.await else { return };
        files = back;
        let same = watch.as_ref().filter(|watch: &&Watch| watch.is_of(&directories));
        if same.is_none_or(|watch| !watch.is_whole()) {
            let moved_now = same.is_none();
            watch = new_watch(directories);
            moved = moved_now && watch.is_some();
        } else {
            moved = false;
        }
        for one in found {
            if news.send(News::File(one)).await.is_err() {
                return;
            }
        }
    }
}

/// Reads every file that `config` names.
pub fn read_all(config: &Config) -> Vec<FileNews> {
    config.services.iter().filter_map(|service| read(config, service)).collect()
}

fn read(config: &Config, service: &Service) -> Option<FileNews> {
    let path = service.discovery.file.clone()?;
    let outcome = read_backends(&path, config, service).map_err(|problems| problems.to_string());
    Some(FileNews { service: service.name.clone(), path, outcome })
}

async fn changed(watch: Option<&mut Watch>) {
    match watch {
        Some(watch) => {
            if watch.changed().await.is_err() {
                future::pending().await
            }
        }
        None => future::pending().await,
    }
}

fn new_watch(directories: BTreeSet<PathBuf>) -> Option<Watch> {
    if directories.is_empty() {
        return None;
    }
    Watch::new(directories)
        .inspect_err(|error| {
            warn!("files of backends are looked at every {POLL:?} only: inotify: {error}");
        })
        .ok()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Asked,
    Event,
    Nothing,
}

#[derive(Default)]
struct Files {
    config: Option<Wanted>,
    /// As last read.
    read: BTreeMap<PathBuf, Option<Fingerprint>>,
    /// As last seen by a look that nothing had called for.
    seen: BTreeMap<PathBuf, Option<Fingerprint>>,
}

impl Files {
    fn look(&mut self, heard: Heard) -> Vec<FileNews> {
        let Some(config) = self.config.clone() else { return Vec::new() };
        let paths: BTreeSet<PathBuf> = paths(&config).collect();
        let mut due = BTreeSet::new();
        for path in &paths {
            let now = fingerprint(path);
            // One that nobody said is done may be half written: it must have
            // been the same at the last look.
            let before = self.seen.insert(path.clone(), now);
            let settled = heard != Heard::Nothing || before == Some(now);
            if heard == Heard::Asked || settled && self.read.get(path) != Some(&now) {
                self.read.insert(path.clone(), now);
                due.insert(path.clone());
            }
        }
        self.read.retain(|path, _| paths.contains(path));
        self.seen.retain(|path, _| paths.contains(path));
        let services = config.services.iter();
        let due = services
            .filter(|service| service.discovery.file.as_ref().is_some_and(|p| due.contains(p)));
        due.filter_map(|service| read(&config, service)).collect()
    }

    fn directories(&self) -> BTreeSet<PathBuf> {
        let paths = self.config.iter().flat_map(|config| paths(config));
        paths.flat_map(|path| directories(&path)).collect()
    }
}

fn paths(config: &Config) -> impl Iterator<Item = PathBuf> {
    config.services.iter().filter_map(|service| service.discovery.file.clone())
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
