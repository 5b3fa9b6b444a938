//! One backend of one service: in, out, or on trial.
//!
//! Whoever was taken out comes back by itself, for the traffic that would prove it
//! well does not get there meanwhile: after a time that doubles with each
//! repetition, with a tenth of its weight, until connections have gone well.

use serde::{Deserialize, Serialize};

use super::{
    outlier::{self, Bar},
    window::{Counts, Sample, Window},
};

/// Seconds that a backend is out for the first time, and at most.
const OUT: u64 = 30;
const OUT_AT_MOST: u64 = 600;
/// Per cent of its weight that one on trial gets.
pub const TRIAL_WEIGHT: u32 = 10;
/// A trial is passed with so many connections in so many seconds that went well, or
/// after so many without trouble.
const TRIAL_CONNECTIONS: u64 = 8;
const TRIAL: u64 = 10;
const TRIAL_AT_MOST: u64 = 60;
/// The part of connections that may fail on trial.
const TRIAL_FAILURES: f64 = 0.25;
/// After so many seconds in, what was before is forgiven.
const FORGIVEN: u64 = 1800;
/// The part of connections that must fail before a probe is hurried.
const DOUBT: f64 = 0.1;

/// A backend was taken out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ejection {
    /// Unix seconds.
    pub until: u64,
    /// How often by now.
    pub times: u32,
    pub reason: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    #[default]
    In,
    Out(Ejection),
    /// Since when, in Unix seconds.
    OnTrial(u64),
}

#[derive(Clone, Debug, Default)]
pub struct Watch {
    pub window: Window,
    pub standing: Standing,
    /// It was taken out so many times.
    pub times: u32,
    /// When it last came back in.
    back: u64,
}

impl Watch {
    pub fn restored(ejection: Ejection) -> Self {
        Self { times: ejection.times, standing: Standing::Out(ejection), ..Self::default() }
    }

    /// Takes in a second. True: a probe should look at once.
    pub fn note(&mut self, counts: Counts, networks: u64) -> bool {
        self.window.note(counts, networks);
        self.window.last().failed() > 0 && self.window.sum().rate() >= DOUBT
    }

    pub fn is_out(&self) -> bool {
        matches!(self.standing, Standing::Out(_))
    }

    pub fn bar(&self) -> &'static Bar {
        match self.standing {
            Standing::OnTrial(_) => &outlier::ON_TRIAL,
            Standing::In | Standing::Out(_) => &outlier::USUAL,
        }
    }

    pub fn eject(&mut self, why: &str, now: u64) {
        self.times = self.times.saturating_add(1);
        let doublings = (self.times - 1).min(16);
        let out = (OUT << doublings).min(OUT_AT_MOST);
        let reason = format!("{why}; tried again after {out} s");
        self.standing = Standing::Out(Ejection { until: now + out, times: self.times, reason });
        self.window.forget();
    }

    /// Moves on with the time. `takes`: it could get new connections but for what is
    /// known here. True: its standing is another one.
    pub fn pass(&mut self, takes: bool, now: u64) -> bool {
        let next = match &self.standing {
            // A clock that was set back must not keep it out.
            Standing::Out(out) if out.until <= now || out.until > now + OUT_AT_MOST => {
                Some(Standing::OnTrial(now))
            }
            Standing::OnTrial(_) if !takes => {
                self.standing = Standing::OnTrial(now);
                None
            }
            Standing::OnTrial(since) if self.has_proved_itself(now.saturating_sub(*since)) => {
                self.back = now;
                Some(Standing::In)
            }
            Standing::In if self.times > 0 && now.saturating_sub(self.back) >= FORGIVEN => {
                self.times = 0;
                None
            }
            _ => None,
        };
        let Some(next) = next else { return false };
        self.standing = next;
        self.window.forget();
        true
    }

    fn has_proved_itself(&self, tried: u64) -> bool {
        let Sample { connections, .. } = self.window.sum();
        let went_well = self.window.sum().rate() < TRIAL_FAILURES;
        let enough = tried >= TRIAL && connections >= TRIAL_CONNECTIONS;
        went_well && (enough || tried >= TRIAL_AT_MOST)
    }
}
