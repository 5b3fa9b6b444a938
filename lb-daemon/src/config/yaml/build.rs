//! From text to [`Tree`]: the parser's events, one by one, within hard limits.
//!
//! The parser is asked for one event at a time and keeps its own stack on the
//! heap; the first event beyond a limit ends it. An anchor is refused when it
//! is seen, so no alias is ever followed.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::{
    super::{
        problem::{Position, shown},
        report::Report,
    },
    At, Node, Pair, Parent, Step, Tree, Value, push_key, syntax,
};

/// Largest file: room for all the backends that the maps hold.
pub(in super::super) const MAX_BYTES: usize = 4 << 20;
const MAX_NODES: usize = 1 << 20;
const MAX_DEPTH: usize = 32;

/// Builds the tree of `text`. `None`, and a problem in the report: it has none.
pub(in super::super) fn build(text: &str, report: &mut Report) -> Option<Tree> {
    if text.len() > MAX_BYTES {
        report.whole_file("is larger than 4 MiB", "split the services between balancers");
        return None;
    }
    let mut builder = Builder { tree: Tree { nodes: Vec::new() }, open: Vec::new(), report };
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let (message, help) = syntax::explain(error.info());
                builder.report.problem_at(position(error.marker()), "", message, help);
                return None;
            }
        };
        if let Event::DocumentStart(_) = event {
            documents += 1;
            if documents > 1 {
                builder.refuse(
                    &span,
                    "a second YAML document begins",
                    "keep one document in a file",
                );
                return None;
            }
        }
        builder.take(event, &span)?;
    }
    let tree = builder.tree;
    if tree.nodes.is_empty() {
        report.whole_file("is empty", "give interfaces and services");
        return None;
    }
    Some(tree)
}

fn position(mark: &Marker) -> Position {
    Position { line: mark.line(), column: mark.col() + 1 }
}

struct Builder<'r> {
    tree: Tree,
    /// Lists and maps whose end has not been seen, outermost first.
    open: Vec<Open>,
    report: &'r mut Report,
}

struct Open {
    node: usize,
    contents: Contents,
}

/// What has been seen of a list or map.
enum Contents {
    List(Vec<usize>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    pairs: Vec<Pair>,
    /// Where each key was first seen.
    seen: HashMap<Box<str>, Position>,
    /// The key whose value comes next.
    pending: Option<(Box<str>, Position)>,
}

impl Builder<'_> {
    /// Takes one event; `None` ends the reading.
    fn take(&mut self, event: Event<'_>, span: &Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some())?;
                if self.expects_key() {
                    self.key(&text, span);
                    return Some(());
                }
                let plain = style == ScalarStyle::Plain;
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let from_key = plain && text.is_empty();
                let value = if null { Value::Null } else { Value::Scalar(text.into()) };
                self.node(value, span, from_key).map(drop)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some())?;
                self.open(Contents::List(Vec::new()), span)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(span, anchor, tag.is_some())?;
                self.open(Contents::Map(OpenMap::default()), span)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close();
                Some(())
            }
            Event::Alias(_) => {
                self.refuse(
                    span,
                    "aliases are not used here",
                    "write the value out, or use defaults",
                );
                None
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Some(()),
        }
    }

    fn refuse(&mut self, span: &Span, message: &str, help: &str) {
        self.report.problem_at(position(&span.start), "", message, help);
    }

    fn refuse_extras(&mut self, span: &Span, anchor: usize, tagged: bool) -> Option<()> {
        if anchor != 0 {
            self.refuse(span, "anchors are not used here", "write the value out, or use defaults");
            return None;
        }
        if tagged {
            self.refuse(span, "tags are not used here", "write the value without the tag");
            return None;
        }
        Some(())
    }

    fn expects_key(&self) -> bool {
        let contents = self.open.last().map(|open| &open.contents);
        matches!(contents, Some(Contents::Map(map)) if map.pending.is_none())
    }

    fn key(&mut self, text: &str, span: &Span) {
        if let Some(Open { contents: Contents::Map(map), .. }) = self.open.last_mut() {
            map.pending = Some((text.into(), position(&span.start)));
        }
    }

    fn open(&mut self, contents: Contents, span: &Span) -> Option<()> {
        if self.expects_key() {
            self.refuse(span, "a list or map stands where a key belongs", "give a word as the key");
            return None;
        }
        if self.open.len() == MAX_DEPTH {
            let (message, help) = syntax::too_deep();
            self.refuse(span, message, help);
            return None;
        }
        let node = self.node(Value::Null, span, false)?;
        self.open.push(Open { node, contents });
        Some(())
    }

    fn close(&mut self) {
        if let Some(Open { node, contents }) = self.open.pop() {
            self.tree.nodes[node].value = match contents {
                Contents::List(items) => Value::List(items),
                Contents::Map(map) => Value::Map(map.pairs),
            };
        }
    }

    /// Adds a node where the parser stands. An empty value has no place of its
    /// own: with `from_key` it takes that of its key, if it has one.
    fn node(&mut self, value: Value, span: &Span, from_key: bool) -> Option<usize> {
        let node = self.tree.nodes.len();
        if node == MAX_NODES {
            self.refuse(
                span,
                "the file has too many values",
                "split the services between balancers",
            );
            return None;
        }
        let mut place = position(&span.start);
        let parent = self.open.last_mut().map(|open| {
            let step = match &mut open.contents {
                Contents::List(items) => {
                    items.push(node);
                    Step::Index(items.len() - 1)
                }
                Contents::Map(map) => {
                    let (key, key_position) =
                        map.pending.take().expect("a key comes before its value");
                    if from_key {
                        place = key_position;
                    }
                    match map.seen.get(&key) {
                        Some(first) => {
                            duplicate(
                                &self.tree,
                                open.node,
                                &key,
                                key_position,
                                *first,
                                self.report,
                            );
                        }
                        None => {
                            map.seen.insert(key.clone(), key_position);
                            map.pairs.push(Pair { key: key.clone(), key_position, value: node });
                        }
                    }
                    Step::Key(key)
                }
            };
            Parent { node: open.node, step }
        });
        self.tree.nodes.push(Node { position: place, parent, value });
        Some(node)
    }
}

fn duplicate(
    tree: &Tree,
    map: usize,
    key: &str,
    here: Position,
    first: Position,
    report: &mut Report,
) {
    let mut path = At { tree, node: map }.path();
    push_key(&mut path, key);
    let message = format!("{} stands here twice, first at {first}", shown(key));
    report.problem_at(here, &path, message, "keep one of the two");
}
