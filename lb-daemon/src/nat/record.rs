//! Lines of the log.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lb_common::abi::NatBegin;
use serde::Serialize;

use super::{
    Directory, Ended,
    flow::{Ends, ends, ends_of, life_of, reason},
};
use crate::dataplane::Ticks;

/// The data path's clock and the wall's at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub wall: SystemTime,
    pub ticks: u64,
    pub rate: Ticks,
}

impl Moment {
    /// When the clock said `ticks`, as RFC 3339 has it.
    fn time_of(&self, ticks: u64) -> String {
        let ago = self.rate.duration(self.ticks.saturating_sub(ticks));
        rfc3339(self.wall.checked_sub(ago).unwrap_or(UNIX_EPOCH))
    }
}

#[derive(Serialize)]
struct Begin<'a> {
    time: String,
    event: &'static str,
    #[serde(flatten)]
    ends: &'a Ends,
}

#[derive(Serialize)]
struct End<'a> {
    time: String,
    event: &'static str,
    #[serde(flatten)]
    ends: &'a Ends,
    reason: &'static str,
    /// Seconds.
    duration: Option<f64>,
    packets: Option<u16>,
    bytes: Option<u64>,
    reply_packets: u16,
    reply_bytes: u64,
}

#[derive(Serialize)]
struct Lost {
    time: String,
    event: &'static str,
    records: u64,
}

pub fn begin(lines: &mut Vec<u8>, moment: &Moment, directory: &Directory, one: &NatBegin) {
    let ends = ends(directory, (one.service, one.backend), &one.outside, &one.inside);
    line(lines, &Begin { time: moment.time_of(one.at), event: "begin", ends: &ends });
}

/// A flow that was idle ended with its last packet.
pub fn end(lines: &mut Vec<u8>, moment: &Moment, directory: &Directory, ended: &Ended) {
    let Ended { reverse, forward } = ended;
    let ends = ends_of(directory, reverse);
    let life = life_of(directory, reverse).unwrap_or(0);
    let at = reverse.meta.expires().saturating_sub(life).min(moment.ticks);
    let lasted = forward.map(|forward| {
        let lasted = moment.rate.duration(at.saturating_sub(forward.entry.began));
        (lasted.as_secs_f64() * 1e3).round() / 1e3
    });
    let record = End {
        time: moment.time_of(at),
        event: "end",
        ends: &ends,
        reason: reason(reverse.meta.state(), !reverse.freed),
        duration: lasted,
        packets: forward.map(|forward| forward.packets),
        bytes: forward.map(|forward| forward.bytes),
        reply_packets: reverse.packets,
        reply_bytes: reverse.bytes,
    };
    line(lines, &record);
}

pub fn lost(lines: &mut Vec<u8>, moment: &Moment, records: u64) {
    line(lines, &Lost { time: rfc3339(moment.wall), event: "lost", records });
}

fn line(lines: &mut Vec<u8>, record: &impl Serialize) {
    serde_json::to_writer(&mut *lines, record).expect("strings and numbers, into memory");
    lines.push(b'\n');
}

/// `2026-01-31T23:59:59.999Z`.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day, `days` after the first of January 1970. Years are taken
/// to begin in March, so that the leap day is their last.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // From the first of March of the year 0.
    let days = days + 719_468;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_everybody_reads_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_700_000_000_000, "2023-11-14T22:13:20.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_moment_of_the_data_path_is_one_of_the_wall() {
        let moment = Moment {
            wall: UNIX_EPOCH + Duration::from_secs(100),
            ticks: 5000,
            rate: Ticks::new(1000).unwrap(),
        };
        assert_eq!(moment.time_of(4000), "1970-01-01T00:01:39.000Z");
        assert_eq!(moment.time_of(6000), "1970-01-01T00:01:40.000Z", "not in the future");
    }
}
