//! The terminal: its size, its colours, and redrawing in place.

use std::{
    env,
    io::{self, IsTerminal},
};

use terminal_size::{Height, Width, terminal_size_of};

/// Columns; `None` when it is no terminal, which has room for everything.
pub fn width() -> Option<usize> {
    terminal_size_of(io::stdout()).map(|(Width(columns), _)| usize::from(columns))
}

pub fn height() -> usize {
    terminal_size_of(io::stdout()).map_or(usize::MAX, |(_, Height(rows))| usize::from(rows))
}

/// See no-color.org.
pub fn colour() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refused
}

/// `frame` over what is on the screen. Lines that do not fit are cut off at the
/// bottom, or the screen would scroll.
pub fn redraw(frame: &str, height: usize) -> String {
    const HOME: &str = "\x1b[H";
    const CLEAR_TO_END_OF_LINE: &str = "\x1b[K";
    const CLEAR_BELOW: &str = "\x1b[J";
    let room = height.saturating_sub(1).max(1);
    let lines: Vec<_> = frame.lines().collect();
    let mut text = HOME.to_owned();
    let shown = if lines.len() > room { room - 1 } else { lines.len() };
    for line in &lines[..shown] {
        text.push_str(&format!("{line}{CLEAR_TO_END_OF_LINE}\n"));
    }
    text.push_str(CLEAR_BELOW);
    if shown < lines.len() {
        text.push_str(&format!("… {} more lines; try --service NAME\n", lines.len() - shown));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_fits_is_drawn_whole() {
        assert_eq!(redraw("a\nb\n", 4), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }

    #[test]
    fn a_frame_that_does_not_fit_never_scrolls() {
        for height in 0..6 {
            let text = redraw("a\nb\nc\nd\ne\nf\ng\n", height);
            assert!(text.matches('\n').count() < height.max(2), "{height}: {text:?}");
        }
        assert!(redraw("a\nb\nc\n", 3).contains("2 more lines"));
    }
}
