//! An event as a line.

use super::units::age;
use crate::api::types::Event;

pub fn line(event: &Event) -> String {
    let lasted = event.lasted.map_or(String::new(), |seconds| format!(" (after {})", age(seconds)));
    format!("{} {:>6} {event}{lasted}", clock(event.time), event.sequence)
}

/// Instead of events that the daemon does not have any more.
pub fn missed(count: u64, json: bool) -> String {
    match json {
        true => format!(r#"{{"missed":{count}}}"#),
        false => format!("({count} events were missed: the daemon keeps the last few thousand)"),
    }
}

/// Unix seconds as a date and a time of UTC (Hinnant, "chrono-compatible
/// low-level date algorithms": days to a civil date).
pub fn clock(time: f64) -> String {
    let milliseconds = (time * 1000.0).round().max(0.0) as u64;
    let (seconds, days) = (milliseconds / 1000 % 86_400, milliseconds / 86_400_000);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let (day, month) =
        (of_year - (153 * march + 2) / 5 + 1, if march < 10 { march + 3 } else { march - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        milliseconds % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::EventKind;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (time, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (951_782_400.0, "2000-02-29T00:00:00.000Z"),
            (951_868_799.999, "2000-02-29T23:59:59.999Z"),
            (1_700_000_000.5, "2023-11-14T22:13:20.500Z"),
            (1_798_761_599.0, "2026-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(clock(time), text);
        }
    }

    #[test]
    fn a_line_says_when_what_why_and_how_long_it_was_otherwise() {
        let event = Event {
            sequence: 7,
            time: 0.0,
            from: Some("up".into()),
            lasted: Some(3700),
            ..Event::new(EventKind::Backend, "refused")
                .of_backend("web", "a", "10.0.0.1")
                .to("dead")
        };
        assert_eq!(
            line(&event),
            "1970-01-01T00:00:00.000Z      7 backend web/a up -> dead: refused (after 1h 1m)"
        );
    }
}
