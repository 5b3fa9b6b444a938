//! The last answers, kept across a restart: a daemon that starts while the name
//! servers are away knows its backends all the same.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::answers::{Answers, NameAnswer};
use crate::config::Question;

/// The file beside an instance's [`StateFile`](crate::state::StateFile).
#[derive(Clone, Debug)]
pub struct AnswerFile(PathBuf);

#[derive(Serialize, Deserialize)]
struct Entry {
    question: Question,
    #[serde(flatten)]
    answer: NameAnswer,
}

impl AnswerFile {
    pub fn beside(state_file: &Path) -> Self {
        Self(state_file.with_file_name("names.json"))
    }

    /// Nothing, if there is no file or it cannot be understood.
    pub fn read(&self) -> Answers {
        let text = fs::read(&self.0).unwrap_or_default();
        let entries: Vec<Entry> = serde_json::from_slice(&text).unwrap_or_default();
        let names = entries.into_iter().map(|Entry { question, answer }| (question, answer));
        Answers { names: names.collect(), files: BTreeMap::new() }
    }

    pub fn write(&self, answers: &Answers) -> io::Result<()> {
        let entries = answers.names.iter().filter(|(_, answer)| answer.answered.is_some());
        let entries: Vec<_> = entries
            .map(|(question, answer)| Entry { question: question.clone(), answer: answer.clone() })
            .collect();
        let next = self.0.with_extension("json.next");
        fs::write(&next, serde_json::to_vec(&entries)?)?;
        fs::File::open(&next)?.sync_all()?;
        fs::rename(next, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Family, QuestionKind},
        discovery::{Endpoint, Target, Trouble},
    };

    #[test]
    fn answers_are_read_as_written_and_what_cannot_be_read_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = AnswerFile::beside(&dir.path().join("state.json"));
        assert_eq!(file.read(), Answers::default());
        let question = |name: &str| Question {
            kind: QuestionKind::Srv,
            name: name.into(),
            family: Family::V6,
        };
        let target =
            Target { host: "a.example".into(), port: Some(81), weight: Some(3), backup: true };
        let known = NameAnswer {
            endpoints: vec![Endpoint { address: "2001:db8::1".parse().unwrap(), target }],
            answered: Some(1_700_000_000),
            trouble: None,
        };
        let trouble = Some(Trouble { why: "timed out".into(), since: 1_700_000_060 });
        let mut answers = Answers::default();
        answers.names.insert(question("a"), NameAnswer { trouble, ..known.clone() });
        answers.names.insert(question("never-answered"), NameAnswer::default());
        file.write(&answers).unwrap();
        assert_eq!(file.read().names, BTreeMap::from([(question("a"), known)]));
        fs::write(dir.path().join("names.json"), "[{").unwrap();
        assert_eq!(file.read(), Answers::default());
    }
}
