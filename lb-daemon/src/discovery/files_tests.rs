use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc};

use super::*;
use crate::config;

fn config(path: &Path) -> Config {
    let text = format!(
        "interfaces: [eth0]\nservices:\n- {{name: web, vip: 192.0.2.1, port: 80, mode: dsr, \
         backends_file: {}, backends: [{{name: listed, address: 10.0.0.1}}]}}\n",
        path.display()
    );
    config::parse("lb.yaml", &text).unwrap_or_else(|problems| panic!("{problems}")).config
}

fn list(names: &[&str]) -> String {
    let one = |(n, name): (usize, &&str)| format!("- {{name: {name}, address: 10.0.1.{n}}}\n");
    names.iter().enumerate().map(one).collect()
}

fn names(news: &FileNews) -> Vec<&str> {
    news.outcome.as_ref().unwrap().iter().map(|one| one.name.as_str()).collect()
}

/// What is wrong with a file that says this.
fn problems(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.yaml");
    fs::write(&path, text).unwrap();
    let news = read_all(&config(&path)).remove(0);
    news.outcome.unwrap_err().replace(&path.display().to_string(), "web.yaml")
}

#[test]
fn a_bad_file_is_refused_with_the_place_of_each_problem() {
    let text = "\
- {name: a, address: 10.0.0.2, weight: -1}
- {name: a, address: 10.0.0.2}
- {name: listed, address: 10.0.0.1}
- {name: v, address: 192.0.2.1, port: 8080}
- {name: d, dns: web.example}
- {name: p, address: 10.0.0.5, port: 8080}
";
    let expected = "\
web.yaml:1:40: [0].weight: -1 is not a weight; give a whole number from 0 to 1000
web.yaml:2:10: [1].name: backend a is already at line 1, column 10; remove or change one of the two
web.yaml:2:22: [1].address: address 10.0.0.2 is already at line 1, column 22; remove or change one of the two
web.yaml:3:10: [2].name: backend listed is listed in service web too; remove it here or there
web.yaml:3:27: [2].address: address 10.0.0.1 is listed in service web too; remove it here or there
web.yaml:4:22: [3].address: 192.0.2.1 is a VIP of this balancer; mend the entry, or service web
web.yaml:5:3: [4]: dns belongs into the configuration file; give backends with an address
web.yaml:6:22: [5].address: mode dsr does not change ports; mend the entry, or service web";
    assert_eq!(problems(text), expected);
    for nothing in ["", "# soon\n\n"] {
        assert_eq!(problems(nothing), "web.yaml: says nothing; give [] for no backends");
    }
    assert!(problems("~").contains("give [] for none"), "{}", problems("~"));
    assert!(problems("backends: []").contains("is not a list"));
    let config = config(Path::new("/nonexistent/web.yaml"));
    let missing = read_all(&config).remove(0).outcome.unwrap_err();
    assert!(missing.starts_with("/nonexistent/web.yaml: cannot be read:"), "{missing}");
}

#[tokio::test]
async fn a_file_that_is_replaced_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.yaml");
    let replace = |text: &str| {
        let next = dir.path().join("web.yaml.next");
        fs::write(&next, text).unwrap();
        fs::rename(next, &path).unwrap();
    };
    replace(&list(&["a"]));
    let (_wanted, mut news) = start(&path);
    assert_eq!(names(&next(&mut news).await), ["a"]);
    for names_now in [&["a", "b"][..], &["b"], &["c", "d", "e"]] {
        replace(&list(names_now));
        assert_eq!(names(&next(&mut news).await), names_now);
    }
    replace("- {name: x}\n");
    let bad = next(&mut news).await.outcome.unwrap_err();
    assert!(bad.contains("web.yaml:1:3: [0]: address is missing"), "{bad}");
    fs::remove_file(&path).unwrap();
    assert!(next(&mut news).await.outcome.unwrap_err().contains("cannot be read"));
    replace("[]");
    assert!(names(&next(&mut news).await).is_empty());
}

/// Claims: an update as Kubernetes makes it, where neither the file nor the
/// link with its name is touched.
#[tokio::test]
async fn a_link_on_the_way_that_is_replaced_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let update = |version: &str, names: &[&str]| {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("web.yaml"), list(names)).unwrap();
        symlink(version, root.join("..next")).unwrap();
        fs::rename(root.join("..next"), root.join("..data")).unwrap();
    };
    update("..1", &["a"]);
    symlink("..data/web.yaml", root.join("web.yaml")).unwrap();
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("linked.yaml");
    symlink(root.join("web.yaml"), &path).unwrap();
    let (_wanted, mut news) = start(&path);
    assert_eq!(names(&next(&mut news).await), ["a"]);
    update("..2", &["a", "b"]);
    assert_eq!(names(&next(&mut news).await), ["a", "b"]);
    fs::remove_dir_all(root.join("..1")).unwrap();
    update("..3", &["c"]);
    assert_eq!(names(&next(&mut news).await), ["c"]);
}

#[test]
fn without_events_a_file_must_hold_still_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.yaml");
    fs::write(&path, list(&["a"])).unwrap();
    let mut files = Files { config: Some(Arc::new(config(&path))), ..Files::default() };
    assert_eq!(files.look(Heard::Asked).len(), 1);
    assert_eq!(files.look(Heard::Nothing), []);
    fs::write(&path, list(&["a", "b"])).unwrap();
    assert_eq!(files.look(Heard::Nothing), [], "it may go on being written");
    let found = files.look(Heard::Nothing);
    assert_eq!(names(&found[0]), ["a", "b"]);
    assert_eq!(files.look(Heard::Nothing), []);
}

fn start(path: &Path) -> (watch::Sender<Wanted>, mpsc::Receiver<News>) {
    let (wanted, receiver) = watch::channel(Arc::new(config(path)));
    let (sender, news) = mpsc::channel(4);
    tokio::spawn(follow(receiver, sender));
    (wanted, news)
}

/// Only what was heard of counts: the poll would take longer.
async fn next(news: &mut mpsc::Receiver<News>) -> FileNews {
    let waited = tokio::time::timeout(POLL / 2, news.recv()).await;
    match waited.expect("it was not noticed") {
        Some(News::File(news)) => news,
        other => panic!("{other:?}"),
    }
}
