//! Aligned columns that fit a width: the least important ones give way, and the
//! last column is cut.

use super::{View, style::Style};

const GAP: &str = "  ";
/// Less of the last column says nothing.
const LEAST_LAST: usize = 24;

#[derive(Clone, Copy)]
pub enum Align {
    Left,
    Right,
}

pub struct Column {
    pub title: &'static str,
    pub align: Align,
    /// Columns of higher rank go first when there is no room; 0 stays.
    pub rank: u8,
}

#[derive(Default)]
pub struct Cell {
    pub text: String,
    pub style: Style,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, style: Style::Plain }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// `rows` have a cell for every column.
pub fn lay_out(columns: &[Column], rows: &[Vec<Cell>], view: &View) -> String {
    let mut widths: Vec<usize> =
        (0..columns.len()).map(|i| natural_width(i, columns, rows)).collect();
    // A column that is empty in every row says nothing.
    let mut shown: Vec<usize> =
        (0..columns.len()).filter(|i| rows.iter().any(|row| !row[*i].text.is_empty())).collect();
    if let Some(room) = view.width {
        fit(columns, &mut shown, &mut widths, room);
    }
    let titles: Vec<Cell> =
        columns.iter().map(|c| Cell { text: c.title.to_owned(), style: Style::Title }).collect();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(rows) {
        let cells = shown.iter().map(|i| aligned(&row[*i], columns[*i].align, widths[*i], view));
        text.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
        text.push('\n');
    }
    text
}

fn natural_width(index: usize, columns: &[Column], rows: &[Vec<Cell>]) -> usize {
    let title = columns[index].title.chars().count();
    rows.iter().map(|row| row[index].text.chars().count()).fold(title, usize::max)
}

/// Drops columns until the rest fits, then cuts the last one.
fn fit(columns: &[Column], shown: &mut Vec<usize>, widths: &mut [usize], room: usize) {
    let last = columns.len() - 1;
    loop {
        let needs = |i: &usize| if *i == last { widths[*i].min(LEAST_LAST) } else { widths[*i] };
        let total =
            shown.iter().map(needs).sum::<usize>() + GAP.len() * shown.len().saturating_sub(1);
        let least_important = shown.iter().copied().max_by_key(|i| columns[*i].rank);
        match least_important {
            Some(column) if total > room && columns[column].rank > 0 => {
                shown.retain(|i| *i != column);
            }
            _ => break,
        }
    }
    if shown.contains(&last) {
        let others: usize =
            shown.iter().filter(|i| **i != last).map(|i| widths[*i] + GAP.len()).sum();
        widths[last] = widths[last].min(room.saturating_sub(others));
    }
}

fn aligned(cell: &Cell, align: Align, width: usize, view: &View) -> String {
    let text = cut(&cell.text, width);
    let padding = " ".repeat(width.saturating_sub(text.chars().count()));
    let painted = cell.style.paint(&text, view.colour);
    match align {
        Align::Left => painted + &padding,
        Align::Right => padding + &painted,
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept.trim_end().to_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column { title: "NAME", align: Align::Left, rank: 0 },
        Column { title: "N", align: Align::Right, rank: 2 },
        Column { title: "NOTE", align: Align::Left, rank: 1 },
    ];

    fn table(width: Option<usize>) -> String {
        let rows = [
            vec![
                "a".into(),
                "1".into(),
                "a note that is longer than the last column must be".into(),
            ],
            vec!["bcdef".into(), "234".into(), Cell::default()],
        ];
        lay_out(&COLUMNS, &rows, &View { width, colour: false, all: false })
    }

    #[test]
    fn columns_are_aligned_and_lines_end_where_the_text_does() {
        assert_eq!(
            table(None),
            "NAME     N  NOTE\n\
             a        1  a note that is longer than the last column must be\n\
             bcdef  234\n"
        );
    }

    #[test]
    fn the_last_column_is_cut_before_any_goes() {
        assert_eq!(table(Some(36)).lines().nth(1), Some("a        1  a note that is longer t…"));
    }

    #[test]
    fn then_the_least_important_go() {
        assert_eq!(table(Some(31)).lines().nth(1), Some("a      a note that is longer t…"));
        assert_eq!(table(Some(30)), "NAME\na\nbcdef\n");
    }

    #[test]
    fn a_column_without_content_is_left_out() {
        let rows = [vec!["a".into(), Cell::default(), "x".into()]];
        let text = lay_out(&COLUMNS, &rows, &View { width: None, colour: false, all: false });
        assert_eq!(text, "NAME  NOTE\na     x\n");
    }

    #[test]
    fn colours_do_not_count_as_width() {
        let rows = [vec![Cell { text: "up".into(), style: Style::Good }, "1".into(), "x".into()]];
        let text = lay_out(&COLUMNS, &rows, &View { width: Some(80), colour: true, all: false });
        assert_eq!(text.lines().nth(1), Some("\x1b[32mup\x1b[0m    1  x"));
    }
}
