//! YAML as a tree of nodes that know where they stand.
//!
//! Only the part of YAML that a configuration needs: one document, maps with
//! plain keys, lists and scalars. Nodes live in one array and refer to their
//! parents, so that a key's path is found when a problem needs it, and neither
//! building, reading nor freeing the tree recurses.

mod build;
mod syntax;

pub(super) use build::{MAX_BYTES, build};

use super::problem::Position;

pub(super) struct Tree {
    nodes: Vec<Node>,
}

struct Node {
    position: Position,
    /// `None` for the root.
    parent: Option<Parent>,
    value: Value,
}

struct Parent {
    node: usize,
    step: Step,
}

enum Step {
    Key(Box<str>),
    Index(usize),
}

enum Value {
    /// Nothing, `~` or `null`.
    Null,
    Scalar(Box<str>),
    List(Vec<usize>),
    Map(Vec<Pair>),
}

struct Pair {
    key: Box<str>,
    key_position: Position,
    value: usize,
}

/// A place in the tree.
#[derive(Clone, Copy)]
pub(super) struct At<'t> {
    tree: &'t Tree,
    node: usize,
}

/// What stands at a place.
pub(super) enum Kind<'t> {
    Null,
    Scalar(&'t str),
    List,
    Map,
}

/// One key of a map.
pub(super) struct Entry<'t> {
    pub key: &'t str,
    pub key_position: Position,
    pub value: At<'t>,
}

impl Tree {
    pub fn root(&self) -> At<'_> {
        At { tree: self, node: 0 }
    }
}

impl<'t> At<'t> {
    fn get(self) -> &'t Node {
        &self.tree.nodes[self.node]
    }

    pub fn position(self) -> Position {
        self.get().position
    }

    /// Such as `services[0].backends[1].weight`; empty for the root.
    pub fn path(self) -> String {
        let mut steps = Vec::new();
        let mut node = self.get();
        while let Some(parent) = &node.parent {
            steps.push(&parent.step);
            node = &self.tree.nodes[parent.node];
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key(key) => push_key(&mut path, key),
            }
        }
        path
    }

    pub fn kind(self) -> Kind<'t> {
        match &self.get().value {
            Value::Null => Kind::Null,
            Value::Scalar(text) => Kind::Scalar(text),
            Value::List(_) => Kind::List,
            Value::Map(_) => Kind::Map,
        }
    }

    /// The list's items; none if this is not a list.
    pub fn items(self) -> impl Iterator<Item = At<'t>> {
        let items: &[usize] = if let Value::List(items) = &self.get().value { items } else { &[] };
        items.iter().map(move |&node| At { tree: self.tree, node })
    }

    /// The map's entries, each key once; none if this is not a map.
    pub fn entries(self) -> impl Iterator<Item = Entry<'t>> {
        let pairs: &[Pair] = if let Value::Map(pairs) = &self.get().value { pairs } else { &[] };
        pairs.iter().map(move |pair| Entry {
            key: &pair.key,
            key_position: pair.key_position,
            value: At { tree: self.tree, node: pair.value },
        })
    }
}

/// Appends a key to a path; what a file may hold is cut short and made printable.
pub(super) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&super::problem::shown(key));
}
